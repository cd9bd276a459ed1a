"""One training step's gradients: M preferences one after another, memory of one; and the choice between engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core import distributed
from palora_core.balancing.base import Balancer, Step
from palora_core.conditioning.base import ParetoModel
from palora_core.data import Batch
from palora_core.machine import autocast
from palora_core.tasks import Task


def sequential(
    model: ParetoModel,
    batch: Batch,
    tasks: Sequence[Task],
    preferences: Tensor,
    balancer: Balancer,
    dtype: torch.dtype = torch.float32,
    held_out: Callable[[], Batch] | None = None,
    lr: float = 0.0,
) -> tuple[Tensor, Step]:
    """Accumulate the gradients of Σ_m λ_mᵀL(λ_m) (or whatever the balancer makes of it) in ``.grad``.

    Args:
        model: the conditioned network.
        batch: inputs and targets, on the model's device.
        tasks: T tasks in the order of λ.
        preferences: [M, T].
        balancer: owns each pass's backward.
        dtype: precision of the forward passes; losses are float32.
        held_out: gives a held-out batch, for balancers that learn from one.
        lr: the current learning rate, for balancers that unroll a step.

    Returns:
        (losses [M, T] without graph, the last pass's step).
    """
    x, targets = batch
    rows: list[Tensor] = []
    balancer.begin_step(preferences, lambda preference: losses_without_graph(model, batch, tasks, preference, dtype))
    with model.accumulate() as at:
        for preference in preferences:
            one = at(preference)
            with autocast(x.device, dtype):
                outputs = one.forward(x)
            losses = task_losses(tasks, outputs, targets)
            probe = _held_out_losses(model, tasks, preference, dtype, held_out) if held_out else None
            step = Step(losses, one, model, outputs, probe, lr)
            rows.append(torch.stack([loss.detach() for loss in losses]))
            balancer.backward(step)
    extra = model.regulariser()
    if extra is not None:
        extra.backward()
    return torch.stack(rows), step


Engine = Callable[..., tuple[Tensor, Step]]


def choose_engine(name: str, model: ParetoModel, balancer: Balancer, device: torch.device) -> tuple[Engine, str]:
    """The engine ``name`` and, in words, why it is this one.

    ``"auto"`` stacks small networks on a GPU, where launches cost more than arithmetic, and nothing else. Whatever
    cannot be stacked runs sequentially; the words say why.
    """
    if name == "sequential":
        return sequential, "sequential: as asked for"
    from palora_core import stacked

    obstacle = stacked.obstacle(model, balancer)
    if obstacle is not None:
        return sequential, f"sequential: the stacked engine is not for this run, since {obstacle}"
    if name == "stacked":
        return stacked.stacked, "stacked: as asked for"
    if device.type != "cuda":
        return sequential, "sequential: faster than stacking on this device"
    count = sum(p.numel() for p in model.network.parameters())
    if count > stacked.SMALL:
        return sequential, f"sequential: {count:,} parameters fill a GPU with one preference"
    return stacked.stacked, "stacked: a small network on a GPU"


def task_losses(tasks: Sequence[Task], outputs: Any, targets: Mapping[str, Tensor]) -> list[Tensor]:
    """The T losses, each with a graph of its own; on several ranks those of the global batch."""
    if distributed.world_size() == 1:
        return [task.loss(outputs[task.name], targets[task.name]) for task in tasks]
    terms = [task.terms(outputs[task.name], targets[task.name]) for task in tasks]
    return distributed.join_losses(*zip(*terms))


@torch.no_grad()
def losses_without_graph(
    model: ParetoModel, batch: Batch, tasks: Sequence[Task], preference: Tensor, dtype: torch.dtype
) -> Tensor:
    """The losses [T] of ``model`` as it is now, at one λ."""
    x, targets = batch
    with autocast(x.device, dtype):
        outputs = model(x, preference)
    return torch.stack(task_losses(tasks, outputs, targets))


def _held_out_losses(
    model: ParetoModel, tasks: Sequence[Task], preference: Tensor, dtype: torch.dtype, held_out: Callable[[], Batch]
) -> Callable[[], Sequence[Tensor]]:
    def losses() -> Sequence[Tensor]:
        x, targets = held_out()
        with autocast(x.device, dtype):
            outputs = model(x, preference)
        return [task.loss(outputs[task.name], targets[task.name]) for task in tasks]

    return losses
