"""What commands share: ``--set``, the options that most of them have, training in a child."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from palora_core.children import environment, python
from palora_core.errors import UserError, quoted
from palora_core.paths import data_folder

PARTS = ("conditioning", "balancer", "sampler")  # of a method; each is an option of its own


def add_common(parser: argparse.ArgumentParser) -> None:
    """``--data`` and ``--device``."""
    parser.add_argument("--data", type=Path, default=data_folder(), help="data root (default: ./data or $DATA_DIR)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def add_settings(parser: argparse.ArgumentParser, help: str = "any option, e.g. rank=8") -> None:
    """``--epochs`` and ``--set``."""
    parser.add_argument("--epochs", type=int, help="default: the benchmark's recipe")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=help)


def settings(pairs: Iterable[str]) -> dict[str, str]:
    """``["rank=8", "seed=1"]`` as a dict."""
    result = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set takes name=value, found {quoted(pair)}.")
        result[key.strip()] = value.strip()
    return result


def target(path: Path) -> Path:
    """A file to be written after long work, checked before it."""
    path = path.absolute()
    above = next(folder for folder in path.parents if folder.exists())
    if path.is_dir() or not above.is_dir():
        raise UserError(
            f"{path} cannot be written, since {path if path.is_dir() else above} is "
            f"{'a folder' if path.is_dir() else 'a file'}; give --out another name."
        )
    if not os.access(path if path.exists() else above, os.W_OK):
        raise UserError(f"{path} cannot be written, since you may not write there; give --out another place.")
    return path


def palora(*words: str) -> list[str]:
    """The command line of a child process that carries out one of our commands."""
    return python("-m", "palora_core", *words)


def training_words(
    args: argparse.Namespace, folder: Path, method: str, seed: int, varied: Mapping[str, str]
) -> list[str]:
    """The arguments of ``palora train`` for one run of many, or for going on with it.

    Args:
        args: has ``benchmark``, ``data``, ``device``, ``epochs`` and ``set``, the same for all.
        folder: of this run.
        method: registry name.
        seed: of this run.
        varied: its parts and settings.
    """
    words = ["train", "--out", str(folder), "--data", str(args.data), "--device", args.device]
    if (folder / "config.json").exists():
        return [*words, "--resume"]
    words += ["--benchmark", args.benchmark, "--method", method, "--seed", str(seed)]
    words += ["--epochs", str(args.epochs)] if args.epochs else []
    words += [f"--{name}={value}" for name, value in varied.items() if name in PARTS]
    pairs = [*args.set, *(f"{name}={value}" for name, value in varied.items() if name not in PARTS)]
    return words + [word for pair in pairs for word in ("--set", pair)]


def start_training(words: list[str], folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """A process for ``words`` whose output goes into the run's ``log.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            palora(*words),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment(**variables),
        )
