"""Texts."""

from __future__ import annotations

from typing import Any, ClassVar

from app.inputs.base import InputView, Sent, input_views

TITLE = 36  # characters
ENDS = " .,;:!?…’”)]}"  # what a text that begins amid another may begin with


@input_views.register("text")
class TextView(InputView):
    """A text, typed or sent as a file."""

    noun: ClassVar[str] = "text"
    icon: ClassVar[str] = ":material/edit_note:"
    titled: ClassVar[bool] = True

    def title(self, shown: str) -> str:
        """Its first words, without what ends a sentence before them."""
        text = " ".join(shown.split())
        text = text.lstrip(ENDS) or text
        return text if len(text) <= TITLE else f"{text[:TITLE].rpartition(' ')[0] or text[:TITLE]} …"

    def told(self, shown: str) -> dict[str, Any]:
        """As it is."""
        return {"text": shown}

    def send(self) -> Sent | None:
        """A field to type in, or a file."""
        import streamlit as st

        with st.form("text", border=False):  # a button outside of one would learn what was typed only after it is left
            typed = st.text_area("Text", key="own_text", height=120)
            used = st.form_submit_button("Use it", key="use_text", type="primary", width="stretch")
        if used:
            return typed.encode(), typed.strip()[:40]
        return super().send()
