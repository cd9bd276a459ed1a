"""What runs are called: by a person, else by method, benchmark and the settings that differ from their defaults."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from app.jobs.orders import as_text
from palora_core.benchmarks.base import benchmarks
from palora_core.config import PARTS, to_dict
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.registry import Registry
from palora_core.training.setup import configure

Settings = tuple[tuple[str, str], ...]  # (dotted path, value as the command line takes it)

# What people read instead of an option's name in the code, wherever that is no word of theirs.
OPTION_NAMES = {
    "accumulate": "batches per step",
    "adapter_lr_scale": "learning rate of adapters ×",
    "batch_norm": "BatchNorm statistics",
    "clip_norm": "largest gradient norm",
    "conv_form": "form of convolutions",
    "ema": "moving average of weights",
    "eval_batch_size": "batch size in evaluation",
    "freeze_at": "freezing from τ",
    "lr": "learning rate",
    "lr_factor": "learning rate factor",
    "lr_milestones": "learning rate milestones",
    "lr_scale": "learning rate ×",
    "num_preferences": "preferences per step",
    "reinit": "members drawn anew",
    "warmup": "warm-up",
    "weights_lr": "learning rate of weights",
}
MOST_SHOWN = 4
MOST_IN_FOLDER = 3
MOST_OF_VALUE = 24


def asked_for(arguments: Sequence[str]) -> Settings:
    """The settings in a training script's arguments."""
    found = []
    for flag, value in pairwise(arguments):
        if flag == "--set" and "=" in value:
            path, _, text = value.partition("=")
            found.append((path.partition(".")[2] or path, text))
        elif flag.removeprefix("--") in PARTS or flag in ("--epochs", "--seed", "--precision"):
            found.append((flag.removeprefix("--"), value))
    return tuple(found)


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a run's ``config.json`` by dotted path; {} for what is no such configuration."""
    try:
        groups = config["benchmark"]["options"], config["method"], config["training"]
        return {path: value for group in groups for path, value in _flat(group) if path != "name"}
    except (KeyError, TypeError, AttributeError):
        return {}


def differing(config: Mapping[str, Any]) -> Settings:
    """The options of a configuration that are not the defaults of its method on its benchmark, and replaced parts."""
    own = settings_of(config)
    try:
        names = str(config["benchmark"]["name"]), str(config["method"]["name"])
        parts = [(part, str(own[f"{part}.name"])) for part in PARTS if f"{part}.name" in own]
        usual = dict(_defaults(*names, ()))
        replaced = tuple((part, name) for part, name in parts if usual.get(f"{part}.name") != name)
        usual = dict(_defaults(*names, replaced))
    except (UserError, KeyError, TypeError):
        return ()
    other = tuple(
        (path, as_text(value))
        for path, value in own.items()
        if not path.endswith(".name") and path != "start_from" and usual.get(path, value) != value
    )
    return replaced + other


def option_name(path: str) -> str:
    """What people call an option: ``"method.conditioning.conv_form"`` is the ``"form of convolutions"``."""
    name = path.rpartition(".")[2]
    return OPTION_NAMES.get(name, name.replace("_", " "))


def option_told(path: str, value: str) -> str:
    """An option with its value: ``"rank 2"``, ``"without members drawn anew"``."""
    switched = {"true": "with", "false": "without"}.get(value.lower())
    name = option_name(path)
    return f"{switched} {name}" if switched else f"{name} {value[:MOST_OF_VALUE]}"


def described(settings: Settings) -> str:
    """``"rank 2, epochs 3"``."""
    told = [option_told(path, value) for path, value in settings]
    return ", ".join(told[:MOST_SHOWN]) + (", …" if len(told) > MOST_SHOWN else "")


def folder_stem(stem: str, settings: Mapping[str, Any]) -> str:
    """How the folder of a run is called: ``"multimnist-palora"`` and what differs, ``"-rank2-epochs3"``."""
    for path, value in list(settings.items())[:MOST_IN_FOLDER]:
        name = re.sub(r"[^A-Za-z0-9]", "", path.rpartition(".")[2])
        stem += f"-{name}{re.sub(r'[^A-Za-z0-9.+]', '', as_text(value))[:MOST_OF_VALUE]}"
    return stem[:90]


def title(method: str, benchmark: str, settings: Settings, expands: str = "") -> str:
    """What a run without a name of its own is called."""
    whole = f"Expansion of {expands}" if expands else f"{_known(methods, method)} on {_known(benchmarks, benchmark)}"
    return f"{whole} · {described(settings)}" if settings else whole


def told_apart(jobs: Sequence[Any]) -> list[Any]:
    """The jobs, newest first; those of one title are numbered in the order in which they were made."""
    left = Counter(job.title for job in jobs)
    several = {name for name, count in left.items() if count > 1}
    result = []
    for job in jobs:
        result.append(replace(job, title=f"{job.title} ({left[job.title]})") if job.title in several else job)
        left[job.title] -= 1
    return result


def _known(registry: Registry, name: str) -> str:
    return (getattr(registry.get(name), "title", "") or name) if name in registry else name or "?"


@lru_cache(maxsize=256)
def _defaults(benchmark: str, method: str, parts: tuple[tuple[str, str], ...]) -> Settings:
    bench, chosen, training = configure(benchmark, method, {}, dict(parts))
    return tuple(pair for group in (to_dict(bench), to_dict(chosen), to_dict(training)) for pair in _flat(group))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
