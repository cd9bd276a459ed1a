"""What can be taken along from a view: the network at its λ as plain weights or ONNX, and the view as one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.components.plain import plain
from app.exports import exporting
from app.exports.merged import merged_safetensors
from app.exports.report.compose import report
from app.library.loading import LoadedModel
from app.services import services
from palora_core.errors import UserError

KEPT = "view_files"
File = tuple[str, bytes, str]  # name, content, a sentence on it


def downloads(loaded: LoadedModel, image: str, label: str, preference: Sequence[float]) -> None:
    """Buttons for the network and the report of a view.

    Args:
        loaded: the model.
        image: image id, "" if there is none.
        label: the input for people.
        preference: λ [T].
    """
    told = ", ".join(f"{v:.2f}" for v in preference[:6]) + (", …" if len(preference) > 6 else "")
    at = f" at λ = ({told})" if loaded.model.controllable else ", trained for one trade-off"
    st.caption(f"The plain network{at}: no adapters, the weights' own names.")
    st.download_button(
        "Merged weights (safetensors)",
        lambda: merged_safetensors(loaded, preference),
        file_name=exporting.view_name(loaded, "merged.safetensors", preference),
        icon=":material/download:",
        on_click="ignore",
        key="download_merged",
        width="stretch",
    )
    if loaded.example is not None:
        wanted = (loaded.key, tuple(preference))
        made_on_demand("ONNX", "Exporting and comparing with PyTorch …", wanted, lambda: _onnx(loaded, preference))
    if image:
        st.divider()
        st.caption(f"The view as one HTML page: {plain(label)} with predictions, errors, metrics, front and card.")
        wanted = (loaded.key, image, tuple(preference))
        made_on_demand("Report", "Drawing …", wanted, lambda: _report(loaded, image, label, preference))


def _onnx(loaded: LoadedModel, preference: Sequence[float]) -> File:
    made = exporting.export(loaded, "onnx", preference)
    return made.name, made.data, made.sentence


def _report(loaded: LoadedModel, image: str, label: str, preference: Sequence[float]) -> File:
    name = exporting.view_name(loaded, "report.html", preference)
    return name, report(services(), loaded, image, label, preference), ""


def made_on_demand(what: str, meanwhile: str, wanted: tuple[Any, ...], make: Callable[[], File]) -> None:
    """A button that makes a file; while the view stays ``wanted``, one that downloads it stands in its place."""
    kept = st.session_state.setdefault(KEPT, {})
    if kept.get(what, (None,))[0] != wanted:
        if not st.button(f"Make: {what}", icon=":material/build:", key=f"make_{what}", width="stretch"):
            return
        try:
            with st.spinner(meanwhile, show_time=True):
                kept[what] = (wanted, make())
        except UserError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
    name, data, note = kept[what][1]
    st.download_button(
        f"Download: {what}",
        data,
        name,
        icon=":material/download:",
        type="primary",
        on_click="ignore",
        key=f"download_{what}",
        width="stretch",
    )
    if note:
        st.caption(note)
