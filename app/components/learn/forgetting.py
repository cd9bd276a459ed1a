"""Step 6: what a network forgets off the simplex, as in Figure 5, on a model that is here or on the toy network."""

from __future__ import annotations

import streamlit as st

from app.analysis import toys, verdicts
from app.analysis.probes import ProbeMap, maps
from app.components import probe_figures
from app.components.learn import figures
from app.components.learn.equation import trained
from app.components.learn.frame import code, figure, text_and_figure
from app.components.plain import plain
from app.components.probe_sections import spread
from app.library.loading import LoadedModel
from app.services import services
from palora_core import adapters
from palora_core.errors import UserError
from palora_core.evaluation import probing
from palora_core.evaluation.probing import Plane


def step_forgetting() -> None:
    """Figure 5 on a model that is here, or on the toy network."""
    (right,) = text_and_figure("6-forgetting.md")
    with right:
        loaded = example_model()
        if loaded is None:
            toy_forgetting()
        else:
            probe = maps.get(loaded, Plane.of(loaded.num_tasks), whole=True)
            if not probe.bars() and not probe.running:
                probe.start()
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


def model_forgetting(loaded: LoadedModel, probe: ProbeMap, was_running: bool) -> None:
    """Bars of a model, as soon as they are measured, and what they show in words."""
    named, layers = probe.named(), probe.bars()
    trained_on, pseudo = probing.control_preferences(loaded.num_tasks), probing.pseudo_preferences(loaded.num_tasks)
    order = [*trained_on, *pseudo]
    if probe.problem:
        st.error(plain(probe.problem), icon=":material/error:")
    elif not layers:
        st.info(
            f"Measuring {plain(loaded.entry.title)} at {len(order)} preferences on {probe.num_samples:,} items …",
            icon=":material/hourglass_empty:",
        )
    else:
        shown = [layer.task for layer in layers], [layer.metric for layer in layers]
        limits = [(layer.chance, layer.limit) for layer in layers]
        values = {name: named[name] for name in order}
        chart = probe_figures.preference_bars(*shown, values, limits, list(trained_on))
        figure(chart, "learn_bars", "Every task on and off the simplex")
        items = f"{'all ' if probe.is_split else ''}{probe.num_samples:,} items of the test split"
        st.caption(
            f"{plain(loaded.entry.title)}, {items}{spread(layers)}. Pale: off the simplex. "
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
