"""Who is compared: evaluated models read from their folders, sorted by benchmark and joined over seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from app.folders import id_of
from app.library.cards import checked_benchmark
from app.library.entries import FRONT, Entry, without_paths
from palora_core import checkpoint
from palora_core.benchmarks.base import Benchmark
from palora_core.errors import UserError
from palora_core.front import Front
from palora_core.methods.base import methods
from palora_core.reading import is_file
from palora_core.tasks import Task

# Hypervolumes of more tasks take too long to rank models by.
MOST_RANKED = 4
# What may differ between two seeds of one configuration.
BY_RUN = ("seed", "steps", "seconds", "finished", "device", "train_items", "samples", "evaluate_every")


@dataclass(frozen=True, eq=False)
class Contender:
    """One evaluated model, or one seed of a published result.

    Attributes:
        id: of the model in the registry; for published results only a name.
        title: the method's name for people.
        front: its evaluated front.
        card: its card (published results have a few entries of one).
        published: whether the numbers are a paper's.
    """

    id: str
    title: str
    front: Front
    card: Mapping[str, Any]
    published: bool = False

    @property
    def method(self) -> str:
        """Registry name of the method."""
        return str(self.card["method"]["name"])

    @property
    def seed(self) -> int | None:
        """The training seed, where the card knows it."""
        return self.card.get("training", {}).get("seed")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All options as ``"method.conditioning.rank"`` → value, without what a seed may change.

        Options left empty are left out: a card from before such an option says the same by not having it.
        """
        parts = {key: self.card.get(key) or {} for key in ("method", "training", "benchmark", "network")}
        flat = dict(_flatten(parts))
        own = {f"training.{name}" for name in BY_RUN}
        return {key: value for key, value in flat.items() if key not in own and value not in ("", None)}


@dataclass(frozen=True, eq=False)
class Arena:
    """A benchmark with given tasks; only fronts of one arena are drawn together."""

    benchmark: Benchmark
    name: str
    tasks: tuple[Task, ...]
    contenders: list[Contender] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Identifies it."""
        return f"{self.name}: {', '.join(task.name for task in self.tasks)}"

    @property
    def title(self) -> str:
        """For people."""
        names = [task.name.replace("_", " ") for task in self.tasks]
        listed = ", ".join(names) if len(names) <= 3 else f"{len(names)} tasks"
        return f"{self.benchmark.title or self.name} ({listed})"

    @property
    def units(self) -> dict[str, str]:
        """Units of depth tasks by name, where the benchmark knows them."""
        unit = getattr(self.benchmark, "depth_unit", "")
        return {task.name: unit for task in self.tasks if task.kind == "depth" and unit}

    @property
    def reference(self) -> tuple[float, ...]:
        """Reference point [T] of the hypervolume."""
        return tuple(self.benchmark.reference)


@dataclass(frozen=True, eq=False)
class Series:
    """One configuration of a method with all its seeds: one line of a figure, one row of a table.

    Attributes:
        name: for people, unique in its figure.
        members: its seeds.
        variation: number among the configurations of the same method.
    """

    name: str
    members: tuple[Contender, ...]
    variation: int = 0

    @property
    def method(self) -> str:
        """Registry name."""
        return self.members[0].method

    @property
    def published(self) -> bool:
        """Whether the numbers are a paper's."""
        return self.members[0].published

    @property
    def fronts(self) -> list[Front]:
        """One per seed."""
        return [member.front for member in self.members]

    @property
    def single(self) -> bool:
        """Whether it is one solution instead of a front."""
        return len(self.members[0].front.preferences) == 1

    @property
    def steered(self) -> bool:
        """Whether λ changes what it predicts."""
        method = self.method
        return methods.get(method)().controllable if method in methods else not self.single

    @cached_property
    def aligned(self) -> bool:
        """Whether all seeds were evaluated at the same preferences, so that points can be averaged."""
        first = self.fronts[0].preferences
        return all(f.preferences.shape == first.shape and np.allclose(f.preferences, first) for f in self.fronts)

    @cached_property
    def mean(self) -> Front:
        """The mean over seeds at each preference; the first seed where they cannot be averaged."""
        first, fronts = self.fronts[0], self.fronts
        if len(fronts) == 1 or not self.aligned:
            return first
        shared = [name for name in first.metrics if all(name in f.metrics for f in fronts)]
        metrics = {name: np.mean([f.metrics[name] for f in fronts], axis=0) for name in shared}
        objectives = np.mean([f.objectives for f in fronts], axis=0)
        return Front(first.preferences, objectives, metrics, first.tasks, first.reference, first.about)


def arenas(entries: Iterable[Entry]) -> tuple[list[Arena], list[str]]:
    """All benchmarks with the evaluated models of each, and a sentence for every model that cannot be compared."""
    found: dict[str, Arena] = {}
    problems: list[str] = []
    for entry in entries:
        try:
            name, benchmark, contender = _read(entry.id, str(entry.folder), entry.title, entry.stamp)
        except UserError as error:
            problems.append(str(error))
            continue
        arena = Arena(benchmark, name, tuple(benchmark.tasks))
        found.setdefault(arena.key, arena).contenders.append(contender)
    return sorted(found.values(), key=lambda arena: (-len(arena.contenders), arena.key)), problems


@lru_cache(maxsize=512)
def _read(model_id: str, folder: str, title: str, stamp: tuple[int, ...]) -> tuple[str, Benchmark, Contender]:
    """Card and front of a model; ``stamp`` makes a changed folder be read again."""
    place = Path(folder)
    try:
        card = checkpoint.read_card(place)
        benchmark = checked_benchmark(card)
        if not is_file(place / FRONT):
            raise UserError("it was not evaluated yet; `palora evaluate` on its folder makes its front.")
        front = Front.load(place / FRONT)
        if list(front.tasks) != [task.name for task in benchmark.tasks]:
            raise UserError(f"The front of {id_of(place.name)} belongs to other tasks; evaluate the model again.")
        method = (card["title"] or title).partition(" on ")[0]
        return card["benchmark"]["name"], benchmark, Contender(model_id, method, front, card)
    except UserError as error:
        raise UserError(f"{title}: {without_paths(str(error), place)}") from None


def published(path: Path, arena: Arena) -> list[Contender]:
    """The published results that belong to an arena, one contender per method and seed; none if there are not any."""
    if arena.name != path.stem or not path.is_file():
        return []
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["tasks"] != [task.name for task in arena.tasks]:
        return []
    found = []
    for row in data["rows"]:
        for seed, front in zip(row["seeds"], row["fronts"]):
            metrics = {name: np.array(values) for name, values in front["metrics"].items()}
            points = np.array(row["preferences"]), np.array(front["objectives"])
            about = {"split": data["split"]}
            whole = Front(*points, metrics, tuple(data["tasks"]), tuple(data["reference"]), about)
            card = {"method": {"name": row["method"]}, "training": {"seed": seed}}
            found.append(Contender(f"published:{row['method']}", f"{row['title']} (published)", whole, card, True))
    return found


def published_notes(path: Path) -> dict[str, str]:
    """What must be said beside published results: ``source`` and ``note``."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return {key: data[key] for key in ("source", "note")}


def series(contenders: Sequence[Contender]) -> list[Series]:
    """Join the seeds of each configuration; configurations of one name are told apart by the options that differ."""
    groups: dict[str, list[Contender]] = {}
    for contender in contenders:
        key = json.dumps([contender.title, contender.published, contender.settings], sort_keys=True, default=str)
        group = groups.get(key, [])
        weights = contender.card.get("weights_sha256")
        if weights and any((m.seed, m.card.get("weights_sha256")) == (contender.seed, weights) for m in group):
            continue  # a copy of the same model in another folder
        taken = [member.seed for member in group]
        again = contender.seed is None or contender.seed in taken
        groups.setdefault(f"{key}{contender.id}" if again else key, []).append(contender)
    by_title: dict[str, list[list[Contender]]] = {}
    for members in groups.values():
        by_title.setdefault(members[0].title, []).append(members)
    found: list[Series] = []
    for title, alike in by_title.items():
        names = [title] if len(alike) == 1 else _told_apart(title, [members[0] for members in alike])
        for name, members in zip(names, alike):
            earlier = sum(s.method == members[0].method and s.published == members[0].published for s in found)
            found.append(Series(name, tuple(sorted(members, key=lambda m: m.seed or 0)), earlier))
    return found


def shown_first(everything: Sequence[Series], most: int) -> list[str]:
    """Names of what to draw before anybody has chosen: of each kind those with the largest hypervolume.

    Two thirds of the places go to fronts, the rest to single solutions, of which a figure bears more.
    """
    own = [one for one in everything if not one.published]
    if len(own) <= most:
        return [one.name for one in own]
    small = len(own[0].mean.tasks) <= MOST_RANKED
    ranked = sorted(own, key=lambda one: -one.mean.hypervolume()) if small else own
    fronts, points = ([one.name for one in ranked if one.single is single] for single in (False, True))
    places = max(most - len(points), 2 * most // 3)
    kept = {*fronts[:places], *points[: most - len(fronts[:places])]}
    return [one.name for one in own if one.name in kept]


def _told_apart(title: str, firsts: Sequence[Contender]) -> list[str]:
    """A name for each of several configurations of one title: up to two options that differ, or its folder."""
    keys = dict.fromkeys(key for contender in firsts for key in contender.settings)
    differing = [key for key in keys if len({json.dumps(c.settings.get(key), default=str) for c in firsts}) > 1][:2]
    names = []
    for contender in firsts:
        told = [f"{key.rpartition('.')[2].replace('_', ' ')} {contender.settings.get(key)}" for key in differing]
        names.append(f"{title} ({', '.join(told) or contender.id})")
    return names if len(set(names)) == len(names) else [f"{title} ({c.id.removeprefix('run:')})" for c in firsts]


def differing_data(shown: Sequence[Series]) -> list[str]:
    """Names of benchmark options in which the series differ: then they were not measured on the same data."""
    mine = [member for s in shown if not s.published for member in s.members]
    keys = sorted({key for c in mine for key in c.settings if key.startswith("benchmark.options.")})
    values = {key: {json.dumps(c.settings.get(key), default=str) for c in mine} for key in keys}
    return [key.rpartition(".")[2].replace("_", " ") for key in keys if len(values[key]) > 1]


def _flatten(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
