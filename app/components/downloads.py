"""What can be taken along from a view: the network at its λ as plain weights or ONNX, and the view as one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app import state
from app.components.export_panel import file_button
from app.components.plain import plain
from app.components.shortlist import shortlist_table
from app.exports import exporting
from app.exports.exporting import Exported
from app.exports.merged import merged_safetensors
from app.exports.report.compose import report
from app.library import transfer
from app.library.loading import LoadedModel
from app.services import services
from palora_core.errors import UserError
from palora_core.export import can_save_itself

KEPT = "view_files"
BUNDLE = (
    "A zip for somebody without this program: the network as ONNX and as weights, preprocessing, classes, licence, and "
    "a script of 15 lines that needs numpy, pillow and onnxruntime; tried on a sample before you get it."
)
MOST_BYTES = 200_000_000  # of weights that are handed out through the page's memory


def downloads(loaded: LoadedModel, image: str, label: str, preference: Sequence[float], seed: int = 0) -> None:
    """Buttons for the network and the report of a view.

    Args:
        loaded: the model.
        image: image id, "" if there is none.
        label: the input for people.
        preference: λ [T].
        seed: of what goes on from the input, in the report.
    """
    told = ", ".join(f"{v:.2f}" for v in preference[:6]) + (", …" if len(preference) > 6 else "")
    at = f" at λ = ({told})" if loaded.model.controllable else ", trained for one trade-off"
    st.caption(f"The plain network{at}: no adapters, the weights' own names.")
    wanted = (loaded.key, tuple(preference))
    large = sum(parameter.nbytes for parameter in loaded.model.parameters()) > MOST_BYTES
    if not large:
        st.download_button(
            "Merged weights (safetensors)",
            lambda: merged_safetensors(loaded, preference),
            file_name=exporting.view_name(loaded, "merged.safetensors", preference),
            icon=":material/download:",
            on_click="ignore",
            key="download_merged",
            width="stretch",
        )
    if can_save_itself(loaded.model.network):
        make = lambda: exporting.export(loaded, "folder", preference)  # noqa: E731
        made_on_demand("Folder for transformers", "Merging and packing …", wanted, make)
    if loaded.example is not None and not large:
        if loaded.samples is not None:
            make = lambda: exporting.export(loaded, "bundle", preference)  # noqa: E731
            made_on_demand("Hand-over bundle", "Exporting, and running its script on a sample …", wanted, make, BUNDLE)
        make = lambda: exporting.export(loaded, "onnx", preference)  # noqa: E731
        made_on_demand("ONNX", "Exporting and comparing with PyTorch …", wanted, make)
    st.download_button(
        "The model folder (zip)",
        lambda: transfer.packed(loaded.entry),
        file_name=f"{transfer.safe_name(loaded.entry.folder.name)}.zip",
        icon=":material/folder_zip:",
        on_click="ignore",
        key="download_folder",
        width="stretch",
        help="Adapters or weights, card, front and samples: for every λ, to be imported or loaded elsewhere.",
    )
    shortlist_files(loaded)
    if image:
        st.divider()
        st.caption(f"The view as one HTML page: {plain(label)} with predictions, errors, metrics, front and card.")
        wanted = (loaded.key, image, tuple(preference), seed)
        make = lambda: Exported(  # noqa: E731
            exporting.view_name(loaded, "report.html", preference),
            report(services(), loaded, image, label, preference, seed),
            {},
        )
        made_on_demand("Report", "Drawing …", wanted, make)


def shortlist_files(loaded: LoadedModel) -> None:
    """The shortlist as files, where there is one."""
    if not len(state.view(loaded).shortlist):
        return
    st.divider()
    st.caption("The shortlist with its figures on the evaluated split; CSV has all digits, the others those on screen.")
    table = shortlist_table(loaded, state.view(loaded).shortlist)
    with st.container(horizontal=True):
        for name, text in (("CSV", table.csv), ("Markdown", table.markdown), ("LaTeX", table.latex)):
            suffix = {"CSV": "csv", "Markdown": "md", "LaTeX": "tex"}[name]
            file = f"{exporting.file_stem(loaded)}-shortlist.{suffix}"
            st.download_button(name, text, file_name=file, on_click="ignore", key=f"shortlist_{suffix}")


def made_on_demand(
    what: str, meanwhile: str, wanted: tuple[Any, ...], make: Callable[[], Exported], about: str | None = None
) -> None:
    """A button that makes a file; while the view stays ``wanted``, one that downloads it stands in its place."""
    kept = st.session_state.setdefault(KEPT, {})
    if kept.get(what, (None,))[0] != wanted:
        if not st.button(f"Make: {what}", icon=":material/build:", key=f"make_{what}", width="stretch", help=about):
            return
        try:
            with st.spinner(meanwhile, show_time=True):
                kept[what] = (wanted, make())
        except UserError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
    made = kept[what][1]
    file_button(f"Download: {what}", made, f"download_{what}", type="primary", width="stretch")
    if made.report:
        st.caption(made.sentence)
