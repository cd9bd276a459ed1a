"""Leaderboards: evaluated models read from their folders, and published results, sorted by benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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
from palora_core.evaluation.front import Front
from palora_core.objectives import Objective
from palora_core.storage.notes import Note
from palora_core.storage.reading import is_file

# What may differ between two seeds of one configuration.
BY_RUN = ("seed", "steps", "seconds", "finished", "device", "train_items", "samples", "evaluate_every")


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
    """

    id: str
    title: str
    front: Front
    card: Mapping[str, Any]
    published: bool = False
    name: str = ""

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
class Leaderboard:
    """A benchmark with given tasks; only fronts of one leaderboard are drawn together."""

    benchmark: Benchmark
    name: str
    tasks: tuple[Objective, ...]
    models: list[EvaluatedModel] = field(default_factory=list)

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
    def reference(self) -> tuple[float, ...]:
        """Reference point [T] of the hypervolume."""
        return tuple(self.benchmark.reference)


def read(entries: Iterable[Entry]) -> tuple[list[Leaderboard], list[str]]:
    """All benchmarks with the evaluated models of each, and a sentence for every model that cannot be compared."""
    found: dict[str, Leaderboard] = {}
    problems: list[str] = []
    for entry in entries:
        try:
            name, benchmark, model = _read(entry.id, str(entry.folder), entry.title, entry.stamp)
        except UserError as error:
            problems.append(str(error))
            continue
        board = Leaderboard(benchmark, name, tuple(benchmark.tasks))
        found.setdefault(board.key, board).models.append(model)
    return sorted(found.values(), key=lambda board: (-len(board.models), board.key)), problems


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
        method = (card["title"] or title).partition(" on ")[0]
        return (
            card["benchmark"]["name"],
            benchmark,
            EvaluatedModel(model_id, method, front, card, name=Note.read(place).name),
        )
    except UserError as error:
        raise UserError(f"{title}: {without_paths(str(error), place)}") from None


def published(path: Path, board: Leaderboard) -> list[EvaluatedModel]:
    """The published results that belong to a leaderboard, one model per method and seed; none if there are not any."""
    if board.name != path.stem or not path.is_file():
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


def _flatten(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
