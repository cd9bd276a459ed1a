"""Sounds."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from app.inputs.base import LIMIT, InputView, Sent, input_views
from palora_core.inputs import Sound


@input_views.register("audio")
class AudioView(InputView):
    """A sound to be heard, sent as a file or recorded."""

    noun: ClassVar[str] = "sound"
    icon: ClassVar[str] = ":material/mic:"

    def told(self, shown: Sound) -> dict[str, Any]:
        """The sound itself, in its address."""
        return {"sound": f"data:audio/wav;base64,{base64.b64encode(shown.as_wav()).decode()}"}

    def send(self) -> Sent | None:
        """Upload or recording."""
        import streamlit as st

        recorded = st.audio_input("Record", key="recording")
        sent = recorded or st.file_uploader(f"A WAV file, up to {LIMIT} MB", type=["wav"], key="file")
        return None if sent is None else (sent.getvalue(), sent.name)
