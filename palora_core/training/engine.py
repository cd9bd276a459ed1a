"""Engines, which make one training step's gradients: M preferences one after another; and the choice between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from palora_core import distributed
from palora_core.balancing.base import Balancer, Step
from palora_core.conditioning.base import ParetoModel, Pass
from palora_core.data import Batch
from palora_core.machine import autocast
from palora_core.objectives import Objective


@dataclass(frozen=True)
class Engine:
    """Turns a batch and M preferences into gradients; what stays the same from step to step is given once.

    Attributes:
        model: the conditioned network.
        tasks: T tasks in the order of λ.
        balancer: owns each pass's backward.
        dtype: precision of the forward passes; losses are float32.
    """

    model: ParetoModel
    tasks: Sequence[Objective]
    balancer: Balancer
    dtype: torch.dtype = torch.float32

    def __call__(
        self, batch: Batch, preferences: Tensor, held_out: Callable[[], Batch] | None = None, lr: float = 0.0
    ) -> tuple[Tensor, Step]:
        """Accumulate the gradients of Σ_m λ_mᵀL(λ_m) (or whatever the balancer makes of it) in ``.grad``.

        Args:
            batch: inputs and targets, on the model's device.
            preferences: [M, T].
            held_out: gives a held-out batch, for balancers that learn from one.
            lr: the current learning rate, for balancers that unroll a step.

        Returns:
            (losses [M, T] without graph, the last pass's step).
        """
        raise NotImplementedError


class Sequential(Engine):
    """The M preferences one after another, at the memory of one."""

    def __call__(
        self, batch: Batch, preferences: Tensor, held_out: Callable[[], Batch] | None = None, lr: float = 0.0
    ) -> tuple[Tensor, Step]:
        """As :meth:`Engine.__call__`, for every conditioning and every balancer."""
        x = batch[0]
        model, tasks, dtype = self.model, self.tasks, self.dtype
        rows: list[Tensor] = []
        names = [task.name for task in tasks]
        self.balancer.begin_step(preferences, lambda at: losses_without_graph(model, batch, tasks, at, dtype))
        rounded = dtype if self.balancer.scalar and dtype != torch.float32 else None
        with model.accumulate(rounded, average=False) as at:  # whoever runs the loop averages, statistics included
            for preference in preferences:
                one = at(preference)
                with autocast(x.device, dtype):
                    outputs = one.forward(x)
                losses = objective_losses(tasks, outputs, batch)
                probe = _held_out_losses(one, tasks, dtype, held_out) if held_out else None
                step = Step(losses, one, model, outputs, probe, lr, names)
                rows.append(torch.stack([loss.detach() for loss in losses]))
                self.balancer.backward(step)
        extra = model.regulariser()
        if extra is not None:
            extra.backward()
        return torch.stack(rows), step


def choose_engine(
    name: str,
    model: ParetoModel,
    tasks: Sequence[Objective],
    balancer: Balancer,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Engine, str]:
    """The engine ``name`` and, in words, why it is this one.

    ``"auto"`` stacks small networks on a GPU, where launches cost more than arithmetic, and nothing else. Whatever
    cannot be stacked runs sequentially; the words say why.
    """
    from palora_core.training import stacked

    one_by_one = Sequential(model, tasks, balancer, dtype)
    if name == "sequential":
        return one_by_one, "sequential: as asked for"
    obstacle = stacked.obstacle(model, balancer)
    if obstacle is not None:
        return one_by_one, f"sequential: the stacked engine is not for this run, since {obstacle}"
    at_once = stacked.Stacked(model, tasks, balancer, dtype)
    if name == "stacked":
        return at_once, "stacked: as asked for"
    if device.type != "cuda":
        return one_by_one, "sequential: faster than stacking on this device"
    count = sum(p.numel() for p in model.network.parameters())
    if count > stacked.SMALL:
        return one_by_one, f"sequential: {count:,} parameters fill a GPU with one preference"
    return at_once, "stacked: a small network on a GPU"


def objective_losses(tasks: Sequence[Objective], outputs: Any, batch: Batch) -> list[Tensor]:
    """The T losses, each with a graph of its own; on several ranks those of the global batch."""
    if distributed.world_size() == 1:
        return [task.checked(task.loss(outputs, batch)) for task in tasks]
    terms = [task.terms(outputs, batch) for task in tasks]
    return distributed.join_losses(*zip(*terms))


@torch.no_grad()
def losses_without_graph(
    model: ParetoModel, batch: Batch, tasks: Sequence[Objective], preference: Tensor, dtype: torch.dtype
) -> Tensor:
    """The losses [T] of ``model`` as it is now, at one λ."""
    x = batch[0]
    with autocast(x.device, dtype):
        outputs = model(x, preference)
    return torch.stack(objective_losses(tasks, outputs, batch))


def _held_out_losses(
    one: Pass, tasks: Sequence[Objective], dtype: torch.dtype, held_out: Callable[[], Batch]
) -> Callable[[], Sequence[Tensor]]:
    """The pass's losses on a held-out batch, on its own leaves: a balancer may have moved them."""

    def losses() -> Sequence[Tensor]:
        batch = held_out()
        with autocast(batch[0].device, dtype):
            outputs = one.forward(batch[0])
        return [task.checked(task.loss(outputs, batch)) for task in tasks]

    return losses
