"""The models that can be shown: shipped ones and finished runs, named by ids that never become paths."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core import checkpoint
from palora_core.benchmarks.base import Benchmark, benchmarks
from palora_core.conditioning.base import ParetoModel
from palora_core.config import from_dict
from palora_core.data import ArraySplit, load_samples
from palora_core.errors import UserError
from palora_core.front import Front
from palora_core.tasks import Task

MAX_LOADED = 4
# How old the listing of the folders may be, in seconds; a finished run appears after at most this.
LISTING_AGE = 2.0
# Kinds of tasks whose predictions are pictures.
PICTURED = ("segmentation", "depth", "normals")
# Sweeps put their runs into sub-folders.
RUN_DEPTH = 3
# A folder of shipped models that holds model folders instead of a model: a collection, e.g. one per benchmark.
SHIPPED, OWN, IMPORTED = "shipped", "own runs", "imported"
IMPORTS = "run:imported/"


@dataclass(frozen=True)
class Entry:
    """A model folder that was found, loadable or not.

    Attributes:
        id: its name in URLs and messages: the folder's name, with ``run:`` before it for training runs.
        folder: where it is; never leaves the server.
        title: its name for people.
        benchmark: registry name of its benchmark, "" if its card cannot be read.
        pictured: how many of its tasks predict pictures.
        problem: one sentence on why it cannot be used, or None.
        stamp: changes when the files do.
        method: registry name of its method, "" if its card cannot be read.
    """

    id: str
    folder: Path
    title: str
    benchmark: str
    pictured: int
    problem: str | None
    stamp: tuple[int, ...]
    method: str = ""

    @property
    def group(self) -> str:
        """Where it is listed: shipped, own runs, imported, or the name of a shipped collection."""
        if self.is_run:
            return IMPORTED if self.id.startswith(IMPORTS) else OWN
        return self.id.rpartition("/")[0] or SHIPPED

    @property
    def group_title(self) -> str:
        """The group for people: a collection's folder name in words, with the title of its benchmark."""
        known = getattr(benchmarks.get(self.benchmark), "title", "") if self.benchmark in benchmarks else ""
        words = [known if known and word == self.benchmark else word for word in self.group.split("-")]
        return " ".join(words)[:1].upper() + " ".join(words)[1:]

    @property
    def short_title(self) -> str:
        """The title among others of its group: in a collection without the benchmark that all of them share."""
        method, on, rest = self.title.partition(" on ")
        return f"{method} · {rest.partition(' · ')[2]}" if on and self.in_collection else self.title

    @property
    def in_collection(self) -> bool:
        """Whether it lies in a folder of several shipped models."""
        return not self.is_run and "/" in self.id

    @property
    def is_run(self) -> bool:
        """Whether it comes from the folder of training runs."""
        return self.id.startswith("run:")

    def is_current(self) -> bool:
        """Whether its files are still those that were listed; takes microseconds."""
        return _stamp(self.folder) == self.stamp


@dataclass(eq=False)
class LoadedModel:
    """A model in memory with everything that is shown about it."""

    entry: Entry
    model: ParetoModel
    card: Mapping[str, Any]
    benchmark: Benchmark
    tasks: tuple[Task, ...]
    front: Front | None
    samples: ArraySplit | None
    problems: list[str] = field(default_factory=list)

    @property
    def num_tasks(self) -> int:
        """T."""
        return len(self.tasks)

    @property
    def key(self) -> str:
        """Identifies these weights: id and hash."""
        return f"{self.entry.id}@{self.card['weights_sha256'][:16]}"

    @property
    def has_pictures(self) -> bool:
        """Whether inputs can be shown as pictures (and pictures be sent in)."""
        return self.benchmark.input_kind in ("rgb", "grey")

    @property
    def units(self) -> dict[str, str]:
        """Units of depth tasks by name, where the benchmark knows them."""
        unit = getattr(self.benchmark, "depth_unit", "")
        return {task.name: unit for task in self.tasks if task.kind == "depth" and unit}

    @cached_property
    def example(self) -> Tensor | None:
        """A few inputs [B, …] for folding and probing; None without samples."""
        if self.samples is None:
            return None
        return self.samples.batch(torch.arange(min(4, len(self.samples))))[0]

    @cached_property
    def depth_ranges(self) -> dict[str, tuple[float, float]]:
        """Per depth task the range of its colours: 1st to 99th percentile of the samples' ground truth."""
        if self.samples is None or len(self.samples) == 0:
            return {}
        targets = self.samples.batch(torch.arange(len(self.samples)))[1]
        ranges = {}
        for task in self.tasks:
            if task.kind == "depth" and task.name in targets:
                known = targets[task.name].float().numpy()
                known = known[np.isfinite(known) & (known != 0)]
                if known.size:
                    low, high = np.percentile(known, [1, 99])
                    ranges[task.name] = (float(low), float(high if high > low else low + 1))
        return ranges


class ModelRegistry:
    """Lists model folders and loads them, the ones used last staying in memory.

    Args:
        models: folder of the shipped models.
        runs: folder of training runs.
    """

    def __init__(self, models: Path, runs: Path) -> None:
        self.models = models
        self.runs = runs
        self._lock = threading.RLock()
        self._listed: tuple[float, dict[str, Entry]] = (-1e9, {})
        self._entries: dict[str, Entry] = {}
        self._loaded: OrderedDict[tuple[str, tuple[int, ...]], LoadedModel] = OrderedDict()

    def entries(self) -> list[Entry]:
        """All model folders: shipped ones first, then runs, by name."""
        return list(self._listing().values())

    def entry(self, model_id: str) -> Entry:
        """The entry called ``model_id``.

        Raises:
            UserError: there is none.
        """
        entry = self._listing().get(model_id)
        if entry is None:
            raise UserError("This model is not (or no longer) here; choose one from the list.")
        return entry

    def get(self, model_id: str) -> LoadedModel:
        """The model called ``model_id``, from memory if its files are unchanged.

        Raises:
            UserError: unknown, damaged, or made for something this program does not have.
        """
        entry = self.entry(model_id)
        if entry.problem:
            raise UserError(entry.problem)
        key = (entry.id, entry.stamp)
        with self._lock:
            found = self._loaded.get(key)
            if found is None:
                found = _load(entry)
                self._loaded[key] = found
                while len(self._loaded) > MAX_LOADED:
                    self._loaded.popitem(last=False)
                # Weights and modules stay for long: without this every full collection walks all of torch's objects.
                gc.collect()
                gc.freeze()
            self._loaded.move_to_end(key)
            return found

    def _listing(self) -> dict[str, Entry]:
        with self._lock:
            age, entries = self._listed
            if time.monotonic() - age > LISTING_AGE:
                entries = {entry.id: entry for entry in self._scan()}
                self._listed = (time.monotonic(), entries)
            return entries

    def _scan(self) -> Iterator[Entry]:
        known = {(entry.id, entry.stamp): entry for entry in self._listed[1].values()}
        for model_id, folder in (*_shipped(self.models), *_finished(self.runs)):
            stamp = _stamp(folder)
            yield known.get((model_id, stamp)) or _read_entry(model_id, folder, stamp)


def _shipped(root: Path) -> Iterator[tuple[str, Path]]:
    """Model folders, and those one level down in folders that are collections; a stray folder is listed as such."""
    for folder in _folders(root):
        inner = [] if (folder / checkpoint.CARD).is_file() else _folders(folder)
        if inner:
            yield from ((f"{folder.name}/{model.name}", model) for model in inner)
        else:
            yield folder.name, folder


def _finished(root: Path, prefix: str = "run:", depth: int = RUN_DEPTH) -> Iterator[tuple[str, Path]]:
    """Run folders that hold a card, which is written last."""
    for folder in _folders(root):
        if (folder / checkpoint.CARD).is_file():
            yield prefix + folder.name, folder
        elif depth > 1 and not (folder / "config.json").exists():
            yield from _finished(folder, f"{prefix}{folder.name}/", depth - 1)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as found:  # knows without a further call which entries are folders
            return [root / name for name in sorted(e.name for e in found if e.name[0] not in "._" and e.is_dir())]
    except OSError:
        return []


def _stamp(folder: Path) -> tuple[int, ...]:
    """Times and sizes of the files that are read."""
    stamp: list[int] = []
    for name in (checkpoint.CARD, checkpoint.WEIGHTS, "front.json", "samples.npz"):
        try:
            status = (folder / name).stat()
            stamp += [status.st_mtime_ns, status.st_size]
        except OSError:
            stamp += [0, 0]
    return tuple(stamp)


def _read_entry(model_id: str, folder: Path, stamp: tuple[int, ...]) -> Entry:
    try:
        card = checkpoint.read_card(folder)
        title = str(card.get("title") or card.get("name") or folder.name)
        benchmark = str(card["benchmark"]["name"])
        pictured = sum(task["kind"] in PICTURED for task in card["tasks"])
        if not (folder / checkpoint.WEIGHTS).is_file():
            raise UserError(f"{folder.name} has a card but no weights; copy the whole folder, or train it again.")
    except (UserError, KeyError, TypeError) as error:
        sentence = (
            str(error) if isinstance(error, UserError) else f"The card of {folder.name} is incomplete; restore it."
        )
        return Entry(model_id, folder, folder.name, "", 0, _without_paths(sentence, folder), stamp)
    method = card["method"].get("name", "") if isinstance(card.get("method"), Mapping) else ""
    if model_id.startswith("run:"):
        title = f"{title} · {model_id.removeprefix('run:')}"
    elif "/" in model_id:  # one of a collection, which holds several seeds of a method
        title = f"{title} · {folder.name}"
    return Entry(model_id, folder, title, benchmark, pictured, None, stamp, str(method))


def _load(entry: Entry) -> LoadedModel:
    try:
        model, card = checkpoint.load(entry.folder)
        benchmark = from_dict(benchmarks.get(card["benchmark"]["name"]), card["benchmark"].get("options") or {})
        tasks = tuple(benchmark.tasks)
        names = [task["name"] for task in card["tasks"]]
        if [task.name for task in tasks] != names:
            raise UserError(
                f"The tasks of {entry.title} ({', '.join(names)}) are not those of the benchmark "
                f"{entry.benchmark!r} ({', '.join(task.name for task in tasks)}); use the version it was trained with."
            )
    except UserError as error:
        raise UserError(_without_paths(str(error), entry.folder)) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"The card of {entry.title} cannot be used ({error!r}); restore the model folder.") from None
    problems: list[str] = []
    front = _front(entry, names, problems)
    samples = _samples(entry, benchmark, tasks, problems)
    return LoadedModel(entry, model, card, benchmark, tasks, front, samples, problems)


def _front(entry: Entry, names: Sequence[str], problems: list[str]) -> Front | None:
    if not (entry.folder / "front.json").exists():
        problems.append(f"{entry.folder.name} has no front yet; `python scripts/evaluate.py` on its folder makes one.")
        return None
    try:
        front = Front.load(entry.folder / "front.json")
        if list(front.tasks) != list(names):
            raise UserError("The front belongs to other tasks; evaluate the model again.")
        return front
    except UserError as error:
        problems.append(_without_paths(str(error), entry.folder))
        return None


def _samples(entry: Entry, benchmark: Benchmark, tasks: Sequence[Task], problems: list[str]) -> ArraySplit | None:
    try:
        samples = load_samples(_samples_file(entry), benchmark.convert)
        if len(samples) == 0:
            raise UserError(f"The samples of {entry.title} are empty; copy the model folder again.")
        _, targets = samples.batch(torch.arange(1))
        missing = [task.name for task in tasks if task.name not in targets]
        if missing:
            raise UserError(f"The samples have no ground truth for {missing[0]!r}; copy the model folder again.")
        return samples
    except UserError as error:
        problems.append(_without_paths(str(error), entry.folder))
    except (KeyError, ValueError, RuntimeError, IndexError, TypeError) as error:
        problems.append(f"The samples do not fit this benchmark ({error}); copy the model folder again.")
    return None


def _samples_file(entry: Entry) -> Path:
    """Its own samples, or those that a collection has for all of its models."""
    own, shared = entry.folder / "samples.npz", entry.folder.parent / "samples.npz"
    return shared if entry.in_collection and not own.is_file() and shared.is_file() else own


def _without_paths(sentence: str, folder: Path) -> str:
    """Sentences go to browsers: name the folder, not where it lies on the server."""
    return sentence.replace(f"{folder}/", f"{folder.name}/").replace(str(folder), folder.name)
