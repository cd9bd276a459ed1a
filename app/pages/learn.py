"""Learn: a tour in eight steps, each of them computed while you look at it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.analysis import toys
from app.components import address_bar
from app.components.learn.cost import step_cost
from app.components.learn.equation import step_equation
from app.components.learn.fairness import step_fairness
from app.components.learn.forgetting import step_forgetting
from app.components.learn.frame import code, lesson, text_and_figure
from app.components.learn.hypervolume import step_hypervolume
from app.components.learn.schedule import step_schedule
from app.components.toy_drag import show_toy, toy_data


def page() -> None:
    """The chosen step, with a way to all others."""
    names = [f"{number} · {title}" for number, (title, _) in enumerate(STEPS, start=1)]
    linked = address_bar.followed("learn", ["step"]).get("step", "")
    if linked.isdecimal() and 1 <= int(linked) <= len(STEPS):
        st.session_state["learn_step"] = names[int(linked) - 1]
    st.session_state.setdefault("learn_step", names[0])
    chosen = st.pills(
        "Step", names, key="learn_step", label_visibility="collapsed", required=True, persist_state="session"
    )
    number = names.index(chosen)
    address_bar.show_address("learn", {"step": str(number + 1)})
    STEPS[number][1]()
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        for label, step in (("Back", number - 1), ("Next", number + 1)):
            if 0 <= step < len(names):
                text = f"{label}: {STEPS[step][0]}"
                st.button(text, key=f"learn_{label}", on_click=go, args=(names[step],), type="tertiary")


def go(name: str) -> None:
    """Turn to a step (a button's callback)."""
    st.session_state["learn_step"] = name


def step_front() -> None:
    """Two objectives with a known front."""
    right, first = text_and_figure("1-front.md", 1)
    shape = first.segmented_control("Shape of the front", ["convex", "concave"], default="convex", key="learn_shape")
    with right:
        show_toy("learn_toy", toy_data(toys.Bowls(shape == "concave")))
    code(toys.Bowls, toys.common_descent)


def step_teaching() -> None:
    """For teachers."""
    left, _ = st.columns([3, 1])
    with left:
        lesson("8-teaching.md")


STEPS: tuple[tuple[str, Callable[[], None]], ...] = (
    ("Front", step_front),
    ("Cost", step_cost),
    ("Equation", step_equation),
    ("Schedule", step_schedule),
    ("Hypervolume", step_hypervolume),
    ("Forgetting", step_forgetting),
    ("Fairness", step_fairness),
    ("For teachers", step_teaching),
)

page()
