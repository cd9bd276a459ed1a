"""Models: cards of what is here, import and export."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import jobs
from app.components import model_cards
from app.components.export_panel import exports
from app.components.merge_form import merge_form
from app.components.model_cards import Card
from app.components.plain import plain
from app.components.train_here import lesson_link
from app.folders import id_of
from app.library import transfer
from app.library.entries import Entry
from app.library.models import LISTING_AGE
from app.services import services
from app.settings import ROOT
from palora_core.errors import UserError

TEXTS = ROOT / "app" / "texts"
COLOURS = {"shipped": "blue", "own run": "green", "imported": "orange"}


def page() -> None:
    """All cards, or the one that the URL names."""
    entries = services().registry.entries()
    with st.sidebar.expander("How to use this page", icon=":material/help:"):
        st.markdown((TEXTS / "models.md").read_text(encoding="utf-8"))
    wanted = st.query_params.get("model")
    entry = next((entry for entry in entries if entry.id == wanted), None)
    if entry is not None:
        for note in st.session_state.pop("merge_notes", ()):
            st.info(plain(note), icon=":material/info:")
        detail(model_cards.read(entry))
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Models", anchor=False, width="content")
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            import_form()
            merging(entries)
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
        limit = min(transfer.MAX_ZIP // 2**20, st.get_option("server.maxUploadSize"))
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


def merging(entries: Sequence[Entry]) -> None:
    """A popover that takes checkpoints or adapters; the model made of them opens."""
    if jobs.read_only():
        return
    with st.popover("Merge checkpoints", icon=":material/merge:"):
        model = merge_form(entries)
    if model:
        listed(model)
        st.query_params["model"] = model
        st.rerun()


def take(file: Any, name: str) -> str | None:
    """Import a zip and wait until it is listed; its id, or None after saying why not."""
    try:
        with st.spinner("Loading and checking everything in it …"):
            model = transfer.imported(file, name)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/block:")
        return None
    listed(model)
    return model


def listed(model: str) -> None:
    """Wait until a new model is among those that pages list."""
    deadline = time.monotonic() + 2 * LISTING_AGE
    while time.monotonic() < deadline and all(entry.id != model for entry in services().registry.entries()):
        time.sleep(0.2)


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
    st.subheader(plain(cards[0].entry.group_title), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{len(cards)} models of {len(methods)} methods. Choose a row to see its card.", width="content")
        there = {"benchmark": cards[0].entry.id}
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
    st.markdown(f"**{plain(card.entry.title)}**")
    badges(card)
    if card.problem:
        st.caption(f":material/broken_image: {plain(card.problem)}")
    else:
        drawing = model_cards.thumbnail(card)
        if drawing:
            st.image(drawing, width="stretch", alt=f"front of {card.title}")
        st.caption("  \n".join(plain(line) for line in summary(card)))
    if st.button("Card and export", key=f"open {card.entry.id}", width="stretch"):
        st.query_params["model"] = card.entry.id
        st.rerun()


def summary(card: Card) -> list[str]:
    """Front, size and effect, a line each."""
    front = card.facts.get("Front", {})
    told = front.get("evaluated on", "not evaluated yet")
    if "hypervolume" in front:
        told = f"hypervolume {front['hypervolume']}"
    size = card.facts["Network"].get("parameters", "").replace(" on top of the plain network", " extra")
    changed = front.get("λ changes")
    return [told, *([size] if size else []), *([f"λ changes {changed}"] if changed else [])]


def badges(card: Card) -> None:
    """Origin, data and kind."""
    marks = [f":{COLOURS[card.origin]}-badge[{card.origin}]"]
    if card.problem:
        marks.append(":red-badge[:material/error: cannot be used]")
    else:
        count = len(card.tasks)
        marks += [f":violet-badge[{card.data}]"] if card.data else []
        marks.append(f":gray-badge[{count} tasks]" if count > 1 else ":gray-badge[one task]")
        marks += [":gray-badge[one solution]"] if card.single else []
    st.markdown(" ".join(marks))


def detail(card: Card) -> None:
    """Everything about one model, with its exports."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(plain(card.title), anchor=False, width="content")
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
                lesson_link(card.entry.benchmark)
            delete_button(card)
    badges(card)
    if card.problem:
        st.error(plain(card.problem), icon=":material/broken_image:")
        return
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        for section, facts in card.facts.items():
            st.markdown(f"##### {section}")
            st.html(model_cards.listed(facts))
    with right:
        exports(card)


def delete_button(card: Card) -> None:
    """Runs and imported models can be deleted, shipped ones can't."""
    if not card.entry.is_run or jobs.read_only():
        return
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(
            f"Delete **{plain(id_of(card.entry.folder.name))}** with its weights and its front? This cannot be undone."
        )
        if st.button("Yes, delete it", key="delete_model", type="primary"):
            try:
                jobs.delete(card.entry.id.removeprefix("run:"))
            except UserError as error:
                st.error(plain(str(error)))
                return
            st.query_params.clear()
            st.rerun()


page()
