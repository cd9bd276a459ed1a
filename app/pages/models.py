"""Models: cards of what is here, import and export."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import jobs
from app.components import model_cards
from app.components.model_cards import Card
from app.exports import exporting
from app.exports.exporting import Exported
from app.exports.standalone import runtime
from app.exports.standalone.build import standalone
from app.library import transfer
from app.library.entries import Entry
from app.library.loading import LoadedModel
from app.library.models import LISTING_AGE
from app.services import services
from app.settings import ROOT
from palora_core.errors import UserError

TEXTS = ROOT / "app" / "texts"
COLOURS = {"shipped": "blue", "own run": "green", "imported": "orange"}
FORMS = {
    "weights": ("Weights at λ", "safetensors", ":material/database:"),
    "plain": ("ONNX at λ", "onnx", ":material/deployed_code:"),
    "controllable": ("Controllable ONNX", "onnx", ":material/tune:"),
    "page": ("One HTML file", "html", ":material/web:"),
}
ABOUT = {
    "weights": "The plain network's weights under their own names, for PyTorch.",
    "plain": "The plain network of this λ, for any ONNX runtime; no Python needed.",
    "controllable": "The whole network; λ is its second input, `preference`.",
    "page": "Network, runtime and samples in one file that opens in a browser from disk, without a server.",
}


def page() -> None:
    """All cards, or the one that the URL names."""
    entries = services().registry.entries()
    with st.sidebar.expander("How to use this page", icon=":material/help:"):
        st.markdown((TEXTS / "models.md").read_text(encoding="utf-8"))
    wanted = st.query_params.get("model")
    entry = next((entry for entry in entries if entry.id == wanted), None)
    if entry is not None:
        detail(model_cards.read(entry))
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Models", anchor=False, width="content")
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            import_form()
    if wanted:
        st.warning("That model is not here any more.", icon=":material/search_off:")
    if not entries:
        st.info((TEXTS / "no_models.md").read_text(encoding="utf-8"))
        return
    overview(entries)


def import_form() -> None:
    """A popover that takes a zip."""
    if jobs.read_only():
        st.caption("Import and deletion are switched off on this server.")
        return
    with st.popover("Import a model", icon=":material/upload:"):
        limit = transfer.MAX_ZIP // 2**20
        number = st.session_state.setdefault("import_number", 0)
        sent = st.file_uploader(
            f"A zip exported by this page, up to {limit} MB",
            type=["zip"],
            key=f"import{number}",
            max_upload_size=limit,
        )
        if sent is not None and st.button("Check and import", type="primary", key="import_go"):
            model = take(sent, sent.name)
            if model:
                st.session_state["import_number"] = number + 1  # an empty uploader next time
                st.query_params["model"] = model
                st.rerun()


def take(file: Any, name: str) -> str | None:
    """Import a zip and wait until it is listed; its id, or None after saying why not."""
    try:
        with st.spinner("Loading and checking everything in it …"):
            model = transfer.imported(file, name)
    except UserError as error:
        st.error(str(error), icon=":material/block:")
        return None
    deadline = time.monotonic() + 2 * LISTING_AGE
    while time.monotonic() < deadline and all(entry.id != model for entry in services().registry.entries()):
        time.sleep(0.2)
    return model


def overview(entries: Sequence[Entry]) -> None:
    """A grid of small cards."""
    cards = [model_cards.read(entry) for entry in entries]
    origins = [origin for origin in COLOURS if any(card.origin == origin for card in cards)]
    if len(origins) > 1:
        kept = st.pills("Show", origins, selection_mode="multi", key="origins", label_visibility="collapsed")
        cards = [card for card in cards if not kept or card.origin in kept]
    collected = [card for card in cards if card.entry.in_collection]
    cards = [card for card in cards if card not in collected]
    with st.container(key="cards", gap="small"):  # style.css makes it a grid
        for card in cards:
            with st.container(border=True, height="stretch"):
                small(card)
    for group in dict.fromkeys(card.entry.group for card in collected):
        collection([card for card in collected if card.entry.group == group])


def collection(cards: Sequence[Card]) -> None:
    """A folder of many models as a table; a chosen row opens its card."""
    methods = {card.entry.method for card in cards}
    st.subheader(cards[0].entry.group_title, anchor=False)
    benchmark = cards[0].entry.benchmark
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{len(cards)} models of {len(methods)} methods. Choose a row to see its card.", width="content")
        there = {"benchmark": benchmark}
        st.page_link("pages/compare.py", label="Compare them", icon=":material/leaderboard:", query_params=there)
    rows = [model_cards.row(card) for card in cards]
    chosen = st.dataframe(
        rows,
        hide_index=True,
        key=f"collection {cards[0].entry.group}",
        on_select="rerun",
        selection_mode="single-row",
        height=min(420, 36 * (len(rows) + 1)),
    )
    if chosen["selection"]["rows"]:
        st.query_params["model"] = cards[chosen["selection"]["rows"][0]].entry.id
        st.rerun()


def small(card: Card) -> None:
    """One card of the grid."""
    st.markdown(f"**{_cell(card.entry.title)}**")
    badges(card)
    if card.problem:
        st.caption(f":material/broken_image: {_cell(card.problem)}")
    else:
        drawing = model_cards.thumbnail(card)
        if drawing:
            st.image(drawing, width="stretch", alt=f"front of {card.title}")
        st.caption("  \n".join(_cell(line) for line in summary(card)))
    if st.button("Card and export", key=f"open {card.entry.id}", width="stretch"):
        st.query_params["model"] = card.entry.id
        st.rerun()


def summary(card: Card) -> list[str]:
    """Front and size in two lines."""
    front = card.facts.get("Front", {})
    told = front.get("evaluated on", "not evaluated yet")
    if "hypervolume" in front:
        told = f"hypervolume {front['hypervolume']}"
    size = card.facts["Network"].get("parameters")
    return [told, size.replace(" on top of the plain network", " extra")] if size else [told]


def badges(card: Card) -> None:
    """Origin, data and kind."""
    marks = [f":{COLOURS[card.origin]}-badge[{card.origin}]"]
    if card.problem:
        marks.append(":red-badge[:material/error: cannot be used]")
    else:
        count = len(card.tasks)
        marks += [":violet-badge[synthetic data]"] if card.synthetic else []
        marks.append(f":gray-badge[{count} tasks]" if count > 1 else ":gray-badge[one task]")
        marks += [":gray-badge[one solution]"] if card.single else []
    st.markdown(" ".join(marks))


def detail(card: Card) -> None:
    """Everything about one model, with its exports."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(card.title, anchor=False, width="content")
        tools = st.container(
            horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content"
        )
        with tools:
            if st.button("All models", icon=":material/arrow_back:", key="back"):
                st.query_params.clear()
                st.rerun()
            if not card.problem:
                link = {"model": card.entry.id}
                st.page_link("pages/explore.py", label="Explore", icon=":material/tune:", query_params=link)
            delete_button(card)
    badges(card)
    if card.problem:
        st.error(card.problem, icon=":material/broken_image:")
        return
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        for section, facts in card.facts.items():
            st.markdown(f"##### {section}")
            st.html(model_cards.listed(facts))
    with right:
        exports(card)


def _cell(text: str) -> str:
    """Text of a card inside Markdown: nothing in it is markup."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|$~:!" else c for c in " ".join(text.split()))


def delete_button(card: Card) -> None:
    """Runs and imported models can be deleted, shipped ones can't."""
    if not card.entry.is_run or jobs.read_only():
        return
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(f"Delete **{card.entry.folder.name}** with its weights and its front? This cannot be undone.")
        if st.button("Yes, delete it", key="delete_model", type="primary"):
            try:
                jobs.delete(card.entry.id.removeprefix("run:"))
            except UserError as error:
                st.error(str(error))
                return
            st.query_params.clear()
            st.rerun()


@st.fragment
def exports(card: Card) -> None:
    """Choose what, at which λ; then download it with its report."""
    st.subheader("Export", anchor=False)
    try:
        loaded = services().registry.get(card.entry.id)
    except UserError as error:
        st.error(str(error), icon=":material/broken_image:")
        return
    forms = list(FORMS) if loaded.model.controllable else [form for form in FORMS if form != "controllable"]
    form = st.selectbox("What", forms, format_func=lambda f: FORMS[f][0], key="form")
    st.caption(ABOUT[form])
    preference = None
    if form in ("weights", "plain") and loaded.model.controllable:
        preference = choose_preference(loaded)
    elif form in ("weights", "plain"):
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
        st.error(str(error), icon=":material/error:")
        return
    key = (loaded.key, form, None if preference is None else tuple(preference))
    st.session_state["exported"] = (key, result)


def offer(result: Exported) -> None:
    """The file, its report, and the difference."""
    st.success(f"**{result.name}**: {result.sentence}.", icon=":material/check:")
    with st.container(horizontal=True):
        icon = ":material/download:"
        st.download_button("File", result.data, result.name, icon=icon, on_click="ignore", key="download_file")
        st.download_button(
            "Report", result.report_text, f"{result.name}.json", icon=icon, on_click="ignore", key="download_report"
        )


def choose_preference(loaded: LoadedModel) -> list[float]:
    """λ of the export: sliders for up to three tasks, corners and centre beyond; the Explore page's λ at first."""
    names = [task.name.replace("_", " ") for task in loaded.tasks]
    seen = st.session_state.get("views", {}).get(loaded.entry.id, {}).get("preference")
    start = seen or [1 / len(names)] * len(names)
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


page()
