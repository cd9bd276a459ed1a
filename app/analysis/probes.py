"""Maps of a model's metrics over a plane of preferences, measured in the background and kept while the server runs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from app.analysis.queries import on_simplex
from app.library.loading import LoadedModel
from palora_core import batches
from palora_core.data import Split
from palora_core.evaluation import probing
from palora_core.evaluation.probing import Plane
from palora_core.serving import Served, served
from palora_core.tasks import LOSS, Metric, Task

KEPT_MAPS = 12
# A map refines itself as long as that takes no longer than this; beyond, only if somebody asks for it.
PATIENCE = 45.0
AUTOMATIC = 0.25
FINEST = probing.STEPS[-1]
# Pictures are measured one after the other on as many samples as this; more would keep the pad waiting.
MOST_SAMPLES = 256
# Parts that the items are divided into to see how much a figure depends on which items they are.
PARTS = 12

Row = dict[str, float]  # "task/metric" → value

# One map is measured at a time: they share two cores with the live pad and with training.
_turn = threading.Lock()


@dataclass(frozen=True)
class Layer:
    """One task's metric over the plane, as far as it is known.

    Attributes:
        task: the task.
        metric: what was measured.
        values: [V, U], rows along v; NaN outside the limits and where nothing is known.
        best: best value on the simplex.
        chance: value of the best constant answer.
        limit: from here on the task is forgotten.
        uncertainty: half of the 95 % interval of a value, for the choice of items; NaN where there are too few.
    """

    task: Task
    metric: Metric
    values: np.ndarray
    best: float
    chance: float
    limit: float
    uncertainty: float = float("nan")


class ProbeMap:
    """Measures one plane of one model, coarse grid first. Safe to read from any thread while it works.

    Args:
        loaded: the model.
        plane: its plane.
        whole: on the whole test split where it is at hand, at the paper's points alone; else a map on a few items.
    """

    def __init__(self, loaded: LoadedModel, plane: Plane, whole: bool = False) -> None:
        self.loaded, self.plane, self.whole = loaded, plane, whole
        self.step = probing.STEPS[0]
        self.complete = 0.0  # the finest step whose grid is complete; 0 before the first
        self.done = self.total = 0
        self.seconds_each = 0.0
        self.asked = float("inf")  # the finest step anybody asked for
        self.problem: str | None = None
        self._values: dict[tuple[float, float], dict[str, float]] = {}
        self._named: dict[str, dict[str, float]] = {}
        self._uncertain: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- called by pages -------------------------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        """Whether it is measuring, or waiting for another map to finish."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self._stop.is_set()

    @property
    def num_samples(self) -> int:
        """How many items the numbers come from."""
        there = 0 if self._items is None else len(self._items)
        return min(self.loaded.most_items(there if self.whole else MOST_SAMPLES), there)

    @cached_property
    def _items(self) -> Split | None:
        """What is measured on."""
        return (self.loaded.benchmark.at_hand() if self.whole else None) or self.loaded.measured

    @property
    def is_split(self) -> bool:
        """Whether these are all items of the test split that are at hand."""
        there = self._items
        return self.whole and there is not self.loaded.measured and there is not None and self.num_samples == len(there)

    def start(self, finest: float | None = None, patience: float = PATIENCE) -> None:
        """Measure in the background, down to a step, as long as a grid takes at most ``patience`` seconds.

        Args:
            finest: the step; by default that of the map people see without asking for more.
            patience: see above.
        """
        if self.running or self.loaded.measured is None:
            return
        self._stop.clear()
        finest = float("inf") if self.whole else finest or AUTOMATIC
        self.asked = min(self.asked, finest)
        self._thread = threading.Thread(target=self._work, args=(finest, patience), name="palora-probe", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the point at work; what was measured stays."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> None:
        """Until it is done (for tests and scripts)."""
        if self._thread is not None:
            self._thread.join(timeout)

    def named(self) -> dict[str, dict[str, float]]:
        """Values at the paper's points, by their written form; empty until they are measured."""
        with self._lock:
            return dict(self._named)

    def layers(self, losses: bool = False) -> list[Layer]:
        """The tasks' maps on the grid at work, gaps filled from the coarser one; empty before the first grid.

        Args:
            losses: the loss of every task instead of its first metric.
        """
        with self._lock:
            values, named = dict(self._values), dict(self._named)
        if not self.complete:
            return []
        return self._layers(values, named, losses)

    def bars(self) -> list[Layer]:
        """The layers as the paper's points tell them, without a map; empty until these are measured."""
        with self._lock:
            named = dict(self._named)
        return self._layers({}, named, False) if not (self._controls() | self._pseudo()).keys() - named.keys() else []

    def _layers(self, values: dict[tuple[float, float], Row], named: dict[str, Row], losses: bool) -> list[Layer]:
        found = []
        for task in self._shown_tasks():
            metric = LOSS if losses else task.metrics[0]
            key = f"{task.name}/{metric.name}"
            grid = self._grid({place: row[key] for place, row in values.items()}) if values else np.full((1, 1), np.nan)
            trained = [row[key] for place, row in values.items() if self._is_trained(place)]
            trained += [named[name][key] for name in self._controls() if name in named]
            best = (np.nanmax if metric.higher_is_better else np.nanmin)(trained)
            at_chance = self._chances[task.name][metric.name]
            limit = probing.forgotten_beyond(metric, float(best), at_chance)
            found.append(Layer(task, metric, grid, float(best), at_chance, limit, self._uncertain.get(key, np.nan)))
        return found

    @cached_property
    def _chances(self) -> dict[str, dict[str, float]]:
        targets, found = self._batch()[1], {}
        for task in self._shown_tasks():
            own = targets if self._places is None else batches.picked(targets, self._places[task.name])
            found[task.name] = task.chance(task.target_of((None, own)))
        return found

    @cached_property
    def _places(self) -> dict[str, torch.Tensor] | None:
        """Which of the items each task is about; None where all are about all."""
        return self.loaded.places(self._items, self.num_samples)

    # -- the work --------------------------------------------------------------------------------------------------
    def _work(self, finest: float, patience: float) -> None:
        torch.set_num_threads(1)
        with _turn:
            try:
                self._measure_all(finest, patience)
            except Exception as error:  # a thread has nobody to raise to: the page shows the sentence
                self.problem = f"The map could not be measured ({type(error).__name__}: {error})."

    def _measure_all(self, finest: float, patience: float) -> None:
        x, targets = self._batch()
        live = served(self.loaded.model, self.loaded.example, self.loaded.caller)
        tasks = self._shown_tasks()

        def at(preference: list[float]) -> dict[str, float]:
            return probing.measure(live, x, targets, tasks, torch.tensor(preference), self._places)

        if not self._uncertain and not self._stop.is_set():
            self._uncertain = self._spread(live, x, targets)
        start, count = time.perf_counter(), 0
        for name, preference in (self._controls() | self._pseudo()).items():
            if name not in self._named and not self._stop.is_set():
                values, count = at(preference), count + 1
                with self._lock:
                    self._named[name] = values
        for step, points in self.plane.schedule(finest):
            todo = [place for place in points if place not in self._values]
            if self.complete and self.complete <= 0.5 and len(todo) * self.seconds_each > patience:
                return
            self.step, self.done, self.total = step, len(points) - len(todo), len(points)
            for place in todo:
                if self._stop.is_set():
                    return
                values, count = at(self.plane.at(*place)), count + 1
                self.seconds_each = (time.perf_counter() - start) / count
                with self._lock:
                    self._values[place] = values
                self.done += 1
            self.complete = step

    def _spread(self, live: Served, x: Any, targets: Any) -> dict[str, float]:
        """Half of every figure's 95 % interval in the middle of the simplex, from how parts of the items differ."""
        centre = torch.tensor(list(self._controls().values())[-1])
        tasks, items = self._shown_tasks(), batches.count(x)
        parts = [slice(int(part[0]), int(part[-1]) + 1) for part in torch.arange(items).chunk(PARTS)]
        if len(parts) < 2 or self._places is not None:
            return {}
        rows = [
            probing.measure(live, batches.rows(x, part), batches.rows(targets, part), tasks, centre) for part in parts
        ]
        found = {}
        for key in rows[0]:
            values = np.array([row[key] for row in rows])
            values = values[np.isfinite(values)]
            found[key] = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        for task in tasks:
            key = f"{task.name}/{task.metrics[0].name}"
            found[key] = max(found[key], task.least_uncertainty(items))
        return found

    def _batch(self) -> batches.Batch:
        assert self._items is not None
        return self._items.batch(torch.arange(self.num_samples))

    def _shown_tasks(self) -> list[Task]:
        """All of up to three tasks that predict something; of more, the two of the plane."""
        tasks = self.loaded.tasks
        shown = tasks if len(tasks) <= 3 else [tasks[self.plane.first], tasks[self.plane.second or 0]]
        return [task for task in shown if isinstance(task, Task)]

    def _pair(self) -> tuple[int, int]:
        return self.plane.first, self.plane.second if self.plane.second is not None else 0

    def _controls(self) -> dict[str, list[float]]:
        return probing.control_preferences(self.plane.num_tasks, *self._pair())

    def _pseudo(self) -> dict[str, list[float]]:
        return probing.pseudo_preferences(self.plane.num_tasks, *self._pair())

    def _is_trained(self, place: tuple[float, float]) -> bool:
        return on_simplex(self.plane.at(*place))

    def _grid(self, values: dict[tuple[float, float], float]) -> np.ndarray:
        """Known values on the grid at work [V, U]; between points of the complete grid, linear interpolation."""
        fine, coarse = self.plane.ticks(self.step), self.plane.ticks(self.complete)
        rows = [0.0] if self.plane.second is None else coarse.tolist()
        known = np.array([[values.get((u, v), np.nan) for u in coarse.tolist()] for v in rows])
        grid = np.stack([_linear(fine, coarse, row) for row in known])
        if len(rows) > 1:
            grid = np.stack([_linear(fine, coarse, column) for column in grid.T], axis=1)
        index = {value: i for i, value in enumerate(fine.tolist())}
        for (u, v), value in values.items():
            if u in index and (v in index or len(rows) == 1):
                grid[index[v] if len(rows) > 1 else 0, index[u]] = value
        return grid


def _linear(at: np.ndarray, known_at: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Linear interpolation that is NaN only next to NaN."""
    exact = np.isclose(at[:, None], known_at[None]).any(1)
    values = np.interp(at, known_at, known)
    nearest = known[np.abs(at[:, None] - known_at[None]).argmin(1)]
    return np.where(exact, nearest, values)


class ProbeMaps:
    """The maps measured so far; those used last are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maps: OrderedDict[tuple[str, Plane, bool], ProbeMap] = OrderedDict()

    def get(self, loaded: LoadedModel, plane: Plane, whole: bool = False) -> ProbeMap:
        """The map of a plane of a model, new or as far as it is; see :class:`ProbeMap`."""
        with self._lock:
            key = (loaded.key, plane, whole)
            found = self._maps.get(key) or ProbeMap(loaded, plane, whole)
            self._maps[key] = found
            self._maps.move_to_end(key)
            while len(self._maps) > KEPT_MAPS:
                self._maps.popitem(last=False)[1].stop()
            return found


maps = ProbeMaps()
