"""The part of a model's card that exports it: what, at which λ; then the file with its report."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import state
from app.components.model_cards import Card
from app.components.plain import plain
from app.exports import exporting
from app.exports.exporting import Exported
from app.exports.standalone import runtime
from app.exports.standalone.build import standalone
from app.library import transfer
from app.library.loading import LoadedModel
from app.services import services
from palora_core.errors import UserError
from palora_core.export import can_save_itself

FORMS = {
    "bundle": ("Hand-over bundle at λ", "bundle", ":material/inventory_2:"),
    "weights": ("Weights at λ", "safetensors", ":material/database:"),
    "folder": ("Folder of its library at λ", "folder", ":material/folder_zip:"),
    "plain": ("ONNX at λ", "onnx", ":material/deployed_code:"),
    "controllable": ("Controllable ONNX", "onnx", ":material/tune:"),
    "page": ("One HTML file", "html", ":material/web:"),
}
AT = ("bundle", "weights", "folder", "plain")  # forms of one λ
ABOUT = {
    "bundle": "For somebody without this program: the network as ONNX and as weights, its preprocessing, classes and "
    "units, the licence, and a script of 15 lines that needs numpy, pillow and onnxruntime. Before it is handed out, "
    "the script is run on a sample and compared with this page.",
    "weights": "The plain network's weights under their own names, for PyTorch.",
    "folder": "The plain network as its own library saves it (transformers: `from_pretrained` reads it), in a zip.",
    "plain": "The plain network of this λ, for any ONNX runtime; no Python needed.",
    "controllable": "The whole network; λ is its second input, `preference`.",
    "page": "Network, runtime and samples in one file that opens in a browser from disk, without a server.",
}


@st.fragment
def exports(card: Card) -> None:
    """Choose what, at which λ; then download it with its report."""
    st.subheader("Export", anchor=False)
    try:
        loaded = services().registry.get(card.entry.id)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return
    left_out = set() if loaded.model.controllable else {"controllable"}
    left_out |= set() if can_save_itself(loaded.model.network) else {"folder"}
    left_out |= {"page", "bundle"} if loaded.samples is None else set()  # they hold samples
    forms = [form for form in FORMS if form not in left_out]
    form = st.selectbox("What", forms, format_func=lambda f: FORMS[f][0], key="form")
    st.caption(ABOUT[form])
    preference = None
    if form in AT and loaded.model.controllable:
        preference = choose_preference(loaded)
    elif form in AT:
        preference = [1 / loaded.num_tasks] * loaded.num_tasks
    missing = runtime.available() if form == "page" else None
    if missing:
        st.info(missing, icon=":material/cloud_off:")
    elif st.button("Make the file", type="primary", icon=FORMS[form][2], key="make"):
        make(loaded, form, preference)
    wanted = (loaded.key, form, None if preference is None else tuple(preference))
    kept = st.session_state.get("exported")
    if kept and kept[0] == wanted:
        offer(kept[1])
    st.divider()
    st.markdown("**The whole model folder**")
    st.download_button(
        "Zip of this model",
        lambda: transfer.packed(card.entry),
        file_name=f"{transfer.safe_name(card.entry.folder.name)}.zip",
        icon=":material/folder_zip:",
        on_click="ignore",
        key="download_zip",
        help="Card, weights, front and samples, to be imported on another machine. The training state stays here.",
    )


def make(loaded: LoadedModel, form: str, preference: list[float] | None) -> None:
    """Export, and keep the file for this session (one at a time)."""
    try:
        with st.spinner("Exporting and comparing with PyTorch …", show_time=True):
            if form == "page":
                result = standalone(loaded)
            else:
                result = exporting.export(loaded, FORMS[form][1], preference)  # type: ignore[arg-type]
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    key = (loaded.key, form, None if preference is None else tuple(preference))
    st.session_state["exported"] = (key, result)


def offer(result: Exported) -> None:
    """The file, its report, and the difference."""
    st.success(f"**{result.name}**: {result.sentence}.", icon=":material/check:")
    with st.container(horizontal=True):
        icon = ":material/download:"
        file_button("File", result, key="download_file")
        st.download_button(
            "Report", result.report_text, f"{result.name}.json", icon=icon, on_click="ignore", key="download_report"
        )


def file_button(label: str, result: Exported, key: str, **options: Any) -> None:
    """A button that downloads an export, from memory or from disk."""
    icon = ":material/download:"
    if result.address:
        st.link_button(label, result.address, icon=icon, **options)
    else:
        st.download_button(label, result.data, result.name, icon=icon, on_click="ignore", key=key, **options)


def choose_preference(loaded: LoadedModel) -> list[float]:
    """λ of the export: sliders for up to three tasks, corners and centre beyond; the Explore page's λ at first."""
    names = [task.name.replace("_", " ") for task in loaded.tasks]
    start = state.view(loaded).preference
    if len(names) == 1:
        return [1.0]
    if len(names) == 2:
        weight = st.slider(
            f"λ: weight of {names[1]}", 0.0, 1.0, float(min(1, max(0, start[1]))), 0.01, key="export_weight"
        )
        return [round(1 - weight, 4), weight]
    if len(names) == 3:
        raw = [
            st.slider(f"λ: {name}", 0.0, 1.0, float(min(1, max(0, start[t]))), 0.01, key=f"export_weight{t}")
            for t, name in enumerate(names)
        ]
        weights = [v / sum(raw) for v in raw] if sum(raw) else [1 / 3] * 3
        st.caption("λ = (" + ", ".join(f"{w:.2f}" for w in weights) + ")")
        return [round(w, 4) for w in weights[:2]] + [round(1 - sum(round(w, 4) for w in weights[:2]), 4)]
    corner = st.selectbox("λ", ["all tasks alike", *names], key="export_corner")
    if corner not in names:
        return [1 / len(names)] * len(names)
    return [float(name == corner) for name in names]
