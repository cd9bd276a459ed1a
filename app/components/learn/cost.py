"""Step 2: parameters of K networks against those of adapters."""

from __future__ import annotations

import streamlit as st

from app.analysis import toys
from app.components.learn import figures
from app.components.learn.frame import code, figure, text_and_figure
from palora_core import adapters
from palora_core.networks.base import networks

STORED = "Numbers to store: one network per trade-off, whole networks mixed, one network with adapters"
PASSES = "Passes per training step of the same three"

NETWORKS: dict[str, tuple[str, dict[str, int], int]] = {  # name → (network, its outputs, the paper's rank)
    "LeNet, two digits": ("lenet", {"left": 10, "right": 10}, 1),
    "SegNet, CityScapes (2 tasks)": ("segnet", {"segmentation": 7, "depth": 1}, 4),
    "SegNet, NYUv2 (3 tasks)": ("segnet", {"segmentation": 13, "depth": 1, "normals": 3}, 4),
}


def step_cost() -> None:
    """Parameters of K networks against those of adapters."""
    right, first, second, third = text_and_figure("2-cost.md", 3)
    name = first.selectbox("Network", list(NETWORKS), key="learn_network")
    _, outputs, rank = NETWORKS[name]
    count = second.slider("Trade-offs you want (K)", 2, 50, 11, key="learn_count")
    rank = third.slider("Rank r of the adapters", 1, 32, rank, key=f"learn_rank_{name}")
    several = second.slider("Preferences per step (M)", 1, 9, 3, key="learn_several")
    form = first.segmented_control("Form for convolutions", adapters.CONV_FORMS, default="flat", key="learn_form")
    costs = counted(name, rank, form or "flat")
    stored = costs.stored(count, len(outputs))
    with right:
        columns = st.columns(3)
        columns[0].metric("Plain network", f"{costs.plain:,}", border=True)
        columns[1].metric("All adapters", f"{costs.adapters:,}", border=True)
        columns[2].metric("Overhead", f"{100 * costs.adapters / costs.plain:.2f} %", border=True)
        figure(figures.cost_bars(stored, "numbers to store"), "learn_parameters", STORED)
        passes = dict(zip(stored, (count, several, several)))
        figure(figures.cost_bars(passes, "passes per training step"), "learn_passes", PASSES)
        st.caption(
            "Counted just now from the real networks with adapters inserted. Time goes with the forward and backward "
            "passes of a step: one for each separate network, M for a method that trains on M preferences at once."
        )
    code(toys.count_parameters, adapters.factor_shapes)


@st.cache_data(max_entries=128, show_spinner=False)
def counted(name: str, rank: int, form: str) -> toys.Costs:
    """Exact parameter counts of one of the networks."""
    network, outputs, _ = NETWORKS[name]
    return toys.count_parameters(lambda: networks.get(network)(outputs), len(outputs), rank, form)
