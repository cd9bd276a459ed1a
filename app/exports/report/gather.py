"""What a report says, asked of the inference queue like every picture on screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.analysis.queries import columns, interpolate, on_simplex
from app.components import side_by_side
from app.kinds import View
from app.library.loading import LoadedModel
from app.pictures.scenes import SAMPLE, note
from app.services import Services
from palora_core.objectives import Objective


@dataclass(frozen=True)
class TaskView:
    """One task of the view.

    Attributes:
        title: for people.
        pictures: (caption, encoded picture) in the order they are shown.
        values: (what, prediction, ground truth) of a task without pictures; ground truth "" where unknown.
        legend: :meth:`app.kinds.View.legend`.
        metrics: (label, better, on the evaluated split at λ, on this input, best on the front), as text.
        told_of: whom the values are about.
    """

    title: str
    pictures: tuple[tuple[str, bytes], ...]
    values: tuple[tuple[str, str, str], ...]
    legend: dict
    metrics: tuple[tuple[str, str, str, str, str], ...]
    told_of: str


@dataclass(frozen=True)
class Gathered:
    """The view: ``picture`` is the encoded input, None where inputs are no pictures, which are ``told`` instead.

    ``note`` is on a person's own input.
    """

    loaded: LoadedModel
    image: str
    preference: tuple[float, ...]
    picture: bytes | None
    tasks: tuple[TaskView, ...]
    note: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)


def gather(
    services: Services, loaded: LoadedModel, image: str, label: str, preference: Sequence[float], seed: int = 0
) -> Gathered:
    """Predictions, errors, ground truth and metrics of one input at λ [T]; ``label`` names the input for people.

    Raises:
        UserError: no such image, or the server is too busy.
    """
    model, pictured = loaded.entry.id, loaded.pictured
    known = side_by_side.truth(services, model, image)
    answer = side_by_side.predict(services, model, image, preference)
    errors = side_by_side.predict(services, model, image, preference, pictured).pictures if pictured else {}
    on_split = (
        _on_split(loaded, preference) if image.startswith(SAMPLE) else {}
    )  # figures of other data say nothing here
    tasks = []
    for task in loaded.tasks:
        shown = [("prediction", answer.pictures), ("ground truth", known.pictures)]
        shown += [("error", errors)] if task.name in known.pictures else []
        pictures = tuple((caption, found[task.name]) for caption, found in shown if task.name in found)
        view = loaded.views[task.name]
        given = answer.values.get(task.name)
        if view is loaded.going and given:
            given = {**given, **side_by_side.goes_on(services, model, image, preference, seed)}
        values = _values(view, given, known.values.get(task.name))
        rows = _metrics(loaded, task, on_split, answer.metrics.get(task.name, {}))
        title = task.name.replace("_", " ").capitalize()
        told_of = "all tasks" if view.joint else title
        tasks.append(TaskView(title, pictures, values, view.legend(), rows, told_of))
    told = note(loaded, image, services.uploads)
    return Gathered(loaded, label, tuple(preference), known.pictures.get("input"), tuple(tasks), told, known.told)


def _on_split(loaded: LoadedModel, preference: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Per metric its value at λ on the evaluated split (interpolated) and the best of the front; {} off the simplex."""
    if loaded.front is None or not on_simplex(preference):
        return {}
    found = {}
    for column in columns(loaded.front, loaded.tasks):
        value = float(interpolate(loaded.front.preferences, column.values, [list(preference)])[0])
        best = np.nanmax(column.values) if column.metric.higher_is_better else np.nanmin(column.values)
        found[column.key] = (value, float(best))
    return found


def _metrics(
    loaded: LoadedModel, task: Objective, on_split: dict, here: dict
) -> tuple[tuple[str, str, str, str, str], ...]:
    rows = []
    for metric in task.metrics:
        split = on_split.get(f"{task.name}/{metric.name}")
        item = here.get(metric.name)
        if split is None and item is None:
            continue
        texts = [
            metric.format(v) if v is not None and np.isfinite(v) else "–" for v in (*(split or (None, None)), item)
        ]
        better = "higher" if metric.higher_is_better else "lower"
        rows.append((metric.label, better, texts[0], texts[2], texts[1]))
    return tuple(rows)


def _values(view: View, predicted: dict | None, true: dict | None) -> tuple[tuple[str, str, str], ...]:
    """(what, prediction, ground truth) row by row; a truth of another number of rows stands in the first."""
    if not predicted:
        return ()
    rows, known = view.rows(predicted), view.rows(true) if true else []
    if len(known) != len(rows):
        known = [("", str(view.cell(true) or ""))] + [("", "")] * (len(rows) - 1)
    return tuple((what, text, truth) for (what, text), (_, truth) in zip(rows, known))
