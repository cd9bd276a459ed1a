"""What a run writes about itself: its configuration, and the model card beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palora_core import plugins
from palora_core.benchmarks.base import benchmarks
from palora_core.conditioning.base import ParetoModel
from palora_core.config import to_dict
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.machine import describe
from palora_core.methods.base import Method, methods
from palora_core.problem import Problem
from palora_core.storage.cards import CARD, OWN, read_card
from palora_core.training.live import Live
from palora_core.training.options import TrainingOptions


def run_config(problem: Problem, method: Method, options: TrainingOptions, live: Live | None = None) -> dict[str, Any]:
    """The configuration of a run, enough to build its trainer again; ``live`` names what only its program has."""
    alive = (live or Live()).describe(problem)
    own = [benchmarks.get(problem.name)] if problem.name in benchmarks else []
    named = [*plugins.loaded(), *plugins.homes(*own)]
    return {
        "format": 1,
        "benchmark": {"name": problem.name or OWN, "options": dict(problem.options)},
        "method": {"name": methods.name_of(method), **to_dict(method)},
        "training": to_dict(options),
        **({"live": alive} if alive else {}),
        **({"plugins": named} if named else {}),
    }


def model_card(
    problem: Problem,
    method: Method,
    options: TrainingOptions,
    live: Live,
    model: ParetoModel,
    base_parameters: int,
    progress: Mapping[str, Any],
    front: Front,
    start: Mapping[str, Any] | None = None,
    example: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The card: what, from what, how, on what machine, how good, under which licence, with what limits.

    Args:
        problem: what it was trained on.
        method: how.
        options: how long.
        live: with what of the program's own.
        model: the conditioned network.
        base_parameters: of the network before conditioning.
        progress: how far training came: ``steps``, ``seconds``, ``train_items``, ``finished``, ``order``.
        front: an evaluation of ``model``.
        start: what it started with, see :meth:`palora_core.training.start.Start.to_json`.
        example: the form of its inputs, see :func:`palora_core.storage.examples.described`.
    """
    config = run_config(problem, method, options, live)
    about = problem.about
    extra = sum(p.numel() for p in model.parameters()) - base_parameters
    return {
        **{key: config[key] for key in ("live", "plugins") if key in config},
        "name": "-".join(filter(None, (problem.name, config["method"]["name"]))),
        "title": f"{method.title} on {about.title or problem.name or 'own data'}",
        "benchmark": config["benchmark"],
        "method": config["method"],
        "network": problem.named_network(),
        "tasks": [{"name": one.name, "kind": one.kind} for one in problem.objectives],
        "parameters": {"base": base_parameters, "extra": extra, "overhead_percent": 100 * extra / base_parameters},
        "training": {
            **config["training"],
            "start_from": _origin(options.start_from),
            **progress,
        },
        **({"start": dict(start)} if start else {}),
        **({"example": dict(example)} if example else {}),
        "machine": describe(),
        "front": front.summary(),
        "data": about.summary,
        "citation": {"method": method.source, "benchmark": about.citation},
        "licence": about.licence,
        "limits": about.limits,
    }


def _origin(start_from: str) -> str:
    """What training started with, in words: cards travel, so no path of this machine is in them."""
    path = Path(start_from)
    try:
        card = read_card(path) if start_from and (path / CARD).is_file() else None
    except UserError:  # damaged since training began; its name is what is left
        card = None
    if card is None:
        return path.name
    training = card.get("training", {})
    return f"{card['title']}, {training.get('epochs', '?')} epochs, {training.get('steps', '?')} steps ({path.name})"
