"""Leaderboards: evaluated models read from their folders, and published results, sorted by benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from app.folders import id_of
from app.jobs import as_text
from app.jobs.naming import option_told
from app.library.cards import checked_benchmark
from app.library.configurations import changed, settings
from app.library.entries import FRONT, Entry, without_paths
from palora_core import checkpoint
from palora_core.benchmarks.base import Benchmark
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.objectives import Objective
from palora_core.storage.notes import Note
from palora_core.storage.reading import is_file


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """One evaluated model, or one seed of a published result.

    Attributes:
        id: of the model in the registry; for published results only a name.
        title: the method's name for people.
        front: its evaluated front.
        card: its card (published results have a few entries of one).
        published: whether the numbers are a paper's.
        name: what a person calls this run, "" for other models.
        note: all that a person says about it.
        told: its settings, where no card has them.
        kept: figures that were computed of its front, by name.
    """

    id: str
    title: str
    front: Front
    card: Mapping[str, Any]
    published: bool = False
    name: str = ""
    note: Note = field(default_factory=Note)
    told: Mapping[str, Any] | None = None
    kept: dict[str, float | None] = field(default_factory=dict)

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
        """All options, see :func:`app.library.configurations.settings`."""
        return settings(self.card) if self.told is None else dict(self.told)


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A benchmark with given tasks, network and data; only fronts of one leaderboard are drawn together.

    Attributes:
        benchmark: with the options of its models.
        name: in the registry.
        tasks: what λ weighs.
        models: that were evaluated on it.
        apart: the options that tell it from other leaderboards of the same benchmark and tasks, unless they are usual.
    """

    benchmark: Benchmark
    name: str
    tasks: tuple[Objective, ...]
    models: list[EvaluatedModel] = field(default_factory=list)
    apart: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Identifies it."""
        return "; ".join([self.bare, *(f"{name}={as_text(value)}" for name, value in self.apart.items())])

    @property
    def bare(self) -> str:
        """What it has in common with those that it is told apart from."""
        return f"{self.name}: {', '.join(task.name for task in self.tasks)}"

    @property
    def title(self) -> str:
        """For people."""
        names = [task.name.replace("_", " ") for task in self.tasks]
        listed = ", ".join(names) if len(names) <= 3 else f"{len(names)} tasks"
        told = [option_told(name, as_text(value)) for name, value in self.apart.items()]
        return ", ".join([f"{self.benchmark.title or self.name} ({listed})", *told])

    @property
    def reference(self) -> tuple[float, ...]:
        """Reference point [T] of the hypervolume."""
        return tuple(self.benchmark.reference)


def read(entries: Iterable[Entry]) -> tuple[list[Leaderboard], list[str]]:
    """All benchmarks with the evaluated models of each, and a sentence for every model that cannot be compared."""
    found: dict[tuple[str, str], Leaderboard] = {}
    problems: list[str] = []
    for entry in entries:
        try:
            name, benchmark, model = _read(entry.id, str(entry.folder), entry.title, entry.stamp)
        except UserError as error:
            problems.append(str(error))
            continue
        board = Leaderboard(benchmark, name, tuple(benchmark.tasks))
        found.setdefault((board.key, str(changed(benchmark))), board).models.append(model)
    boards = told_apart(list(found.values()))
    return sorted(boards, key=lambda board: (-len(board.models), board.key)), problems


def told_apart(boards: Sequence[Leaderboard]) -> list[Leaderboard]:
    """Those of one benchmark with the same tasks are told apart by the options in which they differ."""
    alike: dict[str, list[Leaderboard]] = {}
    for board in boards:
        alike.setdefault(board.key, []).append(board)
    result = []
    for board in boards:
        all_options = [changed(other.benchmark) for other in alike[board.key]]
        own = changed(board.benchmark)
        differing = [name for name in own if any(options.get(name) != own[name] for options in all_options)]
        result.append(replace(board, apart={name: own[name] for name in differing}))
    return result


@lru_cache(maxsize=512)
def _read(model_id: str, folder: str, title: str, stamp: tuple[int, ...]) -> tuple[str, Benchmark, EvaluatedModel]:
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
        method, note = (card["title"] or title).partition(" on ")[0], Note.read(place)
        model = EvaluatedModel(model_id, method, front, card, name=note.name, note=note)
        return card["benchmark"]["name"], benchmark, model
    except UserError as error:
        raise UserError(f"{title}: {without_paths(str(error), place)}") from None


def published(path: Path, board: Leaderboard) -> list[EvaluatedModel]:
    """The published results that belong to a leaderboard, one model per method and seed; none if there are not any."""
    if board.name != path.stem or changed(board.benchmark) or not path.is_file():
        return []
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["tasks"] != [task.name for task in board.tasks]:
        return []
    found = []
    for row in data["rows"]:
        for seed, front in zip(row["seeds"], row["fronts"]):
            metrics = {name: np.array(values) for name, values in front["metrics"].items()}
            points = np.array(row["preferences"]), np.array(front["objectives"])
            about = {"split": data["split"]}
            whole = Front(*points, metrics, tuple(data["tasks"]), tuple(data["reference"]), about)
            card = {"method": {"name": row["method"]}, "training": {"seed": seed}}
            found.append(EvaluatedModel(f"published:{row['method']}", f"{row['title']} (published)", whole, card, True))
    return found


def published_notes(path: Path) -> dict[str, str]:
    """What must be said beside published results: ``source`` and ``note``."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return {key: data[key] for key in ("source", "note")}
