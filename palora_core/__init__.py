"""PaLoRA: train one network, then steer it along its Pareto front.

The public names; each is imported when it is first used, so that ``import palora_core`` costs nothing.
``methods()``, ``benchmarks()``, ``samplers()``, ``networks()``, ``tasks()`` and ``inputs()`` give what is registered,
name → class or factory.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "palorize": "conditioning.lowrank",
    "ParetoModel": "conditioning.base",
    "annealed_preferences": "samplers",
    "simplex_lattice": "simplex",
    "register": "registries",
    "load": "checkpoint",
    "save": "checkpoint",
    "Front": "evaluation.front",
    "Problem": "problem",
    "objective": "objectives",
    "Objective": "objectives",
    "evaluate": "evaluation.evaluate",
    "fit": "training.fit",
    "from_checkpoints": "merging.checkpoints",
    "from_loras": "merging.loras",
    "from_hub": "hub",
    "push_to_hub": "hub",
    "LiveNetwork": "serving",
    "UserError": "errors",
}
_CALLABLE = (
    "methods",
    "benchmarks",
    "samplers",
    "networks",
    "tasks",
    "inputs",
)  # modules that answer a call with their registry's entries

__all__ = [
    "Front",
    "LiveNetwork",
    "Objective",
    "ParetoModel",
    "Problem",
    "UserError",
    "annealed_preferences",
    "benchmarks",
    "evaluate",
    "fit",
    "from_checkpoints",
    "from_hub",
    "from_loras",
    "inputs",
    "load",
    "methods",
    "networks",
    "objective",
    "palorize",
    "push_to_hub",
    "register",
    "samplers",
    "save",
    "simplex_lattice",
    "tasks",
]

if TYPE_CHECKING:
    from palora_core import benchmarks, inputs, methods, networks, samplers, tasks
    from palora_core.checkpoint import load, save
    from palora_core.conditioning.base import ParetoModel
    from palora_core.conditioning.lowrank import palorize
    from palora_core.errors import UserError
    from palora_core.evaluation.evaluate import evaluate
    from palora_core.evaluation.front import Front
    from palora_core.hub import from_hub, push_to_hub
    from palora_core.merging.checkpoints import from_checkpoints
    from palora_core.merging.loras import from_loras
    from palora_core.objectives import Objective, objective
    from palora_core.problem import Problem
    from palora_core.registries import register
    from palora_core.samplers import annealed_preferences
    from palora_core.serving import LiveNetwork
    from palora_core.simplex import simplex_lattice
    from palora_core.training.fit import fit


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return importlib.import_module(f"palora_core.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'palora_core' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"palora_core.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
