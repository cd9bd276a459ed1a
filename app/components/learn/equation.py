"""Step 3: Eq. 1, trained in the page."""

from __future__ import annotations

import streamlit as st
import torch

from app.analysis import toys
from app.components.learn import figures
from app.components.learn.frame import code, figure, text_and_figure
from palora_core import adapters


def step_equation() -> None:
    """Train Eq. 1 in the page."""
    right, *places = text_and_figure("3-equation.md", 4)
    rank = places[0].select_slider("Rank r", [1, 2, 4, 8], 1, key="learn_r")
    alpha = places[1].select_slider("α", [0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0], 1.0, key="learn_alpha")
    count = places[2].select_slider("Preferences per step M", [1, 2, 3, 5], 3, key="learn_m")
    with right:
        result = trained(rank, alpha, count)
        weight = places[3].slider("λ₁, weight of task 1", 0.0, 1.0, 0.5, 0.05, key="learn_weight")
        at = toys.toy_point(result.model, (weight, 1 - weight))
        chart = figures.toy_front(result.preferences, result.losses, result.ideal, at)
        figure(chart, "learn_toy_front", f"Front of the network, and its losses at λ₁ = {weight:.2f}")
        shown = {f"λ = ({w:.2f}, {1 - w:.2f})": toys.toy_surface(result.model, (w, 1 - w)) for w in (1.0, weight, 0.0)}
        figure(figures.toy_surfaces(shown), "learn_surfaces", f"What the network computes at {', '.join(shown)}")
        share = 100 * result.num_adapters / result.num_base
        st.caption(f"{result.num_base:,} weights, {result.num_adapters:,} in adapters ({share:.0f} %: tiny layers).")
    code(adapters.LowRankLayer.mixed_weight, toys.train_toy, toys.toy_targets)


def trained(rank: int, alpha: float, count: int) -> toys.ToyResult:
    """The toy network for these options, trained now or by somebody before."""
    with st.spinner("Training, about two seconds …", show_time=True):
        return train(rank, alpha, count)


@st.cache_resource(max_entries=64, show_spinner=False)
def train(rank: int, alpha: float, count: int) -> toys.ToyResult:
    """One training for all sessions that ask for the same options."""
    with toys.one_at_a_time:
        torch.set_num_threads(1)
        return toys.train_toy(rank, alpha, count, steps=160 if count <= 3 else 110)
