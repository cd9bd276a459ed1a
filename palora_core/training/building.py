"""What is trained: a problem, and the model that its network becomes with the method's conditioning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from palora_core.batches import Caller
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError, quoted
from palora_core.machine import channels_last_
from palora_core.methods.base import Method
from palora_core.paths import data_folder
from palora_core.problem import Problem
from palora_core.training.options import TrainingOptions
from palora_core.training.start import load_start


class Maker(Protocol):
    """What makes a problem of data below a folder: a benchmark."""

    def problem(self, data: Path, progress: Callable[[str, int, int], None] | None = None) -> Problem:
        """The problem."""


def problem_of(
    given: Problem | Maker, data: Path | str | None, progress: Callable[[str, int, int], None] | None
) -> Problem:
    """A problem as it is, or the one that a benchmark makes of the data root.

    Raises:
        UserError: a data root for a problem, which has its data.
    """
    if not isinstance(given, Problem):
        return given.problem(Path(data or data_folder()), progress)
    if data is not None:
        raise UserError(f"A problem has its data; data={quoted(str(data))} goes with a benchmark.")
    return given


@dataclass(frozen=True)
class Built:
    """A model before its first step.

    Attributes:
        model: the conditioned network.
        caller: how inputs become arguments of the network's forward.
        base_parameters: of the network before conditioning.
        origin: what came from ``options.start_from``, as cards have it.
    """

    model: ParetoModel
    caller: Caller
    base_parameters: int
    origin: dict[str, Any] | None


def build_model(problem: Problem, method: Method, options: TrainingOptions, device: torch.device, saved: bool) -> Built:
    """Make the model anew, from the seed.

    Args:
        problem: owns the network.
        method: owns the conditioning.
        options: ``seed``, ``start_from``, ``compile``.
        device: where it goes.
        saved: whether a saved state is going to replace the weights, so that they need not be on this machine.
    """
    torch.manual_seed(options.seed)
    kept = bool(getattr(method.conditioning, "adapters_only", False))  # then the base is in no state
    network = problem.build(pretrained=not options.start_from and (kept or not saved))
    origin = None
    if options.start_from and not saved:
        origin = load_start(network, Path(options.start_from), options.start_partly).to_json()
    caller, size = Caller(network, problem.passing), sum(p.numel() for p in network.parameters())
    model = method.conditioning.condition(network, len(problem.objectives)).to(device)
    channels_last_(model)
    if options.compile:
        model.network.compile()
    return Built(model, caller, size, origin)
