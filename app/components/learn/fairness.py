"""Step 7: a network of people, trained in the page, and its front as it grows."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import jobs
from app.components.learn import figures
from app.components.learn.frame import code, figure, text_and_figure
from app.components.train_here import train_here
from palora_core.objectives.gaps import RateGap

LIVE = {"evaluate_every": 1, "front_points": 11}  # a small front after every epoch


def step_fairness() -> None:
    """Choose what is to be equal, between whom, and train."""
    right, *places = text_and_figure("7-fairness.md", 3)
    gaps = places[0].selectbox("Equal", ["outcomes", "chances", "both"], key="learn_gaps")
    group = places[1].segmented_control("Groups by", ["sex", "race"], default="sex", key="learn_group")
    floor = places[2].select_slider("Prediction counts at least", [0.0, 0.05, 0.1, 0.2, 0.5], 0.1, key="learn_floor")
    settings = {"gaps": gaps, "group": group or "sex", "floor": floor, **LIVE}
    order = jobs.Order("fairness", "palora", settings)
    with right:
        train_here("learn_fairness", order, growing)
        there = {"model": "fairness"}
        st.page_link("pages/explore.py", label="The shipped one in Explore", icon=":material/tune:", query_params=there)
    code(RateGap)


def growing(fronts: list[dict[str, Any]]) -> None:
    """The front of every epoch so far: accuracy against the first gap, on people who were not trained on."""
    gap = next(key for key in fronts[-1]["metrics"] if key.endswith("/gap"))
    axes = gap, "income/accuracy"
    told = f"Front after epoch {fronts[-1]['epoch']}: {figures.span(fronts[-1], *axes)}"
    figure(figures.growing_front(fronts, *axes), "learn_growing", told)
    st.caption(f"{told}. Pale: earlier epochs. On the 2,561 people of the validation split.")
