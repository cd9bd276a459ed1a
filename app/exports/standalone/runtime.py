"""The parts of onnxruntime-web that a page needs, fetched once with npm into a cache folder and checked by hash.

Without npm or a network: download the package elsewhere and name it, archive or unpacked folder, in
``PALORA_ONNXRUNTIME_WEB``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from app.settings import ROOT
from palora_core.errors import UserError
from palora_core.storage.writing import CannotWrite, write_atomically

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
SCRIPT = "ort.wasm.bundle.min.mjs"
BINARY = "ort-wasm-simd-threaded.wasm"
HASHES = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    BINARY: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
PATIENCE = 180.0
LOCAL = "PALORA_ONNXRUNTIME_WEB"
BY_HAND = f"download {PACKAGE} on another machine and name the archive or its folder in {LOCAL}"


def cache() -> Path:
    """Where the parts are kept (``PALORA_CACHE``; git ignores the default)."""
    return Path(os.environ.get("PALORA_CACHE") or ROOT / ".cache") / f"onnxruntime-web-{VERSION}"


def available() -> str | None:
    """None if the parts are here or npm could fetch them; otherwise one sentence."""
    if _kept() or os.environ.get(LOCAL) or shutil.which("npm"):
        return None
    return f"A one-file page needs {PACKAGE} once, and npm is not installed on this server; install it, or {BY_HAND}."


def parts() -> tuple[bytes, bytes]:
    """The script and the WebAssembly binary, fetched if they are not in the cache.

    Raises:
        UserError: npm or the package cannot be had, or it is not the file this program knows.
    """
    if not _kept():
        local = os.environ.get(LOCAL)
        _keep(_from_disk(Path(local)) if local else _from_npm())
    script, binary = ((cache() / name).read_bytes() for name in (SCRIPT, BINARY))
    return script, binary


def _kept() -> bool:
    return all((cache() / name).is_file() and _hash((cache() / name).read_bytes()) == HASHES[name] for name in HASHES)


def _from_disk(package: Path) -> dict[str, bytes]:
    try:
        if not package.is_dir():
            return _read(package)
        dist = next(folder for folder in (package / "dist", package / "package" / "dist", package) if folder.is_dir())
        return {file: (dist / file).read_bytes() for file in HASHES}
    except (OSError, KeyError, tarfile.TarError):
        raise UserError(f"{LOCAL} does not name {PACKAGE}: neither its archive nor its unpacked folder.") from None


def _from_npm() -> dict[str, bytes]:
    missing = available()
    if missing:
        raise UserError(missing)
    try:
        with tempfile.TemporaryDirectory(prefix="palora-npm-") as name:
            command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", name]
            subprocess.run(command, cwd=name, capture_output=True, check=True, timeout=PATIENCE)
            (archive,) = Path(name).glob("*.tgz")
            return _read(archive)
    except (subprocess.SubprocessError, OSError, ValueError, KeyError, tarfile.TarError):
        sentence = f"npm could not fetch {PACKAGE}, which a one-file page needs; try again later, or {BY_HAND}."
        raise UserError(sentence) from None


def _keep(found: dict[str, bytes]) -> None:
    for file, data in found.items():
        if _hash(data) != HASHES[file]:
            raise UserError(f"{file} of {PACKAGE} is not the file this program knows, so it was not used.")
        try:
            write_atomically(cache() / file, lambda path, data=data: path.write_bytes(data))  # type: ignore[misc]
        except CannotWrite as error:
            sentence = f"{PACKAGE}, which a one-file page needs, cannot be kept ({error.reason}); set PALORA_CACHE to a"
            raise UserError(f"{sentence} folder with room that this server may write.") from None


def _read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        members = {file: tar.extractfile(f"package/dist/{file}") for file in HASHES}
        return {file: member.read() for file, member in members.items() if member}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
