"""The journal on the page: the time line with a way back to every step, undo, and the decision with its report."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import streamlit as st

from app import state
from app.bench.journal import Event
from app.bench.view import MOST_TEXT, Decision
from app.components.downloads import made_on_demand
from app.components.plain import plain
from app.components.trust_panel import trust_panel
from app.exports import exporting
from app.exports.exporting import Exported
from app.exports.report.decision import decision_report
from app.library.loading import LoadedModel
from app.services import services

SHOWN = 40  # steps; older ones are in the file
ICONS = {
    "began": "flag", "looked": "visibility", "kept": "bookmark_add", "removed": "bookmark_remove", "renamed": "edit",
    "compared": "compare", "bounded": "straighten", "noted": "notes", "decided": "gavel", "returned": "undo",
}  # fmt: skip


def journal_panel(loaded: LoadedModel) -> None:
    """All steps of this session with models of one problem, and what was decided."""
    journal = state.journal(loaded)
    if not len(journal):
        st.caption("Nothing was done yet: keep a candidate, set a limit or move λ, and it is noted here.")
        return
    _player(loaded, journal.standing)
    with st.container(height=260):
        for number, event in list(enumerate(journal))[-SHOWN:][::-1]:
            _row(loaded, number, event)
    with st.container(horizontal=True):
        if st.button("Undo", key="journal_undo", icon=":material/undo:", disabled=len(journal.standing) < 2):
            state.undo(loaded)
            st.rerun()
        text = json.dumps({"format": 1, "problem": state.problem_of(loaded), "events": journal.to_json()}, indent=1)
        name = f"{exporting.file_stem(loaded)}-journal.json"
        st.download_button("Journal (JSON)", text, file_name=name, on_click="ignore", key="journal_file")


def _row(loaded: LoadedModel, number: int, event: Event) -> None:
    """One step: when, what, and a way back to it."""
    words, way = st.columns([6, 1], vertical_alignment="center", gap="small")
    with words:
        when = time.strftime("%H:%M", time.gmtime(event.at))
        said = f"~~{plain(event.said)}~~" if event.undone else plain(event.said)
        st.markdown(f":material/{ICONS[event.what]}: {when} UTC · {said}")
    with way:
        if st.button("Go", key=f"journal_go_{number}", help=f"show step {number + 1} again", type="tertiary"):
            state.show(loaded, event.view, f"back to step {number + 1}")
            st.rerun()


def _player(loaded: LoadedModel, steps: list[Event]) -> None:
    """Replay: step through what was seen, without changing the shortlist."""
    place = min(st.session_state.get("journal_place", len(steps) - 1), len(steps) - 1)
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, icon, there in (("Back", "skip_previous", place - 1), ("Forward", "skip_next", place + 1)):
            outside = not 0 <= there < len(steps)
            if st.button(label, key=f"journal_{label}", icon=f":material/{icon}:", disabled=outside):
                st.session_state["journal_place"] = there
                state.look(loaded, steps[there].view)
                st.rerun()
        st.caption(f"Step {place + 1} of {len(steps)}: {plain(steps[place].said)}")


def decision_panel(loaded: LoadedModel) -> None:
    """Question, choice and reason, and the report of them."""
    view = state.view(loaded)
    names = [one.name for one in view.shortlist]
    if not names:
        st.caption("Keep at least one candidate: then you can choose among them, and say why, here.")
        return
    decision = view.decision
    question = st.text_input("The question", decision.question, max_chars=MOST_TEXT, key="decision_question")
    place = names.index(decision.choice) if decision.choice in names else None
    choice = st.selectbox("The choice", names, place, key="decision_choice", placeholder="not yet")
    reason = st.text_area("Why", decision.reason, max_chars=MOST_TEXT, key="decision_reason", height=80)
    new = Decision(question.strip(), choice or "", reason.strip())
    if new != decision:
        view = state.update(loaded, replace(view, decision=new))
    sure = trust_panel(loaded)
    label = dict(state.images(loaded)).get(view.image, "")
    wanted = (loaded.key, json.dumps(view.to_json()), len(state.journal(loaded)), sure)

    def make() -> Exported:
        page = decision_report(services(), loaded, view, state.journal(loaded), label, sure)
        return Exported(f"{exporting.file_stem(loaded)}-decision.html", page, {})

    made_on_demand("Decision report", "Drawing every candidate …", wanted, make)
