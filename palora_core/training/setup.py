"""From names and settings (a command line, a form) to a trainer, and from a run folder back to it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from palora_core.benchmarks.base import Benchmark, Progress, benchmarks
from palora_core.checkpoint import benchmark_of, read_card
from palora_core.config import PARTS, from_dict, method_from, method_from_dict, options, override
from palora_core.errors import UserError
from palora_core.methods.base import Method
from palora_core.runs import Run
from palora_core.training.options import TrainingOptions
from palora_core.training.start import look_at_start
from palora_core.training.trainer import Trainer

EXPANSION_EPOCHS = 4  # the paper's for MultiMNIST; it has 5 for CityScapes


def configure(
    benchmark: str, method: str, settings: Mapping[str, Any], parts: Mapping[str, str] | None = None
) -> tuple[Benchmark, Method, TrainingOptions]:
    """Benchmark, method and training options with ``settings`` applied where their names belong.

    A setting is looked up in the training options, the benchmark's and the method's; ``benchmark.``, ``method.`` or
    ``training.`` in front of it says which is meant.

    Raises:
        UserError: an unknown name or a value of another type.
    """
    bench: Benchmark = benchmarks.get(benchmark)()
    chosen = _with_recipe(method, bench.recipe.methods.get(method, {}), parts or {})
    split = _assign(settings, {"benchmark": bench, "method": chosen, "training": TrainingOptions.of(bench)})
    bench = override(bench, split["benchmark"])
    configured = bench, override(chosen, split["method"]), override(TrainingOptions.of(bench), split["training"])
    _check_fit(bench, configured[1])
    return configured


def _check_fit(bench: Benchmark, method: Method) -> None:
    """Refuse options that are right by themselves but do not fit the benchmark's tasks or network."""
    method.sampler.sample(len(bench.tasks), 1, 0.0, torch.Generator())
    method.conditioning.check(lambda: shape_of(bench))


def shape_of(bench: Benchmark) -> nn.Module:
    """The benchmark's network on the meta device: names and shapes, no weights."""
    with torch.device("meta"):
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


def _with_recipe(name: str, recipe: Mapping[str, Any], parts: Mapping[str, str]) -> Method:
    """The method ``name`` with a benchmark's parts and options for it; ``parts`` that were asked for come first."""
    own = {part: entry for part, entry in recipe.items() if part in PARTS}
    method = method_from(name, {**own, **parts})
    known = {option.name for option in options(method)} | {option.path for option in options(method)}
    # A part that was asked for may lack an option that the benchmark has a value for.
    return override(method, {key: value for key, value in recipe.items() if key in known and key not in own})


def _assign(settings: Mapping[str, Any], configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
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


def refuse_changes(
    run: Run, benchmark: str, method: str, settings: Mapping[str, Any], parts: Mapping[str, str]
) -> None:
    """Check that a run to be resumed was begun with what is asked for now; empty names and mappings ask for nothing.

    Raises:
        UserError: something differs, with both values.
    """
    config = run.config()
    bench, chosen, training = _parts_of(run, config)
    asked = {"benchmark": benchmark, "method": method, **parts}
    begun = {"benchmark": config["benchmark"]["name"], "method": config["method"]["name"]}
    begun |= {part: config["method"][part]["name"] for part in parts if part in PARTS}
    different = [(name, begun[name], value) for name, value in asked.items() if value and begun.get(name) != value]
    if not different:
        groups = {"benchmark": bench, "method": chosen, "training": training}
        for group, values in _assign(settings, groups).items():
            for name, value in values.items():
                changed = {option.path: option.value for option in options(override(groups[group], {name: value}))}
                old = {option.path: option.value for option in options(groups[group])}
                different += [(path, old[path], new) for path, new in changed.items() if new != old[path]]
    if different:
        name, old, new = different[0]
        raise UserError(
            f"The run in {run.folder} was begun with {name} {old}, not {new}; leave that out to go on with it, or "
            "start another run in another folder."
        )


def resume_trainer(run: Run, data: Path, device: str = "auto", progress: Progress | None = None) -> Trainer:
    """The trainer of an existing run folder, at its beginning; ``resume()`` moves it to the saved state."""
    bench, method, training = _parts_of(run, run.config())
    return Trainer(run, bench.problem(data, progress), method, training, device, progress)


def _parts_of(run: Run, config: Mapping[str, Any]) -> tuple[Benchmark, Method, TrainingOptions]:
    bench = benchmark_of(config, f"The run in {run.folder}")
    try:
        return bench, method_from_dict(config["method"]), from_dict(TrainingOptions, config["training"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{run.folder}/config.json is not a run configuration ({error}); start a new run.") from None
