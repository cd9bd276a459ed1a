"""EPO: descend so that λ_t L_t becomes equal over tasks (Mahapatra & Rajan, ICML 2020), the second solver of PHN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core.balancing.base import Balancer, Step, accumulate_gradient, balancers
from palora_core.errors import UserError
from palora_core.ranges import NotNegative

_TINY = 1e-12


def non_uniformity(losses: np.ndarray, preference: np.ndarray) -> tuple[float, np.ndarray]:
    """(μ, a): how far λ⊙L is from equal entries, and the direction a [T] of losses that reduces it.

    With l̂ = λ⊙L / Σ λ⊙L: μ = Σ l̂ ln(T l̂) and a = λ ⊙ (ln(T l̂) − μ).
    """
    scaled = preference * losses
    share = np.maximum(scaled / max(float(scaled.sum()), _TINY), _TINY)
    logs = np.log(len(share) * share)
    mu = float(share @ logs)
    return mu, preference * (logs - mu)


def epo_weights(gramian: np.ndarray, losses: np.ndarray, preference: np.ndarray, tolerance: float = 1e-4) -> np.ndarray:
    """Task weights α [T] on the simplex from the Gramian C of the task gradients.

    Balance (μ > tolerance): max αᵀCa with Cα ≥ Ca where Ca ≤ 0, and ≥ 0 for the task with the largest λ_t L_t (Cα ≥ 0
    if no entry of Ca is positive). Dominance otherwise: max 1ᵀCα with Cα ≥ 0 and αᵀCa ≥ min(0, max Ca). The
    plain λ/Σλ where a program has no solution.
    """
    if not (np.isfinite(gramian).all() and np.isfinite(losses).all()):
        raise FloatingPointError("the losses or their gradients are not finite")
    active = gramian.diagonal() > 0
    if active.any() and not active.all():  # a task without a gradient can be helped by no direction
        weights = np.zeros(len(losses))
        weights[active] = epo_weights(gramian[np.ix_(active, active)], losses[active], preference[active], tolerance)
        return weights
    mu, a = non_uniformity(losses, preference)
    matrix = gramian / max(float(np.abs(gramian).max()), _TINY)  # the programs do not see the scale, a solver does
    change = matrix @ a
    if mu > tolerance:
        floor = np.zeros_like(change)
        if (change > 0).any():
            floor = np.where(change > 0, -np.inf, change)
            floor[preference * losses == (preference * losses).max()] = 0
        alpha = _solve(change, matrix, floor)
    else:
        floor = np.append(np.zeros(len(a)), min(0.0, float(change.max())))
        alpha = _solve(matrix.sum(0), np.vstack([matrix, change]), floor)
    return preference / max(float(preference.sum()), _TINY) if alpha is None else alpha


def _solve(objective: np.ndarray, rows: np.ndarray, floor: np.ndarray) -> np.ndarray | None:
    """max objectiveᵀα over the simplex with rows·α ≥ floor; None if there is no such α."""
    try:
        from scipy.optimize import linprog
    except ModuleNotFoundError:
        raise UserError("The EPO balancer solves linear programs with scipy, which is not installed.") from None
    bound = np.isfinite(floor)
    limits: dict[str, Any] = {"A_ub": -rows[bound], "b_ub": -floor[bound]} if bound.any() else {}
    result = linprog(-objective, A_eq=np.ones((1, len(objective))), b_eq=[1.0], bounds=(0, None), **limits)
    return result.x if result.status == 0 else None


@balancers.register("epo")
@dataclass
class EPO(Balancer):
    """Exact Pareto optimal search: T task gradients over all parameters, a linear program, Σ_t T·α_t ∇L_t.

    As in PHN, the λ_t L_t are made equal: a larger λ_t asks for a smaller loss. Entries of λ below zero count as zero.

    Attributes:
        tolerance: non-uniformity μ below which the losses count as balanced and all are decreased.
    """

    tolerance: NotNegative = 1e-4

    def backward(self, step: Step) -> Tensor:
        """One backward pass per task, then their weighted sum."""
        shared, specific = step.task_gradients()
        losses = step.values_from(0.0, "EPO")
        gramian, found, preference = (
            t.double().cpu().numpy() for t in (step.gramian(shared), losses, step.preference.clamp_min(0))
        )
        weights = len(losses) * epo_weights(gramian, found, preference, self.tolerance)
        for task, weight in enumerate(weights.tolist()):
            leaves = [*step.forward_pass.shared, *step.forward_pass.specific[task]]
            for leaf, gradient in zip(leaves, [*shared[task], *specific[task]]):
                accumulate_gradient(leaf, gradient, weight)
        return torch.from_numpy(weights).to(losses)
