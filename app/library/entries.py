"""Which model folders there are: shipped ones, collections and finished runs, named by ids that never become paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.folders import holds, id_of, subfolders
from app.kinds import views
from palora_core import checkpoint
from palora_core.benchmarks.base import benchmarks
from palora_core.errors import UserError
from palora_core.storage.notes import NOTE, Note
from palora_core.storage.reading import is_file
from palora_core.tasks.base import tasks

# Sweeps put their runs into sub-folders.
RUN_DEPTH = 3
# Where models come from; a folder of shipped models that holds model folders instead of a model is a collection.
SHIPPED, OWN, IMPORTED = "shipped", "own runs", "imported"
RUNS = "run:"
IMPORTS = f"{RUNS}imported/"
FRONT, SAMPLES = "front.json", "samples.npz"


@dataclass(frozen=True)
class Entry:
    """A model folder that was found, loadable or not.

    Attributes:
        id: its name in URLs and messages: the folder's name as text, with ``run:`` before it for training runs.
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
        return _in_collection(self.id)

    @property
    def is_run(self) -> bool:
        """Whether it comes from the folder of training runs."""
        return self.id.startswith(RUNS)

    def is_current(self) -> bool:
        """Whether its files are still those that were listed; takes microseconds."""
        return stamp_of(self.id, self.folder) == self.stamp

    @property
    def samples_file(self) -> Path:
        """Its own samples, or those that a collection has for all of its models."""
        return _samples_file(self.id, self.folder)

    @property
    def samples_stamp(self) -> str:
        """Changes when its samples do."""
        return "-".join(f"{part:x}" for part in self.stamp[-2:])


def found(models: Path, runs: Path) -> Iterator[tuple[str, Path]]:
    """(id, folder) of everything that may be a model: shipped ones first, then runs, by name."""
    yield from _shipped(models)
    yield from _finished(runs)


def read_entry(model_id: str, folder: Path, stamp: tuple[int, ...]) -> Entry:
    """What the card of a folder says, or why it cannot be used."""
    name = id_of(folder.name)
    try:
        card = checkpoint.read_card(folder)
        if not is_file(folder / checkpoint.WEIGHTS):
            raise UserError(f"{name} has a card but no weights; copy the whole folder, or train it again.")
    except UserError as error:
        return Entry(model_id, folder, name, "", 0, without_paths(str(error), folder), stamp)
    title = card["title"] or card["name"] or name
    pictured = sum(_is_pictured(task["kind"]) for task in card["tasks"])
    if model_id.startswith(RUNS):
        title = f"{title} · {Note.read(folder).name or model_id.removeprefix(RUNS)}"
    elif "/" in model_id:  # one of a collection, which holds several seeds of a method
        title = f"{title} · {name}"
    return Entry(model_id, folder, title, card["benchmark"]["name"], pictured, None, stamp, card["method"]["name"])


def told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, those of one title with their ids behind it: a person may call two runs alike."""
    several = {title for title, count in Counter(entry.title for entry in entries).items() if count > 1}
    return [
        replace(one, title=f"{one.title} ({one.id.removeprefix(RUNS)})") if one.title in several else one
        for one in entries
    ]


def _is_pictured(kind: str) -> bool:
    """Whether predictions of a kind, as cards name it, are pictures; no kind of that name has any."""
    return kind in tasks and views.showing(tasks.get(kind)).pictured


def stamp_of(model_id: str, folder: Path) -> tuple[int, ...]:
    """Times and sizes of the files that are read, those of the samples last."""
    own = (folder / name for name in (NOTE, checkpoint.CARD, checkpoint.WEIGHTS, FRONT))
    stamp: list[int] = []
    for file in (*own, _samples_file(model_id, folder)):
        stamp += file_stamp(file)
    return tuple(stamp)


def file_stamp(file: Path) -> tuple[int, int]:
    """Time and size of a file, zeros where it cannot be asked for."""
    try:
        status = file.stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_mtime_ns, status.st_size


def without_paths(sentence: str, folder: Path) -> str:
    """Sentences go to browsers: name the folder, not where it lies on the server."""
    name = id_of(folder.name)
    return sentence.replace(f"{folder}/", f"{name}/").replace(str(folder), name)


def _shipped(root: Path) -> Iterator[tuple[str, Path]]:
    """Model folders, and those one level down in folders that are collections; a stray folder is listed as such."""
    for folder in subfolders(root):
        inner = [] if holds(folder, checkpoint.CARD) else subfolders(folder)
        if inner:
            yield from ((f"{id_of(folder.name)}/{id_of(model.name)}", model) for model in inner)
        else:
            yield id_of(folder.name), folder


def _finished(root: Path, prefix: str = RUNS, depth: int = RUN_DEPTH) -> Iterator[tuple[str, Path]]:
    """Run folders that hold a card, which is written last."""
    for folder in subfolders(root):
        if holds(folder, checkpoint.CARD):
            yield prefix + id_of(folder.name), folder
        elif depth > 1 and not holds(folder, "config.json"):
            yield from _finished(folder, f"{prefix}{id_of(folder.name)}/", depth - 1)


def _in_collection(model_id: str) -> bool:
    return not model_id.startswith(RUNS) and "/" in model_id


def _samples_file(model_id: str, folder: Path) -> Path:
    own, shared = folder / SAMPLES, folder.parent / SAMPLES
    return shared if _in_collection(model_id) and not is_file(own) and is_file(shared) else own
