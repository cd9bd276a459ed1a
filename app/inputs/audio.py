"""Sounds."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from app.inputs.base import LIMIT, InputView, Sent, input_views
from palora_core.inputs import Sound

SOURCES = ("Record", "File")


@input_views.register("audio")
class AudioView(InputView):
    """A sound to be heard, recorded or sent as a file."""

    noun: ClassVar[str] = "sound"
    icon: ClassVar[str] = ":material/mic:"

    def told(self, shown: Sound) -> dict[str, Any]:
        """The sound itself, in its address."""
        return {"sound": f"data:audio/wav;base64,{base64.b64encode(shown.as_wav()).decode()}"}

    def send(self) -> Sent | None:
        """A choice of the source, and its form: of two that are there, nobody knows which one was meant."""
        import streamlit as st

        chosen = st.segmented_control(
            "Source", SOURCES, default=SOURCES[0], key="sound_source", label_visibility="collapsed"
        )
        if chosen == "File":
            sent = st.file_uploader(f"A WAV file, up to {LIMIT} MB", type=["wav"], key="file")
            return None if sent is None else (sent.getvalue(), sent.name)
        recorded = st.audio_input("Record with the microphone", key="recording")
        return None if recorded is None else (recorded.getvalue(), "Your recording")
