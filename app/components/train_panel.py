"""The forms that start a run: in the sidebar of any page (short) and on the Train page (every option)."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import jobs
from app.components.option_widgets import Answers, below, option_widgets
from app.components.plain import plain
from palora_core.balancing.base import balancers
from palora_core.benchmarks.base import benchmarks
from palora_core.conditioning.base import conditionings
from palora_core.config import options
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.samplers import samplers
from palora_core.training.setup import configure

PARTS = {"conditioning": conditionings, "balancer": balancers, "sampler": samplers}
OWN = "the method's own"
SHOWN_OF_TRAINING = ("epochs", "seed", "precision")
SHOWN_OF_METHOD = ("conditioning.rank", "num_preferences")


def train_popover() -> None:
    """For the sidebar of every page: the short form, run only while it is open, and what is training now."""
    jobs.keep_queue()
    live = [job for job in jobs.jobs() if job.live]
    if live:
        first = next((job for job in live if job.status == "running"), live[0])
        done = f" {100 * first.step // first.total_steps} %" if first.total_steps else ""
        label = f"Training: {first.status}{done}" + (f" · {len(live)} runs" if len(live) > 1 else "")
        st.page_link("pages/train.py", label=label, icon=":material/play_circle:", query_params={"run": first.name})
    if jobs.read_only():
        return
    icon = ":material/model_training:"
    place = st.popover("Train a model", icon=icon, width="stretch", key="train_popover", on_change="rerun")
    if not place.open:
        return
    with place:
        name = start_form("sidebar", every_option=False)
        st.page_link("pages/train.py", label="Every option, and Pareto expansion", query_params={"run": "new"})
    if name:
        st.switch_page("pages/train.py", query_params={"run": name})


def start_form(key: str, every_option: bool = True) -> str | None:
    """The form; returns the name of the run that was started with it, if one was.

    Args:
        key: prefix of the widgets' keys, one per place of the form.
        every_option: show all options of benchmark, method and training, not only the most used.
    """
    if jobs.read_only():
        st.info("Training is switched off on this server.", icon=":material/lock:")
        return None
    benchmark, method = _what(key, columns=2 if every_option else 1)
    answers, parts = Answers(), dict[str, str]()
    bench, chosen, training = configure(benchmark, method, {})
    scope = f"{key}.{benchmark}.{method}"
    hidden = all_but(training, SHOWN_OF_TRAINING)
    option_widgets(training, "training", scope, answers, hidden, columns=3 if every_option else 2)
    go = st.container()  # above the long part of the form
    if every_option:
        _method_options(chosen, scope, answers, parts, benchmark, method)
        with st.expander("Benchmark and data"):
            st.caption(f"{bench.summary} {bench.licence}")
            option_widgets(bench, "benchmark", scope, answers)
        with st.expander("Training"):
            option_widgets(training, "training", scope, answers, SHOWN_OF_TRAINING)
    else:
        option_widgets(chosen, "method", scope, answers, all_but(chosen, SHOWN_OF_METHOD), columns=2)
    with go:
        return start_button(jobs.Order(benchmark, method, answers.settings, parts), answers, key)


def _what(key: str, columns: int) -> tuple[str, str]:
    places = st.columns(columns)
    left, right = places[0], places[-1]
    every = benchmarks()
    names = list(every)
    first = names.index("multimnist") if "multimnist" in names else 0
    benchmark = left.selectbox(
        "benchmark", names, first, format_func=lambda n: every[n].title or n, key=f"{key}.benchmark"
    )
    if every[benchmark].synthetic:
        left.caption("Synthetic scenes, generated and cached before the first training.")
    titles = methods()
    names = list(titles)
    first = names.index("palora") if "palora" in names else 0
    method = right.selectbox("method", names, first, format_func=lambda n: titles[n].title or n, key=f"{key}.method")
    if titles[method].source:
        right.caption(titles[method].source)
    return benchmark, method


def _method_options(
    chosen: Any, scope: str, answers: Answers, parts: dict[str, str], benchmark: str, method: str
) -> None:
    """The method's options, after its parts have been chosen (which changes the options)."""
    with st.expander("Method", expanded=True):
        for place, (part, registry) in zip(st.columns(3), PARTS.items()):
            choice = place.selectbox(part, [OWN, *registry()], key=f"{scope}.{part}", help=f"Replace the {part}.")
            if choice != OWN:
                parts[part] = choice
        try:
            chosen = configure(benchmark, method, {}, parts)[1]
        except UserError as error:  # parts that do not go together
            answers.problems.append(str(error))
            return
        scope += "".join(f".{entry}" for entry in parts.values())
        option_widgets(chosen, "method", scope, answers)


def all_but(config: Any, shown: tuple[str, ...]) -> list[str]:
    """Paths of all options of a dataclass but those ``shown``."""
    return [option.path for option in options(config) if option.path not in shown]


def start_button(order: jobs.Order | jobs.Expansion, answers: Answers, key: str) -> str | None:
    """The button with the expected time below it; returns the name of the run that was started.

    Where the form has a problem the button stays where it is, cannot be pressed, and the reason stands below it.
    """
    reason = answers.reason or _refused(order)
    label, icon = "Start training", ":material/play_arrow:"
    pressed = st.button(label, type="primary", icon=icon, key=f"{key}.start", disabled=bool(reason))
    if reason:
        below(f"Not yet: {reason}")
        return None
    st.caption(f":material/schedule: {expected(jobs.estimate(order))}")
    if not pressed:
        return None
    try:
        return jobs.start(order)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _refused(order: jobs.Order | jobs.Expansion) -> str:
    """What training would refuse, though every field by itself is right."""
    try:
        order.configured()
    except UserError as error:
        return str(error)
    return ""


def expected(estimate: jobs.Estimate | None) -> str:
    """The estimate in words."""
    if estimate is None:
        return "Time unknown: nothing was trained on this benchmark yet."
    if estimate.alike:
        return f"About {duration(estimate.seconds)}, as earlier runs like it took."
    return f"Roughly {duration(estimate.seconds)}, scaled from other trainings on this benchmark."


def duration(seconds: float | None) -> str:
    """``"1 h 05 min"``, ``"3 min 20 s"``, ``"8 s"``."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
