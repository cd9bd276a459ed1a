"""The form of a Pareto expansion: a trained model gets new adapters, and only they are trained."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import jobs
from app.components.option_widgets import Answers, option_widgets
from app.components.train_panel import all_but, start_button
from app.library.entries import Entry
from palora_core.benchmarks.base import benchmarks
from palora_core.errors import UserError
from palora_core.training.setup import configure_expansion

SHOWN_OF_METHOD = ("conditioning.alpha", "conditioning.rank", "num_preferences")
SHOWN_OF_TRAINING = ("epochs", "lr", "seed")
ABOUT = (
    "Starts from the weights of a trained network (a controllable one counts at equal preferences), adds adapters and "
    "trains only those: a few epochs give a front around the point where the network stood."
)


def expansion_form(entries: Sequence[Entry], key: str = "expand") -> str | None:
    """The form; returns the name of the run that was started with it, if one was.

    Args:
        entries: the models there are; damaged ones and those of unknown benchmarks are left out.
        key: prefix of the widgets' keys.
    """
    if jobs.read_only():
        st.info("Training is switched off on this server.", icon=":material/lock:")
        return None
    st.caption(ABOUT)
    known = {entry.id: entry for entry in entries if not entry.problem and entry.benchmark in benchmarks}
    if not known:
        st.info("There is no trained model to expand yet; train one first, or import one on the Models page.")
        return None
    wanted = st.query_params.get("from")
    place = f"{key}.source"
    if st.session_state.get(place) not in known:
        st.session_state[place] = wanted if wanted in known else next(iter(known))
    chosen = known[st.selectbox("Starts from", list(known), format_func=lambda i: known[i].title, key=place)]
    answers = Answers()
    settings_of = f"{key}.{chosen.benchmark}"
    try:
        _, method, training = configure_expansion(chosen.benchmark, chosen.folder, {})
    except UserError as error:
        answers.problems.append(str(error))
    else:
        option_widgets(method, "method", settings_of, answers, all_but(method, SHOWN_OF_METHOD))
        option_widgets(training, "training", settings_of, answers, all_but(training, SHOWN_OF_TRAINING))
    return start_button(jobs.Expansion(chosen.benchmark, chosen.folder, chosen.title, answers.settings), answers, key)
