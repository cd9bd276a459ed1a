"""Evaluated Pareto fronts: K preferences, their objectives and metrics on one split, and what they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palora_core.errors import UserError, quoted
from palora_core.evaluation import indicators
from palora_core.simplex import describe_preferences
from palora_core.storage import schema
from palora_core.storage.reading import MIB, Bounds, read_json
from palora_core.storage.writing import write_json

FRONT_FORMAT = 1
MOST_METRICS = 16  # of one task
LARGEST_WEIGHT = 100.0  # of a λ that somebody evaluates
FRONT_BOUNDS = Bounds(64 * MIB, 3_000_000, 2 * schema.MOST_POINTS + 1000)


@dataclass(frozen=True)
class Front:
    """K evaluated preferences of one model on one split.

    Attributes:
        preferences: λ's [K, T].
        objectives: the split's losses [K, T], minimised.
        metrics: ``"task/metric"`` → values [K].
        tasks: the T task names, in the order of λ.
        reference: the benchmark's fixed reference point [T] of the hypervolume.
        about: benchmark, split, method, seed, number of items, …
        effects: task → how much λ changes its predictions from corner to corner (see :meth:`effect`).
    """

    preferences: np.ndarray
    objectives: np.ndarray
    metrics: dict[str, np.ndarray]
    tasks: tuple[str, ...]
    reference: tuple[float, ...]
    about: dict[str, Any] = field(default_factory=dict)
    effects: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Tables of numbers (tensors, nested lists) become arrays.

        Raises:
            UserError: tables that disagree on K or T.
        """
        tables = {name: np.asarray(getattr(self, name), dtype=np.float64) for name in ("preferences", "objectives")}
        metrics = {name: np.asarray(values, dtype=np.float64) for name, values in self.metrics.items()}
        found = {name: table.shape for name, table in tables.items()} | {n: v.shape for n, v in metrics.items()}
        shape = (len(tables["preferences"]) if tables["preferences"].ndim else 0, len(self.tasks))
        wanted = {name: shape if name in tables else shape[:1] for name in found}
        wrong = [name for name in found if found[name] != wanted[name]]
        if wrong:
            name = wrong[0]
            raise UserError(f"The front's {name} have the shape {list(found[name])}; expected {list(wanted[name])}.")
        if len(self.reference) != len(self.tasks):
            raise UserError(f"The front's reference has {len(self.reference)} entries for {len(self.tasks)} tasks.")
        for name, table in {**tables, "metrics": metrics}.items():
            object.__setattr__(self, name, table)

    @property
    def measured(self) -> np.ndarray:
        """Which tasks the split can measure, bool [T]: all, but for those without one valid element in it."""
        return ~np.isnan(self.objectives).all(0)

    def hypervolume(self, reference: Sequence[float] | None = None) -> float:
        """Dominated volume up to ``reference`` [T] (the benchmark's own by default), over the measured tasks."""
        worst = np.asarray(self.reference if reference is None else reference, dtype=np.float64)
        seen = self.measured
        if seen.all() or not seen.any() or len(worst) != len(seen):
            return indicators.hypervolume(self.objectives, worst)
        return indicators.hypervolume(self.objectives[:, seen], worst[seen])

    def nondominated(self) -> np.ndarray:
        """Which points no other one dominates, bool [K], over the measured tasks."""
        seen = self.measured
        return indicators.nondominated(self.objectives[:, seen] if seen.any() else self.objectives)

    def spearman(self) -> list[float]:
        """Per task, the rank correlation of λ_t and its objective; −1 is perfect alignment."""
        return indicators.alignment(self.preferences, self.objectives)

    def spread(self) -> list[float]:
        """Per task, the extent of its objective over the non-dominated points."""
        seen = self.measured
        found = np.full(len(seen), np.nan)
        found[seen] = indicators.spread(self.objectives[:, seen]) if seen.any() else []
        return found.tolist()

    def effect(self) -> dict[str, float]:
        """Per task, how much λ changes predictions: its own corner against the other one that differs most.

        The unit is the kind's: a share of items or pixels whose class changes, the relative change of a number, or
        degrees between normals. Empty for a front without predictions (a union, an older file).
        """
        return dict(self.effects)

    def width(self) -> dict[str, tuple[float, float]]:
        """Per ``"task/metric"``, its lowest and highest value over the front, in its own unit."""
        finite = {name: values[np.isfinite(values)] for name, values in self.metrics.items()}
        return {name: (float(values.min()), float(values.max())) for name, values in finite.items() if values.size}

    def best(self, metric: str, higher_is_better: bool) -> int:
        """Index of the point with the best value of ``"task/metric"``."""
        values = self.metrics[metric]
        return int(np.nanargmax(values) if higher_is_better else np.nanargmin(values))

    def nearest(self, preference: Sequence[float]) -> int:
        """Index of the evaluated λ nearest to ``preference`` [T]."""
        return int(np.square(self.preferences - np.asarray(preference)).sum(1).argmin())

    def summary(self) -> dict[str, Any]:
        """The figures that cards and tables show."""
        return {
            "points": len(self.preferences),
            "preferences": describe_preferences(self.preferences),
            "hypervolume": self.hypervolume(),
            "reference": list(self.reference),
            "nondominated": int(self.nondominated().sum()),
            "spearman": self.spearman(),
            "spread": self.spread(),
            "best_loss": self.objectives.min(0).tolist(),
            "worst_loss": self.objectives.max(0).tolist(),
            **({} if self.measured.all() else {"unmeasured": [t for t, m in zip(self.tasks, self.measured) if not m]}),
            "effect": self.effect(),
        }

    @staticmethod
    def union(fronts: Sequence[Front], preferences: np.ndarray, about: dict[str, Any]) -> Front:
        """One front of several single-point ones, e.g. a grid of separately trained linear scalarizations.

        Args:
            fronts: K fronts of one point each, on the same split and tasks.
            preferences: the λ [K, T] each was trained for.
            about: what the union is.
        """
        first = fronts[0]
        if any(len(f.preferences) != 1 or f.tasks != first.tasks for f in fronts) or len(preferences) != len(fronts):
            raise UserError("Only fronts of one point each, for the same tasks, can be joined into a grid.")
        objectives = np.concatenate([f.objectives for f in fronts])
        metrics = {name: np.concatenate([f.metrics[name] for f in fronts]) for name in first.metrics}
        return Front(np.asarray(preferences), objectives, metrics, first.tasks, first.reference, about)

    def save(self, path: Path | str) -> None:
        """Write JSON."""
        data = {
            "format": FRONT_FORMAT,
            "tasks": list(self.tasks),
            "reference": list(self.reference),
            "preferences": self.preferences.round(6).tolist(),
            "objectives": self.objectives.tolist(),
            "metrics": {name: values.tolist() for name, values in self.metrics.items()},
            "about": self.about,
            "effect": self.effects,
            "summary": self.summary(),
        }
        write_json(Path(path), data)

    @staticmethod
    def load(path: Path | str) -> Front:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: missing, damaged or not a front.
        """
        return Front.from_dict(read_json(Path(path), "front", FRONT_BOUNDS), str(path))

    @staticmethod
    def from_dict(data: Any, origin: str = "front") -> Front:
        """The front in parsed JSON; ``origin`` names it in errors.

        Raises:
            UserError: it is none, or larger than a front can be.
        """
        try:
            found = schema.mapping(data, "the file")
            if found.get("format") != FRONT_FORMAT:
                told = quoted(found.get("format"))
                raise UserError(f"it has the front format {told}, this program reads {FRONT_FORMAT}.")
            return _checked(found)
        except UserError as error:
            raise UserError(f"{origin} is not a front that can be used: {error} Evaluate the model again.") from None


def _checked(data: dict[str, Any]) -> Front:
    """The front in an object of the right format; tables that disagree, texts for numbers and the like are refused."""
    tasks = schema.task_names(data.get("tasks"), "its tasks")
    reference = schema.table([data.get("reference")], "its reference", len(tasks), 1)[0]
    if None in reference:
        raise UserError("its reference has a number that is not known.")
    preferences = np.array(
        schema.table(data.get("preferences"), "its preferences", len(tasks), schema.MOST_POINTS), float
    )
    objectives = np.array(schema.table(data.get("objectives"), "its objectives", len(tasks), schema.MOST_POINTS), float)
    if not (np.abs(preferences) <= LARGEST_WEIGHT).all():  # NaN is not either
        raise UserError(f"its preferences hold weights that are not known or beyond ±{LARGEST_WEIGHT}.")
    columns = schema.mapping(data.get("metrics"), "its metrics")
    if len(objectives) != len(preferences) or len(columns) > MOST_METRICS * len(tasks):
        raise UserError("its tables disagree on K or T.")
    metrics = {}
    for name, values in columns.items():
        if not isinstance(values, list) or len(values) != len(preferences):
            raise UserError(f"its tables disagree on K or T: {quoted(name)} has not K values.")
        metrics[schema.text(name, "a metric")] = np.array([schema.number(value, name) for value in values], float)
    about = schema.options(data.get("about"), "its description") if isinstance(data.get("about"), dict) else {}
    changes = schema.mapping(data.get("effect", {}), "its effects")
    found = {task: schema.number(changes[task], "an effect") for task in tasks if task in changes}
    effects = {task: value for task, value in found.items() if value is not None}
    worst = tuple(float(v or 0.0) for v in reference)
    return Front(preferences, objectives, metrics, tuple(tasks), worst, about, effects)


def propose_reference(objectives: np.ndarray) -> tuple[float, ...]:
    """A hypervolume reference [T] from a first front [K, T]: beyond the worst value by a tenth of its extent or size.

    Whatever the sign and scale of the objectives, every evaluated point then counts; so do later ones, where the first
    front was that of a network that has hardly learnt and is one point.
    """
    finite = np.where(np.isfinite(objectives), objectives, np.nan)
    worst, best = np.nanmax(finite, axis=0, initial=-np.inf), np.nanmin(finite, axis=0, initial=np.inf)
    worst, best = np.where(np.isfinite(worst), worst, 1.0), np.where(np.isfinite(best), best, 0.0)
    size = np.maximum(worst - best, np.abs(worst))
    return tuple(float(value) for value in worst + 0.1 * np.where(size > 0, size, 1.0))
