"""IMTL-G, Aligned-MTL and UPGrad through torchjd: the only module that imports it, when one of them is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.solvers import dual_cone_weights, over_active
from palora_core.errors import UserError


def _weighting(name: str, **options: Any) -> Any:
    """An instance of torchjd's weighting class ``name``."""
    try:
        aggregation = importlib.import_module("torchjd.aggregation")
    except ModuleNotFoundError as error:
        raise UserError(
            f"{name} needs the package torchjd, which is not installed here; install it (pip install "
            "'torchjd>=0.18,<0.19') or choose another balancer, e.g. mgda, cagrad or nash_mtl."
        ) from error
    return getattr(aggregation, name)(**options)


def _weigh(gramian: Tensor, name: str, **options: Any) -> Tensor:
    """torchjd's weights of the tasks that have a gradient.

    In float64 on the CPU: T × T numbers, but eigenvalues of parallel gradients are close to zero.
    """
    weighting = _weighting(name, **options)
    return over_active(gramian, lambda array: weighting(torch.from_numpy(array)).numpy())


@balancers.register("imtl_g")
@dataclass
class ImpartialGradients(GradientBalancer):
    """Σ_t α_t g_t, Σα = 1, with equal projections on all unit gradients (Liu et al.: IMTL, ICLR 2021).

    Heads get their plain gradients (an α_t may be negative). λ scales the α_t, which undo any scale of the gradients.
    """

    steers_gradients: ClassVar[bool] = False

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """α from torchjd's pseudo-inverse form."""
        return _weigh(gramian, "IMTLGWeighting")


@balancers.register("aligned_mtl")
@dataclass
class AlignedMTL(GradientBalancer):
    """Σ_t (B p)_t g_t, B = √s·V Σ⁻¹ Vᵀ aligns the gradients' principal components (Senushkin et al., CVPR 2023).

    p are the paper's task preferences, here T·λ: ones at the centre as in the authors' code (torchjd has 1/T). Heads
    get their plain gradients.

    Attributes:
        scale_mode: s is the smallest, the median or the mean eigenvalue of the Gramian.
    """

    scale_mode: Literal["min", "median", "rmse"] = "min"

    def weigh(self, gramian: Tensor, step: Step) -> Tensor:
        """B times T·λ."""
        preferences = (step.preference.detach().double().cpu() * len(step.losses))[gramian.diagonal().cpu() > 0]
        found = _weigh(gramian, "AlignedMTLWeighting", pref_vector=preferences, scale_mode=self.scale_mode)
        return found.to(step.preference)


@balancers.register("upgrad")
@dataclass
class UPGrad(GradientBalancer):
    """Mean of the task gradients, each projected onto the dual cone of all (Quinton & Rey: Jacobian descent, 2024).

    The direction conflicts with no task. torchjd's weighting with our exact projector (its own needs quadprog and adds
    1e-4 to the Gramian). Heads get their plain gradients.
    """

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """Weights of the mean of the projections."""
        return _weigh(gramian, "UPGradWeighting", projector=_project)


def _project(rows: Tensor, gramian: Tensor) -> Tensor:
    """torchjd's ``DualConeProjector`` by our own quadratic program."""
    return torch.from_numpy(dual_cone_weights(rows.numpy(), gramian.numpy()))
