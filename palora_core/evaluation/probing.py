"""Outside the simplex: what a network does at preferences it was never trained on, and what each adapter holds.

Preferences with negative weights, or weights that do not sum to one, are pseudo-preferences (§5.4 of the paper):
subtracting a task's adapters should make the network forget that task. This module measures it: planes of
preferences and the metrics on them, chance levels, adapters switched off in part of the network, norms and angles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from palora_core.batches import picked
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError
from palora_core.objectives import LOSS, Metric, Objective
from palora_core.tasks import Task

Predict = Callable[[Tensor, Tensor], Mapping[str, Tensor]]
Targets = Mapping[str, Tensor]
STEPS = (1.0, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Plane:
    """λ(u, v) = origin + u·e_i + v·(e_j − …): two weights vary, the others follow.

    Attributes:
        num_tasks: T.
        first: the task whose weight is u.
        second: the task whose weight is v, or None for the line of a single task.
        rest: the task that takes 1 − u − v (T = 3), or None; all others weigh 0.
        low: smallest weight shown.
        high: largest weight shown.
    """

    num_tasks: int
    first: int = 0
    second: int | None = 1
    rest: int | None = None
    low: float = -2.0
    high: float = 2.0

    @staticmethod
    def of(num_tasks: int, first: int = 0, second: int = 1) -> Plane:
        """The plane to show for T tasks: [−2, 2]² for two, the simplex's own affine plane for three.

        More tasks are cut along the edge between ``first`` and ``second``, the others weighing 0; a single task has
        a line.
        """
        if num_tasks == 1:
            return Plane(1, 0, None)
        if num_tasks == 3:
            return Plane(3, 0, 1, 2, -1.0, 2.0)
        if first == second or not (0 <= first < num_tasks and 0 <= second < num_tasks):
            raise UserError(f"a plane needs two different tasks out of {num_tasks}, found {first} and {second}")
        return Plane(num_tasks, first, second)

    def ticks(self, step: float) -> np.ndarray:
        """Grid values of u (and v)."""
        return np.arange(round((self.high - self.low) / step) + 1) * step + self.low

    def at(self, u: float, v: float = 0.0) -> list[float]:
        """The preference [T] at (u, v)."""
        preference = [0.0] * self.num_tasks
        preference[self.first] = u
        if self.second is not None:
            preference[self.second] = v
        if self.rest is not None:
            preference[self.rest] = 1 - u - v
        return preference

    def place(self, preference: Sequence[float]) -> tuple[float, float]:
        """(u, v) of a preference [T]; what does not lie in the plane is dropped."""
        return preference[self.first], 0.0 if self.second is None else preference[self.second]

    def holds(self, preference: Sequence[float], tolerance: float = 1e-6) -> bool:
        """Whether a preference [T] lies in the plane and within its limits."""
        near = all(abs(a - b) <= tolerance for a, b in zip(preference, self.at(*self.place(preference))))
        return near and all(self.low - tolerance <= value <= self.high + tolerance for value in preference)

    def points(self, step: float) -> list[tuple[float, float]]:
        """All (u, v) of the grid with this step whose weights keep the limits, nearest to the simplex first."""
        across = self.ticks(step).tolist()
        up = [0.0] if self.second is None else across
        inside = [(u, v) for u in across for v in up if self.holds(self.at(u, v))]
        return sorted(inside, key=lambda place: (_distance_from_simplex(self.at(*place)), place))

    def schedule(self, finest: float) -> Iterator[tuple[float, list[tuple[float, float]]]]:
        """(step, its new points) from the coarsest grid to ``finest``; every grid holds the one before."""
        seen: set[tuple[float, float]] = set()
        for step in STEPS:
            if step >= finest - 1e-9:
                fresh = [point for point in self.points(step) if point not in seen]
                seen.update(fresh)
                yield step, fresh


def pseudo_preferences(num_tasks: int, first: int = 0, second: int = 1) -> dict[str, list[float]]:
    """The paper's points off the simplex by their written form, for the tasks of a plane.

    Nothing but the base network, each task subtracted while the others are added, and all of them subtracted.
    """
    rows: list[list[float]] = [[0.0] * num_tasks]
    if num_tasks == 1:
        rows += [[-1.0]]
    elif num_tasks == 3:
        rows += [[-1.0 if t == s else 1.0 for t in range(3)] for s in (2, 1, 0)] + [[-1.0] * 3]
    else:
        for signs in ((1, -1), (-1, 1), (-1, -1)):
            row = [0.0] * num_tasks
            row[first], row[second] = float(signs[0]), float(signs[1])
            rows.append(row)
    return {written(row, (first, second)): row for row in rows}


def control_preferences(num_tasks: int, first: int = 0, second: int = 1) -> dict[str, list[float]]:
    """Points of the simplex to compare with: corners of the plane's tasks and the point half-way."""
    if num_tasks == 1:
        return {written([1.0], (0, 0)): [1.0]}
    shown = range(3) if num_tasks == 3 else (first, second)
    rows = [[1.0 if t == s else 0.0 for t in range(num_tasks)] for s in shown]
    rows.append([1 / len(shown) if t in shown else 0.0 for t in range(num_tasks)])
    return {written(row, (first, second)): row for row in rows}


def written(preference: Sequence[float], pair: tuple[int, int] = (0, 1)) -> str:
    """A preference as text, "(1, −1)"; of more than three tasks only the pair of the plane."""
    shown = preference if len(preference) <= 3 else [preference[t] for t in pair]
    return "(" + ", ".join(f"{round(value, 2):g}".replace("-", "−") for value in shown) + ")"


Places = Mapping[str, Tensor]  # by objective, the items that it is about


def measure(
    predict: Predict, x: Any, targets: Targets, tasks: Sequence[Task], preference: Tensor, places: Places | None = None
) -> dict[str, float]:
    """``"task/metric"`` and ``"task/loss"`` of all tasks on a few items at any λ [T]; see :func:`score`."""
    with torch.inference_mode():
        return score(predict(x, preference), targets, tasks, places)


def score(
    outputs: Any, targets: Any, objectives: Sequence[Objective], places: Places | None = None
) -> dict[str, float]:
    """``"objective/metric"`` and ``"objective/loss"`` of a network's outputs.

    Args:
        outputs: for B items.
        targets: of these.
        objectives: what is measured.
        places: by objective, the items that it is about, where not all are about all.
    """
    values = {}
    for task in objectives:
        accumulator = task.accumulator()
        own = (outputs, targets)
        if places is not None:
            own = picked(outputs, places[task.name]), picked(targets, places[task.name])
        accumulator.update(own[0], (None, own[1]))
        values.update({f"{task.name}/{name}": value for name, value in accumulator.compute().items()})
    return values


def forgotten_beyond(metric: Metric, best: float, at_chance: float) -> float:
    """The value from which on a task counts as forgotten: half as good as ``best``, or no better than chance.

    An error is half as good when it has doubled. A loss has no such scale, so only chance counts there.
    """
    if metric.name == LOSS.name:
        return at_chance
    return max(best / 2, at_chance) if metric.higher_is_better else min(best * 2, at_chance)


def is_forgotten(metric: Metric, value: float, limit: float) -> bool:
    """Whether ``value`` lies beyond ``limit`` (or is no number)."""
    if not np.isfinite(value):
        return True
    return bool(value <= limit if metric.higher_is_better else value >= limit)


# -- parts of the network ------------------------------------------------------------------------------------------
def depth_groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Names of adapted tensors, in the network's order → groups by depth: encoder, decoder, heads.

    A trunk without such parts is cut in two halves by number of layers.
    """
    groups: dict[str, list[str]] = {}
    trunk = [name for name in names if not name.startswith("heads.")]
    half = (len(trunk) + 1) // 2
    for name in names:
        parts = name.split(".")
        if parts[0] == "heads":
            group = "heads"
        elif "encoder" in parts or "decoder" in parts:
            group = "encoder" if "encoder" in parts else "decoder"
        else:
            group = "early layers" if trunk.index(name) < half else "late layers"
        groups.setdefault(group, []).append(name)
    return groups


@torch.no_grad()
def partly_merged(model: ParetoModel, preference: Tensor, off: Mapping[str, Sequence[int]]) -> nn.Module:
    """The plain network of λ [T] with the adapters of some tasks left out of some tensors.

    Args:
        model: a model whose weights are affine in λ.
        preference: λ [T].
        off: tensor name → tasks whose delta is left out there.

    Raises:
        UserError: the model's weights are not a sum over tasks.
    """
    basis = model.basis()
    if not basis:
        raise UserError("The weights of this model are not a sum of one part per task, so none can be switched off.")
    preference = model.as_preference(preference)
    network = model.merge(preference).eval()
    places = dict(network.named_parameters()) | dict(network.named_buffers())
    for name, tasks in off.items():
        if tasks:
            weights = preference.clone()
            weights[list(tasks)] = 0
            base, deltas = basis[name]
            places[name].copy_(base + torch.tensordot(weights.to(deltas), deltas, dims=1))
    return network


@dataclass(frozen=True)
class AdapterReport:
    """What the adapters of every layer look like.

    Attributes:
        names: L tensor names, in the network's order.
        norms: ‖Δ_t‖ / ‖W‖ [L, T].
        cosines: cosine of the angle between Δ_s and Δ_t [L, T, T]; NaN where one of them is zero.
    """

    names: tuple[str, ...]
    norms: np.ndarray
    cosines: np.ndarray


@torch.no_grad()
def adapter_report(model: ParetoModel) -> AdapterReport | None:
    """Norms and angles of the tasks' deltas in every layer; None where weights are not affine in λ."""
    basis = {name: parts for name, parts in (model.basis() or {}).items() if parts[0].dim() > 1}
    if not basis:
        return None
    norms, cosines = [], []
    for base, deltas in basis.values():
        flat = deltas.flatten(1).double()
        length = flat.norm(dim=1)
        norms.append((length / base.double().norm().clamp_min(1e-12)).numpy())
        gramian = flat @ flat.t() / (length[:, None] * length[None])
        cosines.append(gramian.clamp(-1, 1).numpy())
    return AdapterReport(tuple(basis), np.array(norms), np.array(cosines))


def _distance_from_simplex(preference: Sequence[float]) -> float:
    return abs(sum(preference) - 1) + sum(max(0.0, -value) for value in preference)
