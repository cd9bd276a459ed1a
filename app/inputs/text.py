"""Texts."""

from __future__ import annotations

from typing import Any, ClassVar

from app.inputs.base import InputView, Sent, input_views


@input_views.register("text")
class TextView(InputView):
    """A text, typed or sent as a file."""

    noun: ClassVar[str] = "text"
    icon: ClassVar[str] = ":material/edit_note:"

    def told(self, shown: str) -> dict[str, Any]:
        """As it is."""
        return {"text": shown}

    def send(self) -> Sent | None:
        """A field to type in, or a file."""
        import streamlit as st

        typed = st.text_area("Text", key="own_text", height=120)
        if st.button("Use it", key="use_text", disabled=not typed.strip()):
            return typed.encode(), typed.strip()[:40]
        return super().send()
