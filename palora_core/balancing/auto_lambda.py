"""Auto-λ: task weights that lower the loss on held-out data after one look-ahead step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from palora_core import distributed
from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.learnt import LearntVector, LearntWeights
from palora_core.errors import UserError
from palora_core.ranges import NotNegative, Positive


@balancers.register("auto_lambda")
@dataclass
class AutoLambda(LearntWeights, GradientBalancer):
    """Σ_t w_t L_t, w by Adam on Σ_s L_s(held out) after θ' = θ − lr·Σ_t w_t ∇L_t (Liu, James, Davison, Johns 2022).

    The look-ahead step is linear in w, so ∂/∂w_t is exactly −lr·⟨∇L_t(θ), ∇L_held(θ')⟩. The T gradients are at hand
    for the combination anyway, hence no finite difference. θ are the pass's leaves; for PaLoRA the inner products
    count the shared adapters too, while θ' moves the merged weights only.

    Attributes:
        start: first value of every weight.
        weights_lr: Adam's learning rate for w.
    """

    start: Positive = 0.1
    weights_lr: NotNegative = 1e-4

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Equal weights."""
        self.vector = LearntVector([self.start] * num_tasks, self.weights_lr, 0.0, device)

    def backward(self, step: Step) -> Tensor | None:
        """Learn w, then combine the gradients with it."""
        shared, specific = step.task_gradients()
        scale = step.preference * len(step.losses)
        self.vector.descend(self.meta_gradient(step, shared, specific, scale))
        weights = self.vector.values.to(scale) * scale
        self.combine(step, shared, specific, weights, weights)
        return weights

    def meta_gradient(
        self, step: Step, shared: Sequence[Sequence[Tensor]], specific: Sequence[Sequence[Tensor]], scale: Tensor
    ) -> Tensor:
        """Derivative [T] by w of the T·λ-weighted held-out losses after the look-ahead step."""
        weights = self.vector.values.to(scale) * scale
        held_shared, held_specific = self._held_out_gradients(step, shared, specific, weights)
        products = step.gramian([*shared, held_shared])[:-1, -1].clone()
        for task, (own, held) in enumerate(zip(specific, held_specific)):
            for gradient, other in zip(own, held):
                products[task] += (gradient * other).sum()
        distributed.average_([products])
        return -step.lr * scale * products

    def _held_out_gradients(
        self, step: Step, shared: Sequence[Sequence[Tensor]], specific: Sequence[Sequence[Tensor]], weights: Tensor
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Gradients at θ' of Σ_t T·λ_t L_t(held out), by the shared leaves and by those of each head."""
        if step.held_out is None:
            raise UserError("auto_lambda learns its weights on held-out data, and this training loop gives it none")
        groups = [step.forward_pass.shared, *step.forward_pass.specific]
        leaves = [leaf for group in groups for leaf in group]
        before = [leaf.detach().clone() for leaf in leaves]
        with torch.no_grad():
            for leaf, rows in zip(step.forward_pass.shared, zip(*shared)):
                for weight, row in zip(weights.tolist(), rows):
                    leaf.sub_(row, alpha=step.lr * weight)
            for weight, own, gradients in zip(weights.tolist(), step.forward_pass.specific, specific):
                for leaf, row in zip(own, gradients):
                    leaf.sub_(row, alpha=step.lr * weight)
        try:
            losses = list(step.held_out())
            factors = [scale.to(loss) for scale, loss in zip(step.preference * len(losses), losses)]
            found = torch.autograd.grad(losses, leaves, factors, allow_unused=True)
        finally:
            with torch.no_grad():
                for leaf, value in zip(leaves, before):
                    leaf.copy_(value)
        for leaf, gradient in zip(step.forward_pass.shared, found):
            if gradient is None and leaf.dim() > 1:
                raise RuntimeError(
                    "Step.held_out must run forward_pass.forward: its losses do not depend on the leaves"
                )
        filled = iter(torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found))
        result = [[next(filled) for _ in group] for group in groups]
        return result[0], result[1:]
