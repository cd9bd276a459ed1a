"""Engines, which make one training step's gradients: M preferences one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from palora_core import distributed
from palora_core.balancing.base import Balancer, Step
from palora_core.batches import Batch, Caller
from palora_core.conditioning.base import ParetoModel, Pass
from palora_core.errors import UserError
from palora_core.machine import autocast
from palora_core.objectives import Objective, combine
from palora_core.sources import Portion

Portions = Sequence[Portion]
HeldOut = Callable[[], Portions]


@dataclass(frozen=True)
class Engine:
    """Turns a batch and M preferences into gradients; what stays the same from step to step is given once.

    Attributes:
        model: the conditioned network.
        objectives: T objectives in the order of λ.
        balancer: owns each pass's backward.
        dtype: precision of the forward passes; losses are float32.
        caller: how inputs become arguments of the network's forward.
    """

    model: ParetoModel
    objectives: Sequence[Objective]
    balancer: Balancer
    dtype: torch.dtype = torch.float32
    caller: Caller = field(default_factory=Caller)

    def __call__(
        self,
        portions: Portions,
        preferences: Tensor,
        held_out: HeldOut | None = None,
        lr: float = 0.0,
        scale: Tensor | None = None,
    ) -> tuple[Tensor, Step]:
        """Accumulate the gradients of Σ_m λ_mᵀL(λ_m) (or whatever the balancer makes of it) in ``.grad``.

        Args:
            portions: a batch from each source of data, on the model's device.
            preferences: [M, T].
            held_out: gives held-out batches, for balancers that learn from one.
            lr: the current learning rate, for balancers that unroll a step.
            scale: what the gradients of the losses are multiplied by (fp16), for balancers that weigh losses only.

        Returns:
            (losses [M, T] without graph, the last pass's step).
        """
        raise NotImplementedError

    def outputs(self, forward: Callable[..., Any], portions: Portions) -> list[Any]:
        """What ``forward`` gives for the inputs of each portion."""
        with autocast(self.device, self.dtype):
            return [self.caller(forward, portion.batch[0]) for portion in portions]

    @torch.no_grad()
    def losses_at(self, portions: Portions, preference: Tensor) -> Tensor:
        """The losses [T] of the model as it is now, at one λ [T], without graph."""
        outputs = self.outputs(partial(self.model, preference=preference), portions)
        return torch.stack(objective_losses(self.objectives, outputs, portions))

    @cached_property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device


class Sequential(Engine):
    """The M preferences one after another, at the memory of one."""

    def __call__(
        self,
        portions: Portions,
        preferences: Tensor,
        held_out: HeldOut | None = None,
        lr: float = 0.0,
        scale: Tensor | None = None,
    ) -> tuple[Tensor, Step]:
        """As :meth:`Engine.__call__`, for every conditioning and every balancer."""
        model, dtype = self.model, self.dtype
        rows: list[Tensor] = []
        names = [one.name for one in self.objectives]
        self.balancer.begin_step(preferences, lambda at: self.losses_at(portions, at))
        rounded = dtype if self.balancer.scalar and dtype != torch.float32 else None
        with model.accumulate(rounded, average=False) as at:  # whoever runs the loop averages, statistics included
            for preference in preferences:
                one = at(preference)
                outputs = self.outputs(one.forward, portions)
                losses = scaled(objective_losses(self.objectives, outputs, portions), scale)
                probe = self._held_out_losses(one, held_out) if held_out else None
                seen = outputs[0] if len(outputs) == 1 else outputs
                step = Step(losses, one, model, seen, probe, lr, names)
                rows.append(torch.stack([loss.detach() for loss in losses]))
                self.balancer.backward(step)
        extra = model.regulariser()
        if extra is not None:
            scaled([extra], scale)[0].backward()
        return torch.stack(rows), step

    def _held_out_losses(self, one: Pass, held_out: HeldOut) -> Callable[[], Sequence[Tensor]]:
        """The pass's losses on held-out batches, on its own leaves: a balancer may have moved them."""

        def losses() -> Sequence[Tensor]:
            portions = held_out()
            return objective_losses(self.objectives, self.outputs(one.forward, portions), portions, joined=False)

        return losses


def objective_losses(
    objectives: Sequence[Objective], outputs: Sequence[Any], portions: Portions, joined: bool = True
) -> list[Tensor]:
    """The T losses, each with a graph of its own; on several ranks those of the global batch where ``joined``.

    Args:
        objectives: in the order of λ.
        outputs: the network's, for each portion.
        portions: the batches they belong to; an objective is measured on those that feed it.
        joined: whether ranks hold parts of one batch.
    """
    fed = [
        [(found, portion.batch) for found, portion in zip(outputs, portions) if t in portion.objectives]
        for t in range(len(objectives))
    ]
    if not joined or distributed.world_size() == 1:
        losses = [combine(one, parts) for one, parts in zip(objectives, fed)]
    else:
        losses = distributed.join_losses(*zip(*(_sum_terms(one, parts) for one, parts in zip(objectives, fed))))
    constant = [one.name for one, loss in zip(objectives, losses) if not loss.requires_grad]
    if constant and torch.is_grad_enabled():
        raise UserError(
            f"The objective {constant[0]!r} does not depend on the network (its value has no gradient); compute it "
            "from the outputs, without detach() or argmax()."
        )
    return losses


class _Scaled(torch.autograd.Function):
    """A loss as it is, whose gradient is multiplied by a number on the way back."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return gradients[0] * scale, None


def scaled(losses: list[Tensor], scale: Tensor | None) -> list[Tensor]:
    """The same losses; everything behind them gets ``scale`` times its gradient, so that fp16 has numbers for it."""
    return losses if scale is None else [_Scaled.apply(loss, scale) for loss in losses]


def _sum_terms(objective: Objective, parts: Sequence[tuple[Any, Batch]]) -> tuple[Tensor, Tensor]:
    terms = [objective.terms(*part) for part in parts]
    return torch.stack([total for total, _ in terms]).sum(), torch.stack([number for _, number in terms]).sum()
