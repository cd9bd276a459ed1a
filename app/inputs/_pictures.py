"""What views of pictures share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from app.inputs.base import LIMIT, InputView, Sent


class PictureView(InputView):
    """A picture, sent as a file or taken by the camera."""

    pictured: ClassVar[bool] = True
    noun: ClassVar[str] = "picture"
    icon: ClassVar[str] = ":material/add_photo_alternate:"

    def picture(self, shown: Any) -> np.ndarray:
        """As it is."""
        pixels: np.ndarray = shown
        return pixels

    def send(self) -> Sent | None:
        """Upload or snapshot."""
        import streamlit as st

        source = st.segmented_control(
            "Source", ["File", "Camera"], default="File", key="source", label_visibility="collapsed"
        )
        if source == "Camera":
            sent = st.camera_input("Take a picture", key="camera", label_visibility="collapsed")
        else:
            sent = st.file_uploader(f"A picture, up to {LIMIT} MB", type=list(self.input.suffixes), key="file")
        return None if sent is None else (sent.getvalue(), sent.name)
