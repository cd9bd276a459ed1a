"""Engines, which make one training step's gradients: M preferences one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from palora_core import batches
from palora_core.balancing.base import Balancer, Step
from palora_core.batches import Caller
from palora_core.conditioning.base import ParetoModel, Pass
from palora_core.machine import autocast
from palora_core.objectives import Objective
from palora_core.training.losses import Portions, objective_losses, scaled, weighed

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
    _taken: dict[int, str] = field(default_factory=dict, init=False)  # portion → shapes of its first inputs

    def __call__(
        self,
        portions: Portions,
        preferences: Tensor,
        held_out: HeldOut | None = None,
        lr: float = 0.0,
        scale: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Step]:
        """Accumulate the gradients of Σ_m λ_mᵀL(λ_m) (or whatever the balancer makes of it) in ``.grad``.

        Args:
            portions: a batch from each source of data, on the model's device.
            preferences: [M, T].
            held_out: gives held-out batches, for balancers that learn from one.
            lr: the current learning rate, for balancers that unroll a step.
            scale: what the gradients of the losses are multiplied by (fp16), for balancers that weigh losses only.
            weights: what the batch weighs per objective [T] among those of its step; alike if None.

        Returns:
            (losses [M, T] without graph, NaN where λ_t = 0 and nobody looks; the last pass's step).
        """
        raise NotImplementedError

    def outputs(self, forward: Callable[..., Any], portions: Portions) -> list[Any]:
        """What ``forward`` gives for the inputs of each portion."""
        found = []
        for number, (inputs, _) in enumerate(portion.batch for portion in portions):
            with autocast(self.device, self.dtype), batches.network_failures(inputs, self._taken.get(number, "")):
                found.append(self.caller(forward, inputs))
            if number not in self._taken:
                self._taken[number] = batches.describe(inputs)
        return found

    @torch.no_grad()
    def losses_at(self, portions: Portions, preference: Tensor, weights: Tensor | None = None) -> Tensor:
        """The losses [T] of the model as it is now, at one λ [T], without graph."""
        outputs = self.outputs(partial(self.model, preference=preference), portions)
        return torch.stack(objective_losses(self.objectives, outputs, portions, weights=weights))

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
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Step]:
        """As :meth:`Engine.__call__`, for every conditioning and every balancer."""
        model, dtype = self.model, self.dtype
        rows: list[Tensor] = []
        names = [one.name for one in self.objectives]
        self.balancer.begin_step(preferences, lambda at: self.losses_at(portions, at, weights))
        rounded = dtype if self.balancer.scalar and dtype != torch.float32 else None
        with model.accumulate(
            rounded, False, len(preferences)
        ) as at:  # whoever runs the loop averages, statistics included
            for preference in preferences:
                one = at(preference)
                needed = weighed(portions, preference) if self.balancer.sparse else portions
                outputs = self.outputs(one.forward, needed)
                losses = scaled(objective_losses(self.objectives, outputs, needed, weights=weights), scale)
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
