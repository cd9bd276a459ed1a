"""Step 5: the dominated area, with a reference to move."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.learn import figures
from app.components.learn.frame import code, figure, text_and_figure
from palora_core.evaluation import indicators


def step_hypervolume() -> None:
    """The dominated area, with a reference to move."""
    right, left, second_place = text_and_figure("5-hypervolume.md", 2)
    number = left.slider("Points", 3, 30, 12, key="learn_points")
    noise = left.slider("How far off the front they are", 0.0, 0.6, 0.25, 0.05, key="learn_noise")
    first = second_place.slider("Reference: loss of task 1", 0.2, 2.0, 1.2, 0.05, key="learn_ref1")
    second = second_place.slider("Reference: loss of task 2", 0.2, 2.0, 1.2, 0.05, key="learn_ref2")
    random = np.random.default_rng(3)
    share = np.sort(random.random(number))
    points = np.stack([(1 - share) ** 2, share**2], 1) + noise * random.random((number, 2))
    with right:
        kept = int(indicators.nondominated(points).sum())
        area = indicators.hypervolume(points, (first, second))
        chart = figures.hypervolume_area(points, (first, second))
        figure(chart, "learn_hv", f"Hypervolume {area:.3f} as an area")
        st.markdown(
            f"Hypervolume **{area:.3f}** for the reference ({first:.2f}, {second:.2f}); "
            f"{kept} of {number} points are not dominated."
        )
    code(indicators.hypervolume, indicators.nondominated)
