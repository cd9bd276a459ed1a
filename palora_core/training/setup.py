"""From names and settings (a command line, a form, a call) to what a trainer is made of."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from palora_core.benchmarks.base import Benchmark, benchmarks
from palora_core.checkpoint import read_card
from palora_core.config import PARTS, method_from, options, override
from palora_core.errors import UserError
from palora_core.machine import without_memory
from palora_core.methods.base import Method
from palora_core.problem import Problem
from palora_core.training.options import TrainingOptions
from palora_core.training.start import look_at_start

EXPANSION_EPOCHS = 4  # the paper's for MultiMNIST; it has 5 for CityScapes


def configure(
    benchmark: str | Benchmark,
    method: str | Method,
    settings: Mapping[str, Any],
    parts: Mapping[str, Any] | None = None,
) -> tuple[Benchmark, Method, TrainingOptions]:
    """Benchmark, method and training options with ``settings`` applied where their names belong.

    A setting is looked up in the training options, the benchmark's and the method's; ``benchmark.``, ``method.`` or
    ``training.`` in front of it says which is meant.

    Args:
        benchmark: registry name, or a benchmark with its options.
        method: registry name, or a method with its options.
        settings: option → value, as text or typed.
        parts: of the method: names, or objects, of the conditioning, balancer or sampler to put in.

    Raises:
        UserError: an unknown name or a value of another type.
    """
    bench: Benchmark = benchmarks.get(benchmark)() if isinstance(benchmark, str) else benchmark
    recipe = bench.recipe.methods.get(method, {}) if isinstance(method, str) else {}
    chosen = _with_recipe(method, recipe, parts or {})
    split = assign(settings, {"benchmark": bench, "method": chosen, "training": TrainingOptions.of(bench)})
    bench = override(bench, split["benchmark"])
    configured = bench, override(chosen, split["method"]), override(TrainingOptions.of(bench), split["training"])
    check_fit(len(bench.tasks), configured[1], configured[2])
    configured[1].conditioning.check(lambda: shape_of(bench))
    return configured


def configure_problem(
    problem: Problem, method: str | Method, settings: Mapping[str, Any], parts: Mapping[str, Any] | None = None
) -> tuple[Method, TrainingOptions]:
    """The same for a problem of somebody's own, which has no recipe.

    Raises:
        UserError: an unknown name or a value of another type.
    """
    chosen = _with_recipe(method, {}, parts or {})
    split = assign(settings, {"method": chosen, "training": TrainingOptions()})
    configured = override(chosen, split["method"]), override(TrainingOptions(), split["training"])
    check_fit(len(problem.objectives), *configured)
    return configured


def check_fit(tasks: int, method: Method, training: TrainingOptions) -> None:
    """Refuse options that are right by themselves but do not fit each other or T tasks."""
    method.sampler.sample(tasks, 1, 0.0, torch.Generator())
    training.check_together()


def shape_of(bench: Benchmark) -> nn.Module:
    """The benchmark's network on the meta device: names and shapes, no weights."""
    with without_memory():
        return bench.problem().build(pretrained=False)


def configure_expansion(
    benchmark: str, source: Path, settings: Mapping[str, Any], parts: Mapping[str, str] | None = None
) -> tuple[Benchmark, Method, TrainingOptions]:
    """Pareto expansion (§5.3 of the paper): PaLoRA with trained adapters only, starting from a plain checkpoint.

    Unless ``settings`` say otherwise, there are four epochs at the recipe's last learning rate, and the options of the
    network are those of the checkpoint's card where it has one. Heads that the checkpoint does not have under their
    names (a backbone of torchvision or timm has none) begin as they are drawn and are trained too.

    Raises:
        UserError: unknown names, or a checkpoint of another network.
    """
    recipe = benchmarks.get(benchmark)().recipe
    fixed = {
        "epochs": EXPANSION_EPOCHS,
        "adapters_only": True,
        "evaluate_every": 1,
        "start_from": str(source),
        "batch_norm": "running",
    }
    fixed |= {"lr": recipe.lr * recipe.lr_factor ** len(recipe.lr_milestones), "lr_milestones": ()}
    if source.is_dir():
        card = read_card(source)
        if card["benchmark"]["name"] == benchmark:
            fixed |= {f"benchmark.{key}": value for key, value in card["benchmark"]["options"].items()}
    bench, _, training = configured = configure(benchmark, "palora", {**fixed, **settings}, parts)
    missing = look_at_start(shape_of(bench), source, training.start_partly).new_parts
    if not missing:
        return configured
    return configure(benchmark, "palora", {**fixed, "unfrozen": ",".join(missing), **settings}, parts)


def _with_recipe(method: str | Method, recipe: Mapping[str, Any], parts: Mapping[str, Any]) -> Method:
    """A method with a benchmark's parts and options for it; ``parts`` that were asked for come first."""
    names = {part: entry for part, entry in parts.items() if isinstance(entry, str)}
    own = {part: entry for part, entry in recipe.items() if part in PARTS}
    found = method_from(method, {**own, **names}) if isinstance(method, str) else _with_parts(method, names)
    found = dataclasses.replace(found, **{part: entry for part, entry in parts.items() if part not in names})
    known = {option.name for option in options(found)} | {option.path for option in options(found)}
    # A part that was asked for may lack an option that the benchmark has a value for.
    return override(found, {key: value for key, value in recipe.items() if key in known and key not in own})


def _with_parts(method: Method, names: Mapping[str, str]) -> Method:
    return dataclasses.replace(method, **{part: PARTS[part].get(entry)() for part, entry in names.items()})


def assign(settings: Mapping[str, Any], configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Group → its settings, by the group in front of a setting's name or the only one that has such an option."""
    result: dict[str, dict[str, Any]] = {group: {} for group in configs}
    known = {group: {o.path for o in options(c)} | {o.name for o in options(c)} for group, c in configs.items()}
    for key, value in settings.items():
        group, _, rest = key.partition(".")
        if group in configs and rest:
            result[group][rest] = value
            continue
        owners = [group for group, names in known.items() if key in names]
        if len(owners) != 1:
            every = sorted({name for names in known.values() for name in names})
            if owners:
                raise UserError(f"The option {key!r} is in {' and '.join(owners)}; write {owners[0]}.{key}.")
            close = difflib.get_close_matches(key, every, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise UserError(f"The option {key!r} is unknown{hint} Options here: {', '.join(every)}.")
        result[owners[0]][key] = value
    return result
