"""Task weights that move a little in every pass and stay on the simplex: what MoCo, MoDo and SDMGrad share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step
from palora_core.balancing.solvers import quadratic_program
from palora_core.errors import UserError
from palora_core.ranges import check_ranges


def onto_simplex(point: np.ndarray) -> np.ndarray:
    """The nearest point of the simplex to ``point`` [T]."""
    return quadratic_program(np.eye(len(point)), -point, total=1.0)


def among(
    here: np.ndarray,
    weights: np.ndarray,
    matrix: np.ndarray,
    move: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Move the weights of the tasks that are ``here`` among themselves; the others keep theirs.

    Args:
        here: bool [T].
        weights: [T], on the simplex.
        matrix: [T, T] of inner products.
        move: (the part of the matrix, the part of the weights scaled to sum 1) → new ones of sum 1.
    """
    found, share = weights.copy(), float(weights[here].sum())
    if here.any() and share > 0:
        found[here] = share * move(matrix[np.ix_(here, here)], weights[here] / share)
    return found


def of_sum_one(weights: np.ndarray, here: np.ndarray) -> np.ndarray:
    """The weights [T] of the tasks that are ``here``, scaled to sum 1; zero for the others."""
    kept = np.where(here, weights, 0.0)
    total = float(kept.sum())
    return kept / total if total > 0 else kept


def cross_products(balancer: GradientBalancer, step: Step, shared: list[list[Tensor]]) -> np.ndarray:
    """⟨g_s, g'_t⟩ [T, T] of a batch's gradients and those of an independent one, at the same λ.

    The independent batch is a held-out one: only the weights learn from it, the network does not.

    Raises:
        UserError: the training loop has none.
    """
    if step.held_out is None:
        raise UserError(
            f"{type(balancer).__name__} needs a second, independent batch, and this training loop gives it none."
        )
    other = Step(list(step.held_out()), step.forward_pass, step.model, names=step.names)
    products = step.gramian([*shared, *other.task_gradients()[0]]).detach().double().cpu().numpy()
    if not np.isfinite(products).all():
        raise FloatingPointError("the inner products of the task gradients are not finite")
    count = len(shared)
    block: np.ndarray = products[:count, count:]
    return block


@dataclass
class TwoBatchWeights(GradientBalancer):
    """Σ_t w_t g_t with w on the simplex, moved in every pass by the inner products of two independent batches.

    Subclasses say how w moves (:meth:`move`) and what weights it stands for (:meth:`weights_of`). λ weighs by T·λ_t;
    heads get their plain gradients.
    """

    state: ClassVar[tuple[str, ...]] = ("learnt",)

    def __post_init__(self) -> None:
        check_ranges(self)

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Equal weights."""
        self.learnt = [1 / num_tasks] * num_tasks

    def move(self, products: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """New weights of sum 1 from J J'ᵀ [T, T] and the present ones [T], of the tasks that are there."""
        raise NotImplementedError

    def weights_of(self, moved: np.ndarray, here: np.ndarray) -> np.ndarray:
        """What the gradients are weighed with [T]: w itself, among the tasks that are ``here``."""
        return of_sum_one(moved, here)

    def backward(self, step: Step) -> Tensor:
        """One backward pass per task and batch."""
        shared, specific = step.task_gradients()
        products = cross_products(self, step, shared)
        here = step.values().cpu().numpy() != 0
        moved = among(here, np.array(self.learnt), products, self.move)
        self.learnt = moved.tolist()
        scale = step.preference * len(step.losses)
        weights = torch.from_numpy(self.weights_of(moved, here)).to(scale) * scale
        self.combine(step, shared, specific, weights, scale)
        return weights
