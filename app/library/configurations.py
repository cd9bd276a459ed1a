"""How a model was made, as its card says it: by which two models are seeds of one configuration, or not comparable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from palora_core.benchmarks.base import Benchmark
from palora_core.checkpoint import NOT_BUILT, benchmark_of
from palora_core.config import method_from_dict, to_dict
from palora_core.errors import UserError
from palora_core.training.options import TrainingOptions

# What may differ between two seeds of one configuration.
BY_RUN = ("seed", "steps", "seconds", "finished", "device", "train_items", "samples", "evaluate_every", "order")


def settings(card: Mapping[str, Any]) -> dict[str, Any]:
    """All options as ``"method.conditioning.rank"`` → value, without what a seed may change.

    An option that the card is older than has the value that it stands for; options left empty are left out.
    """
    flat = dict(_flatten({"method": _method(card), "training": _training(card), "benchmark": _benchmark(card)}))
    own = {f"training.{name}" for name in BY_RUN}
    return {key: value for key, value in flat.items() if key not in own and value not in ("", None)}


def changed(benchmark: Benchmark) -> dict[str, Any]:
    """The options of a benchmark that make another network, other data or other losses than usual: name → value."""
    own = {one.name: getattr(benchmark, one.name) for one in fields(benchmark) if one.name not in benchmark.learning}
    usual = {one.name: _default(one) for one in fields(benchmark)}
    return {name: value for name, value in own.items() if value != usual[name]}


def _default(option: Field[Any]) -> Any:
    return option.default if option.default_factory is MISSING else option.default_factory()


def _method(card: Mapping[str, Any]) -> Mapping[str, Any]:
    told: Mapping[str, Any] = card.get("method") or {}
    try:
        return {"name": told["name"], **to_dict(method_from_dict(told))}
    except (UserError, *NOT_BUILT):  # of a program that had other options: as it is
        return told


def _training(card: Mapping[str, Any]) -> dict[str, Any]:
    return {**to_dict(TrainingOptions()), **(card.get("training") or {})}


def _benchmark(card: Mapping[str, Any]) -> Mapping[str, Any]:
    told: Mapping[str, Any] = card.get("benchmark") or {}
    try:
        return {"name": told["name"], "options": to_dict(benchmark_of(card))}
    except (UserError, *NOT_BUILT):
        return told


def _flatten(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
