"""MNIST and Fashion-MNIST: the four idx files, checked and put where the loader (and torchvision) look for them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from palora_core.errors import UserError
from palora_core.preparation._read import find
from palora_core.preparation._writing import Progress, told
from palora_core.preparation.base import Piece, Preparer, count_note, preparers
from palora_core.storage.prepared import MANIFEST
from palora_core.storage.reading import read_json
from palora_core.storage.writing import sha256, write_atomically, write_json

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
OFFICIAL = {"train": 60_000, "test": 10_000}


def _spellings(name: str) -> tuple[str, ...]:
    """As in the archives, and with the full stop that some programs put there when they unpack them."""
    dotted = name.replace("-idx", ".idx")
    return name, f"{name}.gz", dotted, f"{dotted}.gz"


def _copy(path: Path, target: Path) -> None:
    target.write_bytes(path.read_bytes())


@preparers.register("multimnist3")
@preparers.register("multimnist")
@preparers.register("mnist")
class Mnist(Preparer):
    """Copies and checks the files; without a source they are downloaded through torchvision."""

    name: ClassVar[str] = "MNIST"
    title: ClassVar[str] = "MNIST"
    site: ClassVar[str] = "http://yann.lecun.com/exdb/mnist (or without --source: downloaded through torchvision)"
    licence: ClassVar[str] = "CC BY-SA 3.0"
    pieces: ClassVar[tuple[Piece, ...]] = tuple(
        Piece(name, _spellings(name), "the site's .gz file of that name") for names in FILES.values() for name in names
    )

    def prepare(self, source: Path | None, data: Path, progress: Progress | None = None, workers: int = 0) -> list[str]:
        """Copy to ``data/<name>/raw``; nothing is done where the right files are there already."""
        folder = Path(data) / self.name
        if source is None:
            if self.state(data)[0]:
                return self.state(data)[1]
            self._download(Path(data))
            source = folder / "raw"
        source = self.checked_source(source)
        found = {name: self._find(source, name) for names in FILES.values() for name in names}
        counts = self._counted(source)
        with told(folder):
            return self._copied(found, counts, folder, progress)

    def _copied(
        self, found: dict[str, Path], counts: dict[str, int], folder: Path, progress: Progress | None
    ) -> list[str]:
        """Copy what is not there yet, then write the manifest; lines for a person."""
        entries, written = [], 0
        for number, (name, path) in enumerate(found.items(), 1):
            target = folder / "raw" / (f"{name}.gz" if path.suffix == ".gz" else name)
            if not target.is_file() or sha256(target) != sha256(path):
                write_atomically(target, functools.partial(_copy, path))
                written += 1
            _remove_other(target)
            entries.append({"file": f"raw/{target.name}", "bytes": target.stat().st_size, "sha256": sha256(target)})
            if progress:
                progress("copying", number, len(found))
        notes = [n for part in FILES for n in count_note(f"{part} images", counts[part], OFFICIAL[part])]
        about = {"format": 1, "name": self.name, "title": self.title, "site": self.site, "licence": self.licence}
        manifest = {**about, "notes": notes, "counts": counts, "files": entries}
        if written or not _is_written(folder / MANIFEST, manifest):
            write_json(folder / MANIFEST, manifest)
        listed = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        done = f"{written} files written" if written else "everything was there already"
        return [f"{self.name}: {listed} images in {folder / 'raw'}; {done}.", *notes]

    def state(self, data: Path) -> tuple[bool, list[str]]:
        """Whether the four files are there; hashed where there is a manifest, counted otherwise."""
        folder = Path(data) / self.name
        try:
            counts = self._counted(folder / "raw")
            if (folder / MANIFEST).is_file():
                self._check_hashes(folder, read_json(folder / MANIFEST, "manifest"))
        except UserError as error:
            return False, [f"{self.name}: {error}"]
        listed = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        return True, [f"{self.name}: ready in {folder / 'raw'}: {listed} images"]

    def found(self, source: Path) -> list[str]:
        """Which of the four files are there."""
        lines = []
        for piece in self.pieces:
            count = piece.count(source)
            lines.append(f"  {piece.name}: {'found' if count else f'MISSING ({piece.comes_in})'}")
        try:
            counts = self._counted(source)
        except UserError as error:
            return [*lines, f"  cannot be prepared yet: {error}"]
        listed = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        return [*lines, f"  can be prepared from {source}: {listed} images"]

    def _check_hashes(self, folder: Path, manifest: dict[str, Any]) -> None:
        for entry in manifest.get("files", []):
            path = folder / entry["file"]
            if path.is_file() and sha256(path) != entry["sha256"]:
                raise UserError(f"{path} is not what was written (its hash differs); prepare it again")

    def _counted(self, source: Path) -> dict[str, int]:
        """Images per part, after reading all four files."""
        from palora_core.benchmarks._mnist import read_idx

        counts = {}
        for part, (images_name, labels_name) in FILES.items():
            images = read_idx(self._find(source, images_name), 3)
            path = self._find(source, labels_name)
            labels = read_idx(path, 1)
            if images.shape[1:] != (28, 28) or len(images) != len(labels) or not len(images):
                raise UserError(
                    f"{path} holds {len(labels):,} labels for {list(images.shape)} pixels, expected [N, 28, 28]."
                )
            if labels.max() > 9:
                raise UserError(f"{path} holds the label {labels.max()}, expected 0 … 9.")
            counts[part] = len(images)
        return counts

    def _find(self, source: Path, name: str) -> Path:
        path = find(source, *_spellings(name))
        if path is None:
            raise UserError(f"There is no {name} (or {name}.gz) in {source}. {self.where()}")
        return path

    def _download(self, data: Path) -> None:
        from torchvision import datasets

        try:
            for train in (True, False):
                getattr(datasets, self.name)(str(data), train=train, download=True)
        except Exception as error:  # the network fails in many ways
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{self.title} could not be downloaded ({reason}); give the folder of its four files as --source."
            ) from None


def _remove_other(target: Path) -> None:
    """The zipped twin of a plain file, or the plain one of a zipped one, if it holds other digits than ``target``."""
    from palora_core.benchmarks._mnist import read_idx

    zipped = target.suffix == ".gz"
    other = target.with_suffix("") if zipped else target.with_name(f"{target.name}.gz")
    dimensions = 3 if "images" in target.name else 1
    try:
        same = not other.is_file() or np.array_equal(read_idx(other, dimensions), read_idx(target, dimensions))
    except UserError:
        same = False
    if not same:
        other.unlink()


def _is_written(path: Path, manifest: dict[str, Any]) -> bool:
    try:
        return read_json(path, "manifest") == manifest
    except UserError:
        return False


@preparers.register("multifashion")
@preparers.register("fashionmnist")
class FashionMnist(Mnist):
    """As MNIST."""

    name: ClassVar[str] = "FashionMNIST"
    title: ClassVar[str] = "Fashion-MNIST"
    site: ClassVar[str] = "https://github.com/zalandoresearch/fashion-mnist (or without --source: through torchvision)"
    licence: ClassVar[str] = "MIT"
