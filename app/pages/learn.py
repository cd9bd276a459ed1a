"""Learn: a tour in seven steps, each of them computed while you look at it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import torch

from app.analysis import toys, verdicts
from app.analysis.probes import maps
from app.components import address_bar, probe_figures
from app.components import learn_figures as figures
from app.components.plain import plain
from app.components.probe_sections import spread
from app.components.toy_drag import show_toy, toy_data
from app.library.loading import LoadedModel
from app.services import services
from app.settings import ROOT
from palora_core import adapters, samplers
from palora_core.errors import UserError
from palora_core.evaluation import indicators, probing
from palora_core.evaluation.probing import Plane
from palora_core.networks.base import networks

LESSONS = ROOT / "app" / "lessons"
STORED = "Numbers to store: one network per trade-off, whole networks mixed, one network with adapters"
PASSES = "Passes per training step of the same three"

NETWORKS: dict[str, tuple[str, dict[str, int], int]] = {  # name → (network, its outputs, the paper's rank)
    "LeNet, two digits": ("lenet", {"left": 10, "right": 10}, 1),
    "SegNet, CityScapes (2 tasks)": ("segnet", {"segmentation": 7, "depth": 1}, 4),
    "SegNet, NYUv2 (3 tasks)": ("segnet", {"segmentation": 13, "depth": 1, "normals": 3}, 4),
}


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


def lesson(file: str) -> None:
    """The text of a step."""
    st.markdown((LESSONS / file).read_text(encoding="utf-8"))


def code(*shown: Any) -> None:
    """What was at work on this page: file and source of functions and classes."""
    with st.expander("The code behind this step", icon=":material/code:"):
        for item in shown:
            path = Path(inspect.getsourcefile(item) or "")
            depth = item.__module__.count(".") + 1 + (path.name == "__init__.py")
            lines, first = inspect.getsourcelines(item)
            st.caption(f"`{'/'.join(path.parts[-depth:])}`, line {first}")
            st.code("".join(lines), language="python")


def figure(chart: Any, key: str, told: str) -> None:
    """A figure, and in words what it shows."""
    st.plotly_chart(chart, key=key, config=figures.BARE, alt=told)


def text_and_figure(file: str, controls: int = 0) -> tuple[Any, ...]:
    """The text in a column, and the column beside it; in that one, places for a row of controls come first."""
    left, right = st.columns([1, 1.9], gap="large")
    with left:
        lesson(file)
    return (right, *right.columns(controls, gap="medium")) if controls else (right,)


def step_front() -> None:
    """Two objectives with a known front."""
    right, first = text_and_figure("1-front.md", 1)
    shape = first.segmented_control("Shape of the front", ["convex", "concave"], default="convex", key="learn_shape")
    with right:
        show_toy("learn_toy", toy_data(toys.Bowls(shape == "concave")))
    code(toys.Bowls, toys.common_descent)


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


def step_forgetting() -> None:
    """Figure 5 on a model that is here, or on the toy network."""
    (right,) = text_and_figure("6-forgetting.md")
    with right:
        loaded = example_model()
        if loaded is None:
            toy_forgetting()
        else:
            probe = maps.get(loaded, Plane.of(loaded.num_tasks))
            if not probe.complete and not probe.running:
                probe.start(finest=1.0)
            st.fragment(model_forgetting, run_every=2 if probe.running else None)(loaded, probe, probe.running)
            st.page_link("pages/probe.py", label="Go on with this model in Probe", icon=":material/science:")
    code(probing.measure, probing.forgotten_beyond, adapters.LowRankLayer.deltas)


def example_model() -> LoadedModel | None:
    """The first shipped model with samples and two or three tasks that can be probed."""
    registry = services().registry
    for entry in sorted(registry.entries(), key=lambda e: (e.is_run, e.benchmark != "multimnist")):
        try:
            loaded = None if entry.problem else registry.get(entry.id)
        except UserError:
            continue
        if loaded and loaded.samples is not None and loaded.model.controllable and loaded.num_tasks in (2, 3):
            return loaded
    return None


def model_forgetting(loaded: LoadedModel, probe: Any, was_running: bool) -> None:
    """Bars of a model, as soon as they are measured."""
    named, layers = probe.named(), probe.layers()
    trained_on, pseudo = probing.control_preferences(loaded.num_tasks), probing.pseudo_preferences(loaded.num_tasks)
    order = [*trained_on, *pseudo]
    if probe.problem:
        st.error(plain(probe.problem), icon=":material/error:")
    elif not layers or any(name not in named for name in order):
        st.info(
            f"Measuring {plain(loaded.entry.title)} at {len(order)} preferences …", icon=":material/hourglass_empty:"
        )
    else:
        shown = [layer.task for layer in layers], [layer.metric for layer in layers]
        limits = [(layer.chance, layer.limit) for layer in layers]
        values = {name: named[name] for name in order}
        chart = probe_figures.preference_bars(*shown, values, limits, list(trained_on))
        figure(chart, "learn_bars", "Every task on and off the simplex")
        st.caption(
            f"{plain(loaded.entry.title)}, {probe.num_samples} items{spread(layers)}. Pale: off the simplex. "
            "✗: forgotten. Dotted: chance."
        )
        st.markdown("\n".join(f"* {sentence}" for sentence in verdicts.sentences(layers, named, pseudo)))
    if was_running and not probe.running:
        st.rerun()


def toy_forgetting() -> None:
    """The same on the network of step 3, where there is no model yet."""
    st.caption("There is no trained model yet, so this is the network of step 3 (rank 1, α = 1).")
    result = trained(1, 1.0, 3)
    trained_on = probing.control_preferences(2)
    rows = trained_on | probing.pseudo_preferences(2)
    values = {name: toys.toy_point(result.model, (row[0], row[1])) for name, row in rows.items()}
    chart = figures.forgetting_bars(values, list(trained_on))
    figure(chart, "learn_toy_bars", "Both losses on and off the simplex")


def step_teaching() -> None:
    """For teachers."""
    left, _ = st.columns([3, 1])
    with left:
        lesson("7-teaching.md")


STEPS: tuple[tuple[str, Callable[[], None]], ...] = (
    ("Front", step_front),
    ("Cost", step_cost),
    ("Equation", step_equation),
    ("Schedule", step_schedule),
    ("Hypervolume", step_hypervolume),
    ("Forgetting", step_forgetting),
    ("For teachers", step_teaching),
)

page()
