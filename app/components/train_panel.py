"""The form that starts a run: in the sidebar of any page (short) and on the Train page (every option)."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import jobs
from app.components.option_widgets import option_widgets
from palora_core.balancing.base import balancers
from palora_core.benchmarks.base import benchmarks
from palora_core.conditioning.base import conditionings
from palora_core.config import method_from
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.samplers import samplers
from palora_core.setup_run import configure

PARTS = {"conditioning": conditionings, "balancer": balancers, "sampler": samplers}
OWN = "the method's own"


def train_popover() -> None:
    """For the sidebar: a popover with the short form; a started run opens on the Train page."""
    jobs.keep_queue()
    with st.popover("Train a model", icon=":material/model_training:", width="stretch"):
        name = start_form("sidebar", every_option=False)
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
    benchmark, method = _what(key)
    settings: dict[str, Any] = {}
    parts: dict[str, str] = {}
    try:
        bench, chosen, training = configure(benchmark, method, {})
        scope = f"{key}.{benchmark}.{method}"
        settings |= option_widgets(training, "training", scope, _all_but(training, ("epochs", "seed", "precision")))
        go = st.container(horizontal=True, vertical_alignment="center")  # above the long part of the form
        if every_option:
            settings |= _method_options(chosen, scope, parts, benchmark, method)
            with st.expander("Benchmark and data"):
                st.caption(f"{bench.summary} {bench.licence}")
                settings |= option_widgets(bench, "benchmark", scope)
            with st.expander("Training"):
                settings |= option_widgets(training, "training", scope, ("epochs", "seed", "precision"))
        else:
            settings |= option_widgets(
                chosen, "method", scope, _all_but(chosen, ("conditioning.rank", "num_preferences"))
            )
        order = jobs.Order(benchmark, method, settings, parts)
        order.check()
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        return None
    with go:
        return _start(order, key)


def _what(key: str) -> tuple[str, str]:
    left, right = st.columns(2)
    every = benchmarks()
    names = list(every)
    first = names.index("multimnist") if "multimnist" in names else 0
    benchmark = left.selectbox(
        "benchmark", names, first, format_func=lambda n: every[n].title or n, key=f"{key}.benchmark"
    )
    titles = methods()
    names = list(titles)
    first = names.index("palora") if "palora" in names else 0
    method = right.selectbox("method", names, first, format_func=lambda n: titles[n].title or n, key=f"{key}.method")
    if titles[method].source:
        right.caption(titles[method].source)
    if every[benchmark].synthetic:
        left.caption("Synthetic scenes, generated and cached before the first training.")
    return benchmark, method


def _method_options(chosen: Any, scope: str, parts: dict[str, str], benchmark: str, method: str) -> dict[str, Any]:
    """The method's options, after its parts have been chosen (which changes the options)."""
    with st.expander("Method", expanded=True):
        for place, (part, registry) in zip(st.columns(3), PARTS.items()):
            choice = place.selectbox(part, [OWN, *registry()], key=f"{scope}.{part}", help=f"Replace the {part}.")
            if choice != OWN:
                parts[part] = choice
        if parts:
            method_from(method, parts)
            chosen = configure(benchmark, method, {}, parts)[1]
        scope += "".join(f".{entry}" for entry in parts.values())
        return option_widgets(chosen, "method", scope)


def _all_but(config: Any, shown: tuple[str, ...]) -> list[str]:
    from palora_core.config import options

    return [option.path for option in options(config) if option.path not in shown]


def _start(order: jobs.Order, key: str) -> str | None:
    pressed = st.button("Start training", type="primary", icon=":material/play_arrow:", key=f"{key}.start")
    seconds = jobs.estimate(order)
    about = f"about {duration(seconds)}, as earlier runs like it took" if seconds else "unknown: no earlier run like it"
    st.caption(f":material/schedule: Time: {about}.")
    if not pressed:
        return None
    try:
        return jobs.start(order)
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        return None


def duration(seconds: float | None) -> str:
    """``"1 h 05 min"``, ``"3 min 20 s"``, ``"8 s"``."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
