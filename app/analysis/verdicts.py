"""What came of taking adapters away, in words: from the numbers that the bars show, by the rule that hatches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.analysis.probes import Layer
from palora_core.evaluation.probing import is_forgotten

Values = Mapping[str, Mapping[str, float]]


def forgotten(layer: Layer, values: Mapping[str, float]) -> bool:
    """Whether a task is forgotten at a preference."""
    return is_forgotten(layer.metric, values[_key(layer)], layer.limit)


def divided(layers: Sequence[Layer], named: Values, pseudo: Mapping[str, Sequence[float]]) -> tuple[int, int]:
    """At how many of the preferences that take some tasks away just those are lost, and how many such there are.

    Args:
        layers: one per task, in the order of λ.
        named: λ as text → ``"task/metric"`` → value.
        pseudo: λ as text → λ [T].
    """
    mixed = {name: row for name, row in pseudo.items() if min(row) < 0 < max(row)}
    right = sum(
        all(forgotten(layer, named[name]) == (weight < 0) for layer, weight in zip(layers, row))
        for name, row in mixed.items()
    )
    return right, len(mixed)


def sentences(layers: Sequence[Layer], named: Values, pseudo: Mapping[str, Sequence[float]]) -> list[str]:
    """One sentence per preference off the simplex, and one on all of them; Markdown."""
    told = [f"At **{name}** {_and([_of(layer, named[name]) for layer in layers])}." for name in pseudo]
    right, count = divided(layers, named, pseudo)
    if count:
        told.append(f"**{_summary(right, count)}**")
    return told


def _summary(right: int, count: int) -> str:
    if right == count:
        return (
            "Just the tasks that were taken away are lost: in this model each task's knowledge is in its own adapters."
        )
    if right:
        return (
            f"Just the tasks taken away are lost at {right} of {count} such preferences: the work is divided in part."
        )
    return (
        "At none of these preferences just the tasks that were taken away are lost: in this model the knowledge of a "
        "task is not in its own adapters alone."
    )


def _of(layer: Layer, values: Mapping[str, float]) -> str:
    name, value = layer.task.name.replace("_", " "), values[_key(layer)]
    close = ", too close to call" if abs(value - layer.limit) < layer.uncertainty else ""
    if not np.isfinite(value):
        return f"{name} has no value and counts as **forgotten**"
    if forgotten(layer, values):
        bound = "no more than" if layer.metric.higher_is_better else "no less than"
        return f"{name} is **forgotten** ({_text(layer, value)}, {bound} {_text(layer, layer.limit)}{close})"
    return f"{name} stays ({_text(layer, value)} of {_text(layer, layer.best)} at best{close})"


def _text(layer: Layer, value: float) -> str:
    return f"{100 * value:.1f} %" if layer.metric.unit == "%" else f"{value:.3g} {layer.metric.unit}".rstrip()


def _key(layer: Layer) -> str:
    return f"{layer.task.name}/{layer.metric.name}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
