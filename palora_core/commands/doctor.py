"""What is installed, missing and slow on this machine: ``palora doctor``; exit status 1 where something is broken."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import palora_core
from palora_core import plugins
from palora_core.commands.machine import Finding, gpus, processor, speed, torch_build
from palora_core.commands.studio import home
from palora_core.paths import data_folder

# Extra → packages by distribution and import name; the same as in pyproject.toml, which an installed copy lacks.
EXTRAS: dict[str, dict[str, str]] = {
    "app": {
        **{name: name for name in ("streamlit", "plotly", "matplotlib", "pandas", "optuna", "h5py")},
        **{name: name for name in ("onnx", "onnxscript", "onnxruntime")},
    },
    "llm": {"transformers": "transformers", "peft": "peft", "gguf": "gguf"},
    "hub": {"huggingface_hub": "huggingface_hub"},
    "serve": {"starlette": "starlette", "uvicorn": "uvicorn"},
}
LITTLE_SPACE = 2**30


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("--runs", type=Path, default=Path(os.environ.get("PALORA_RUNS") or "runs"))
    parser.add_argument("--data", type=Path, default=data_folder())


def run(args: argparse.Namespace) -> int:
    """Print a line per finding; 1 if one of them is broken."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        program,
        torch_build,
        processor,
        speed,
        gpus,
        packages,
        registered,
        shipped_models,
        lambda: writable("runs", args.runs),
        lambda: writable("data", args.data),
    )
    broken = False
    for check in checks:
        for finding in check():
            print(f"{finding.mark:<8} {finding.text}", flush=True)
            broken = broken or finding.mark == "broken"
    return int(broken)


def program() -> Iterator[Finding]:
    """This package and Python."""
    where = "no dashboard beside it" if home() is None else f"dashboard in {home()}"
    folder = Path(palora_core.__file__).parent
    yield Finding("ok", f"palora-core {palora_core.__version__} in {folder}, {where}")
    python = f"Python {platform.python_version()} on {platform.system()} ({platform.machine()})"
    too_old = sys.version_info < (3, 10)
    yield Finding("broken" if too_old else "ok", python + ("; Python 3.10 or newer is needed" if too_old else ""))


def packages() -> Iterator[Finding]:
    """The extras."""
    for extra, names in EXTRAS.items():
        absent = [distribution for distribution, module in names.items() if find_spec(module) is None]
        if absent:
            yield Finding("missing", f'extra {extra}: no {", ".join(absent)}; pip install "palora-core[{extra}]"')
        else:
            yield Finding("ok", f"extra {extra}: " + ", ".join(f"{name} {_version(name)}" for name in names))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(unknown version)"


def registered() -> Iterator[Finding]:
    """What can be trained, what an absent library keeps away, and plugins."""
    from palora_core.registries import REGISTRIES

    yield Finding("ok", ", ".join(f"{len(registry)} {kind}s" for kind, registry in REGISTRIES.items()))
    for registry in REGISTRIES.values():
        for module, reason in registry.unavailable.items():
            yield Finding("missing", f"{module}: {reason}")
    if plugins.loaded():
        yield Finding("ok", f"plugins {', '.join(plugins.loaded())}")
    for problem in plugins.problems():
        yield Finding("broken", problem)


def shipped_models() -> Iterator[Finding]:
    """The models that come with the program, each with its hash."""
    from palora_core.checkpoint import CARD, WEIGHTS, read_card
    from palora_core.errors import UserError
    from palora_core.storage.writing import sha256

    root = Path(os.environ.get("PALORA_MODELS") or (home() or Path()) / "trained_models")
    sound = []
    for folder in sorted(path.parent for path in root.glob(f"*/{CARD}")):
        try:
            whole = (folder / WEIGHTS).is_file() and sha256(folder / WEIGHTS) == read_card(folder)["weights_sha256"]
        except UserError as error:
            yield Finding("broken", str(error))
            continue
        if whole:
            sound.append(folder.name)
        else:
            yield Finding("broken", f"the weights of {folder} are not those of its card; copy the folder again")
    if sound:
        yield Finding("ok", f"models in {root}: {', '.join(sound)}")
    else:
        yield Finding("missing", f"no models in {root}; train one, or set PALORA_MODELS to a folder of models")


def writable(what: str, folder: Path) -> Iterator[Finding]:
    """Whether a folder, or the nearest one above it, can be written, and how much space there is."""
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        yield Finding("broken", f"{what}: {folder.absolute()} cannot be written; choose another folder")
        return
    free = shutil.disk_usage(above).free
    text = f"{what}: {folder.absolute()} can be written, {free / 2**30:,.1f} GiB are free"
    yield Finding("ok" if free > LITTLE_SPACE else "broken", text + ("" if free > LITTLE_SPACE else "; make room"))
