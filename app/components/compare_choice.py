"""The choices of the Compare page: a benchmark, and the methods on it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import compare_view as view
from app.components.plain import plain
from app.library import leaderboards
from app.library.common_items import measured_apart
from app.library.leaderboards import Leaderboard
from app.library.series import Series, explained, shown_first
from app.services import services
from app.settings import ROOT

PUBLISHED = ROOT / "docs" / "published"
SHOWN_AT_FIRST = 8
ICON = ":material/balance:"


def choose_leaderboard(boards: Sequence[Leaderboard]) -> Leaderboard:
    """The benchmark: that of the model that was last chosen on another page, else the one with most models.

    A link names it, or a model on it.
    """
    titles = {board.key: board.title for board in boards}
    by_model = {one.id: board.key for board in boards for one in board.models}
    names = {name: board.key for board in reversed(boards) for name in (board.bare, board.name)}
    links = by_model | names | {key: key for key in titles}
    model = st.session_state.get("chosen_model")
    if model != st.session_state.get("compare model"):
        st.session_state["compare model"] = model
        if model in by_model:
            st.session_state["leaderboard"] = by_model[model]
    view.restore("benchmark", "leaderboard", list(titles), lambda text: links.get(text, text))
    key = st.sidebar.selectbox(
        "Benchmark", list(titles), format_func=lambda k: titles.get(k, k), key="leaderboard", persist_state="session"
    )
    view.tell("benchmark", key)
    return next(board for board in boards if board.key == key)


def published_in(board: Leaderboard) -> list[leaderboards.EvaluatedModel]:
    """Published results on the benchmark, if somebody wants to see them."""
    found = leaderboards.published(PUBLISHED / f"{board.name}.json", board)
    if not found:
        return []
    view.restore("published", "published", [True, False], lambda text: text == "True")
    wanted = st.sidebar.toggle("Published results", key="published", help=_note(board), persist_state="session")
    view.tell("published", wanted, False)
    return found if wanted else []


def choose_series(board: Leaderboard, everything: Sequence[Series]) -> list[Series]:
    """Which methods; all of them at first, within reason."""
    own = {one.name: one for one in everything if not one.published}
    key = f"series {board.key}"
    usual = shown_first(everything, SHOWN_AT_FIRST)
    _restore(key, everything, usual)
    if len(own) > SHOWN_AT_FIRST:
        presets(key, everything)
    chosen = st.multiselect(
        "Methods",
        list(own),
        key=key,
        placeholder="Choose methods",
        label_visibility="collapsed",
        persist_state="session",
    )
    view.tell("models", view.models_text([own[name].members[0].id for name in chosen]) if chosen != usual else None)
    shown = [own[name] for name in chosen] + [one for one in everything if one.published]
    remarks(board, shown)
    return shown


def _restore(key: str, everything: Sequence[Series], usual: list[str]) -> None:
    """What a link asks for, else what was chosen before and is still here, else the usual ones."""
    links = {member.id: one.name for one in everything for member in one.members if not one.published}
    wanted = [links[model] for model in view.models_of(view.asked("models") or "") if model in links]
    before = st.session_state.get(key, usual)
    here = [name for name in before if name in links.values()]
    if wanted or here != before or key not in st.session_state:
        st.session_state[key] = list(dict.fromkeys(wanted)) or here


def remarks(board: Leaderboard, shown: Sequence[Series]) -> None:
    """What must be said beside these methods."""
    apart = measured_apart([member for one in shown for member in one.members], services().registry)
    if apart:
        st.warning(f"{_listed(apart)} measured on other test items than the rest; compare with care.", icon=ICON)
    if any(one.published for one in shown):
        st.caption(f"Dotted and hollow: published. {_note(board)}")
    for name, text in explained(shown).items():
        st.caption(f"**{plain(name)}**: {text.replace('``', '`')}")
    single = [one.name for one in shown if one.single and not one.published]
    if single and len(board.tasks) > 1:
        names = ", ".join(single[:3]) + (f" and {len(single) - 3} more" if len(single) > 3 else "")
        verb = "is one network with one trade-off" if len(single) == 1 else "are one network with one trade-off each"
        st.caption(f"{plain(names)} {verb}: a point, which no λ moves. A line is a method that answers every λ.")


def _listed(models: Sequence[leaderboards.EvaluatedModel]) -> str:
    names = [plain(one.name or one.id.removeprefix("run:")) for one in models]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'was' if len(names) == 1 else 'were'}"


def presets(key: str, everything: Sequence[Series]) -> None:
    """Buttons that fill the choice of methods where there are many."""
    mine = [one for one in everything if not one.published]
    choices = {
        "A few": shown_first(mine, SHOWN_AT_FIRST),
        "All fronts": [one.name for one in mine if not one.single],
        "All single solutions": [one.name for one in mine if one.single],
        "Everything": [one.name for one in mine],
        "Nothing": [],
    }
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"{len(mine)} methods on this benchmark:", width="content")
        for label, names in choices.items():
            if names or label == "Nothing":
                st.button(label, key=f"preset {label}", on_click=st.session_state.__setitem__, args=(key, names))


def _note(board: Leaderboard) -> str:
    data = leaderboards.published_notes(PUBLISHED / f"{board.name}.json")
    return f"{data['source']} {data['note']}"
