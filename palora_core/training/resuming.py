"""From a run folder back to its trainer; a resume goes on with what the run was begun with, or says what differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palora_core.benchmarks.base import Benchmark, Progress
from palora_core.checkpoint import benchmark_of
from palora_core.config import PARTS, from_dict, method_from_dict, options, override, require, to_dict
from palora_core.errors import UserError, quoted
from palora_core.methods.base import Method, methods
from palora_core.problem import Problem
from palora_core.storage.cards import OWN
from palora_core.storage.runs import Run
from palora_core.training.live import Live
from palora_core.training.options import TrainingOptions
from palora_core.training.setup import assign
from palora_core.training.trainer import Trainer

Configured = tuple[Benchmark | None, Method, TrainingOptions]


def refuse_changes(
    run: Run,
    benchmark: str | Benchmark,
    method: str | Method,
    settings: Mapping[str, Any],
    parts: Mapping[str, Any],
) -> None:
    """Check that a run to be resumed was begun with what is asked for now; empty names and mappings ask for nothing.

    Raises:
        UserError: something differs, with both values.
    """
    config = run.config()
    groups = dict(zip(("benchmark", "method", "training"), configured(run)))
    settings = {**_as_settings("benchmark", benchmark), **_as_settings("method", method), **settings}
    names = {"benchmark": _name(benchmark), "method": _name(method), **{part: _name(parts[part]) for part in parts}}
    begun = {"benchmark": config["benchmark"]["name"], "method": config["method"]["name"]}
    begun |= {part: config["method"][part]["name"] for part in parts if part in PARTS}
    for name, value in names.items():
        if value and begun.get(name) != value:
            raise _different(run, name, begun.get(name), value)
    for part, value in parts.items():
        settings |= {} if isinstance(value, str) else {f"method.{part}.{k}": v for k, v in to_dict(value).items()}
    known = {name: group for name, group in groups.items() if group is not None}
    for group, values in assign(settings, known).items():
        for name, value in values.items():
            changed = {option.path: option.value for option in options(override(known[group], {name: value}))}
            old = {option.path: option.value for option in options(known[group])}
            for path, new in changed.items():
                if new != old[path]:
                    raise _different(run, path, old[path], new)


def _name(given: Any) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, Method):
        return methods.name_of(given)
    for registry in PARTS.values():
        if type(given) in registry().values():
            return registry.name_of(given)
    from palora_core.benchmarks.base import benchmarks

    return benchmarks.name_of(given)


def _as_settings(group: str, given: Any) -> dict[str, Any]:
    """The options of a benchmark or a method that was given as an object."""
    return {} if isinstance(given, str) else {f"{group}.{option.path}": option.value for option in options(given)}


def refuse_other_objects(run: Run, problem: Problem, live: Live) -> None:
    """Check that the objects of a program are, by name, those that it began the run with.

    Raises:
        UserError: one differs, is missing, or was not there.
    """
    begun, now = run.config().get("live") or {}, live.describe(problem)
    for part in ("problem", "optimizer", "schedule"):
        if begun.get(part) != now.get(part):
            raise _different(run, part, begun.get(part, "of a name"), now.get(part, "of a name"))


def _different(run: Run, name: str, old: Any, new: Any) -> UserError:
    return UserError(
        f"The run in {run.folder} was begun with {name} {old}, not {new}; leave that out to go on with it, or "
        "start another run in another folder."
    )


def resume_trainer(
    run: Run,
    data: Path,
    device: str = "auto",
    progress: Progress | None = None,
    problem: Problem | None = None,
    live: Live | None = None,
) -> Trainer:
    """The trainer of an existing run folder, at its beginning; ``resume()`` moves it to the saved state.

    Args:
        run: the folder.
        data: the data root, for a benchmark.
        device: where to train.
        progress: for a progress bar.
        problem: that of the program; by default the benchmark's that the configuration names.
        live: the program's objects.

    Raises:
        UserError: the run needs objects of the program that began it, and they are not given.
    """
    bench, method, training = configured(run)
    live = live or Live()
    given = {"problem": problem, "optimizer": live.optimizer, "schedule": live.schedule}
    begun = run.config().get("live")
    needs = dict(begun) if isinstance(begun, Mapping) else {}
    missing = [f"{part} {quoted(name)}" for part, name in needs.items() if given.get(part) is None]
    if missing:
        raise UserError(
            f"The run in {run.folder} was begun by pc.fit with objects of its own program ({', '.join(missing)}); go "
            "on with it there: pc.fit(…, out=…, resume=True)."
        )
    if problem is None:
        assert bench is not None  # a run without a benchmark needs the program's problem
        problem = bench.problem(data, progress)
    return Trainer(run, problem, method, training, device=device, progress=progress, live=live)


def configured(run: Run) -> Configured:
    """What a run was begun with; no benchmark where the problem is the program's own.

    Raises:
        UserError: the configuration is damaged, or needs something that is not registered.
    """
    config = run.config()
    what = f"The run in {run.folder}"
    own = isinstance(config.get("live"), Mapping) and config.get("benchmark", {}).get("name") == OWN
    if own:
        require(config, what)
    bench = None if own else benchmark_of(config, what)
    try:
        return bench, method_from_dict(config["method"]), from_dict(TrainingOptions, config["training"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{run.folder}/config.json is not a run configuration ({error}); start a new run.") from None
