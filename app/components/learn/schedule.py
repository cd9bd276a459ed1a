"""Step 4: the annealed schedule next to random draws."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from app.components.learn import figures
from app.components.learn.frame import code, figure, text_and_figure
from palora_core import samplers


def step_schedule() -> None:
    """The annealed schedule next to random draws."""
    right, first, second, third = text_and_figure("4-schedule.md", 3)
    num_tasks = first.segmented_control("Tasks", [2, 3], default=2, key="learn_tasks") or 2
    count = second.slider("Preferences per step M", 1, 15, 5 if num_tasks == 2 else 10, key=f"learn_count_{num_tasks}")
    temperature = third.select_slider("Temperature", [0.1, 0.2, 0.5, 1.0, 2.0, 5.0], 1.0, key="learn_temperature")
    tau = third.slider("Training time τ", 0.0, 1.0, 0.6, 0.05, key="learn_tau")
    other = second.segmented_control("Beside it", ["Dirichlet", "annealed"], default="Dirichlet", key="learn_other")
    sampler = samplers.Dirichlet(1.0) if other != "annealed" else samplers.AnnealedDirichlet(2.0)
    names = (
        "annealed, deterministic (Eq. 2)",
        "annealed Dirichlet, random" if other == "annealed" else "Dirichlet, random",
    )
    taus = np.linspace(0, 1, 41 if num_tasks == 2 else 21)
    generator = torch.Generator().manual_seed(0)
    lines = [samplers.annealed_preferences(num_tasks, count, float(t), temperature) for t in taus]
    draws = [sampler.sample(num_tasks, count, float(t), generator) for t in taus]
    make = figures.schedule_lines if num_tasks == 2 else figures.schedule_film
    with right:
        chart = make(taus, figures.as_array(lines), figures.as_array(draws), names)
        figure(chart, f"learn_schedule_{num_tasks}", f"λ over training time: {names[0]}, beside {names[1]}")
        rows = samplers.annealed_preferences(num_tasks, count, tau, temperature)
        spread = ", ".join("(" + ", ".join(f"{value:.2f}" for value in row) + ")" for row in rows.tolist()[:6])
        st.markdown(f"At τ = {tau:.2f}: {spread}{' …' if count > 6 else ''}")
        worst = min(float(row.mean(0).min()) for row in draws)
        st.caption(
            f"Mean weight of a task in a step: always {1 / num_tasks:.2f} on the left, down to {worst:.2f} beside it"
        )
    code(samplers.annealed_preferences, samplers.Dirichlet)
