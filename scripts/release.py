"""Build wheel and source distribution, and check both: ``python scripts/release.py --out dist``.

Nothing is uploaded. The tree must be clean, CHANGELOG.md must have a section of this version, the wheel must say the
version, import, and hold the dashboard with its models.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from _cli import ROOT, main

NEEDED = ("palora_core/__init__.py", "palora_studio/app/app.py", "palora_studio/trained_models/multimnist/card.json")


def run() -> None:
    """Check, build, check again."""
    parser = argparse.ArgumentParser(description="Build and check a release.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--draft", action="store_true", help="build although the tree or the changelog is not ready")
    args = parser.parse_args()
    from palora_core import __version__
    from palora_core.errors import UserError

    for fault in () if args.draft else faults(__version__):
        raise UserError(fault)
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(args.out.resolve())]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wheel = newest(args.out, f"palora_core-{__version__}-*.whl")
    source = newest(args.out, f"palora_core-{__version__}.tar.gz")
    check(wheel, __version__)
    print(f"{wheel}\n{source}\nchecked: version, contents, import")


def faults(version: str) -> list[str]:
    """Why this tree is no release yet."""
    found = []
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout:
        found.append("The tree has changes that are not committed; commit them, or build with --draft.")
    if not re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE):
        found.append(f"CHANGELOG.md has no section '## {version}'; name it, or build with --draft.")
    return found


def newest(folder: Path, pattern: str) -> Path:
    """The file that was built."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def check(wheel: Path, version: str) -> None:
    """What is in the wheel, and that it imports where the checkout is not."""
    from palora_core.errors import UserError

    names = set(zipfile.ZipFile(wheel).namelist())
    for missing in [name for name in NEEDED if name not in names]:
        raise UserError(f"{wheel.name} lacks {missing}; see [tool.hatch.build] in pyproject.toml.")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True, system_site_packages=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel], check=True)
        asked = "import palora_core; print(palora_core.__version__, palora_core.__file__)"
        told = subprocess.run([python, "-c", asked], cwd=folder, capture_output=True, text=True).stdout
    if not told.startswith(f"{version} {folder}"):
        raise UserError(f"The installed wheel says {told.strip()!r}; expected version {version} below {folder}.")


if __name__ == "__main__":
    main(run)
