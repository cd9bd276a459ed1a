"""Balancers turn the T losses of one forward pass into gradients. They own the backward pass.

An interface that only returns one scalar loss cannot express gradient surgery, so a balancer is given a
:class:`Step` and adds to ``.grad`` of the pass's leaves itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core import distributed
from palora_core.conditioning.base import ParetoModel, Pass
from palora_core.errors import UserError
from palora_core.registry import Registry

balancers: Registry = Registry("balancer", package="palora_core.balancing")


@dataclass
class Step:
    """What a balancer may look at: one forward pass at one λ.

    Attributes:
        losses: T scalar losses with their graphs, kept apart (a stacked and unbound vector ties the graphs together).
        forward_pass: the pass: λ, leaves, Gramian of what lies behind them.
        model: the conditioned network.
        outputs: the pass's predictions.
        held_out: losses [T] on a held-out batch, through the leaves of ``one`` (for meta-learning balancers).
        lr: the optimizer's current learning rate.
        names: the T tasks' names, for messages.
    """

    losses: Sequence[Tensor]
    forward_pass: Pass
    model: ParetoModel
    outputs: Any = None
    held_out: Callable[[], Sequence[Tensor]] | None = None
    lr: float = 0.0
    names: Sequence[str] = ()

    def values(self) -> Tensor:
        """The losses' values [T], without graph."""
        return torch.stack([loss.detach() for loss in self.losses])

    def values_from(self, least: float, method: str) -> Tensor:
        """:meth:`values`, for a method that is not defined for smaller ones than ``least``.

        Raises:
            UserError: naming the task and its loss.
        """
        values = self.values()
        self.check_from(least, method, values)
        return values

    def check_from(self, least: float, method: str, values: Tensor) -> None:
        """Refuse loss values [T] below ``least``, as :meth:`values_from` does."""
        for task, value in enumerate(values.tolist()):
            if value < least:
                name = repr(self.names[task]) if self.names else f"number {task + 1}"
                raise UserError(
                    f"{method} is defined for losses of at least {least:g}, and that of task {name} is {value:g}; add "
                    "a constant to this loss, or choose a method that looks at gradients only."
                )

    @property
    def preference(self) -> Tensor:
        """λ [T]."""
        return self.forward_pass.preference

    def task_gradients(self) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Per task, the gradients of its loss: (of the shared leaves, of its head's leaves). Frees the graph."""
        shared, specific = [], []
        for task, loss in enumerate(self.losses):
            leaves = [*self.forward_pass.shared, *self.forward_pass.specific[task]]
            last = task == len(self.losses) - 1
            found = torch.autograd.grad(loss, leaves, retain_graph=not last, allow_unused=True)
            gradients = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found)]
            shared.append(gradients[: len(self.forward_pass.shared)])
            specific.append(gradients[len(self.forward_pass.shared) :])
        # Averaged before anyone looks at them: every rank computes the same weights from them.
        distributed.average_([gradient for rows in (*shared, *specific) for gradient in rows])
        return shared, specific

    def gramian(self, shared: Sequence[Sequence[Tensor]]) -> Tensor:
        """Inner products [T, T] of T lists of gradients over all shared parameters, adapters included."""
        total = self.forward_pass.extra_gramian(shared).clone() if self.forward_pass.extra_gramian else None
        for rows in zip(*shared):
            flat = torch.stack([row.detach().reshape(-1) for row in rows])
            product = flat @ flat.t()
            total = product if total is None else total + product
        if total is None:
            return torch.zeros(len(shared), len(shared)).to(self.preference)
        return total


def accumulate_gradient(leaf: Tensor, gradient: Tensor, weight: float | Tensor = 1.0) -> None:
    """Add ``weight · gradient`` to ``leaf.grad``."""
    scaled = gradient * weight
    leaf.grad = scaled if leaf.grad is None else leaf.grad.add_(scaled)


class Balancer:
    """Base of all balancers: a dataclass of options whose learnt state lives in the attributes named by ``state``.

    A method holds a balancer as a prototype; the trainer copies it and calls :meth:`setup` once.
    """

    state: ClassVar[tuple[str, ...]] = ()
    # Whether all that is asked of the leaves is one ``backward`` of a scalar, not their gradients themselves.
    scalar: ClassVar[bool] = False
    # Whether a loss of weight 0 is never looked at, so that it need not be computed (its place holds NaN).
    sparse: ClassVar[bool] = False

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Create state for T tasks."""

    def begin_step(self, preferences: Tensor, losses_at: Callable[[Tensor], Tensor]) -> None:
        """Called before a step's passes with its preferences [M, T] and a function λ → losses [T] without graph."""

    def backward(self, step: Step) -> Tensor | None:
        """Add gradients to the leaves of ``step.forward_pass``; returns the task weights [T] used, if any."""
        raise NotImplementedError

    def after_step(self, step: Step, losses_now: Callable[[], Tensor]) -> None:
        """Called after the optimizer's step; ``losses_now()`` evaluates [T] losses on the same batch again."""

    def end_epoch(self) -> None:
        """Called after every epoch."""

    def parameters(self) -> list[nn.Parameter]:
        """Learnt weights that the main optimizer trains."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        return {name: getattr(self, name) for name in self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`; tensors are copied in place so that optimizers keep their references."""
        for name in self.state:
            current, value = getattr(self, name), state[name]
            if isinstance(current, Tensor):
                with torch.no_grad():
                    current.copy_(value)
            else:
                setattr(self, name, value)


class GradientBalancer(Balancer):
    """Base of balancers that weigh the T task gradients by a function of their Gramian.

    One backward pass per task, reused for the combination. λ steers by factors T·λ_t, so the centre of the simplex is
    the method itself. They scale the gradients before the method sees them, or, with ``steers_gradients = False``, the
    method's weights: right for methods that undo the scale of a gradient, on which the former has no effect.
    """

    steers_gradients: ClassVar[bool] = True

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """Weights [T] of the task gradients on the shared parameters, from their (λ-scaled) Gramian [T, T]."""
        raise NotImplementedError

    def weigh(self, gramian: Tensor, step: Step) -> Tensor:
        """Weights [T] of the plain task gradients, λ's factors included, from their plain Gramian [T, T]."""
        scale = step.preference * len(step.losses)
        seen = gramian * torch.outer(scale, scale) if self.steers_gradients else gramian
        return self.weights(seen, step).to(scale) * scale

    def head_weights(self, weights: Tensor, step: Step) -> Tensor:
        """Weights [T] of each head's own gradient, given those of :meth:`weigh`; by default only λ's factors."""
        return step.preference * len(step.losses)

    def backward(self, step: Step) -> Tensor | None:
        """Weigh, combine and accumulate the task gradients."""
        shared, specific = step.task_gradients()
        weights = self.weigh(step.gramian(shared), step)
        self.combine(step, shared, specific, weights, self.head_weights(weights, step))
        return weights

    def combine(
        self,
        step: Step,
        shared: Sequence[Sequence[Tensor]],
        specific: Sequence[Sequence[Tensor]],
        weights: Tensor,
        heads: Tensor,
    ) -> None:
        """Add Σ_t weights_t · ∇L_t to the shared leaves and heads_t · ∇L_t to those of task t's head."""
        factors = weights.tolist()
        if not all(map(math.isfinite, factors)):
            raise FloatingPointError("the weights of the task gradients are not finite")
        for leaf, rows in zip(step.forward_pass.shared, zip(*shared)):
            combined = torch.zeros_like(leaf)
            for weight, row in zip(factors, rows):
                combined.add_(row, alpha=weight)
            accumulate_gradient(leaf, combined)
        for task, leaves in enumerate(step.forward_pass.specific):
            for leaf, gradient in zip(leaves, specific[task]):
                accumulate_gradient(leaf, gradient, heads[task])
