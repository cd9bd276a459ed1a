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

    @property
    def sources(self) -> tuple[str, ...]:
        """Where a person's picture may come from, the usual one first."""
        return "File", "Camera"

    def send(self) -> Sent | None:
        """A choice of the source, and its form."""
        import streamlit as st

        first = self.sources[0]
        # A key per first source: what was chosen for another kind of picture may not be there for this one.
        chosen = st.segmented_control(
            "Source", self.sources, default=first, key=f"source-{first}", label_visibility="collapsed"
        )
        return self.sent_from(chosen or first)

    def sent_from(self, source: str) -> Sent | None:
        """Upload or snapshot."""
        import streamlit as st

        if source == "Camera":
            sent = st.camera_input("Take a picture", key="camera", label_visibility="collapsed")
        else:
            sent = st.file_uploader(f"A picture, up to {LIMIT} MB", type=list(self.input.suffixes), key="file")
        return None if sent is None else (sent.getvalue(), sent.name)
