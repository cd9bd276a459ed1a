"""RotoGrad: task gradients of equal size and, through learnt rotations, of one direction (Javaloy & Valera, 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core import distributed
from palora_core.balancing.base import Balancer, Step, accumulate_gradient, balancers
from palora_core.conditioning.rotations import FeaturePass, RotationsModel
from palora_core.errors import UserError
from palora_core.ranges import NotNegative

_TINY = 1e-15


def common_size(norms: Tensor, initial: Tensor) -> Tensor:
    """Σ_t α_t ‖g_t‖ from norms [T], with α_t ∝ ‖g_t‖ / ‖g_t at the first step‖: slow tasks count more."""
    ratios = norms / initial.clamp_min(_TINY)
    return (ratios * norms).sum() / ratios.sum().clamp_min(_TINY)


def alignment(rotation: Tensor, gradient: Tensor, target: Tensor) -> Tensor:
    """−Σ_b ⟨Rᵀ ũ_b, v_b⟩ for R [k, k], a task's gradient at its rotated features ũ, a common direction v [B, k, …]."""
    return -(rotation * torch.einsum("bi...,bj...->ij", gradient, target)).sum()


@balancers.register("rotograd")
@dataclass
class RotoGrad(Balancer):
    """Feature gradients g_t (of T·λ_t L_t) are given one size, averaged and sent through the trunk.

    Heads get their own gradients. The rotations follow Adam on the alignment of every task's unit gradient with the
    common one, at a fraction of the learning rate: as the slower player of a Stackelberg game they converge.

    Attributes:
        lr_scale: the rotations' learning rate over the network's.
    """

    state: ClassVar[tuple[str, ...]] = ("initial",)

    lr_scale: NotNegative = 0.1

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Forget the first step."""
        self.initial: list[float] | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._pending: dict[str, Any] | None = None

    def backward(self, step: Step) -> Tensor:
        """Returns the factors [T] that were put on the task gradients at the features."""
        features, layers = _parts(step)
        gradients = [gradient.to(layers[0].rotation) for gradient in self._task_gradients(step, features)]
        norms = _norms(gradients)
        if not torch.isfinite(norms).all():
            raise FloatingPointError("the norms of the task gradients are not finite")
        if self.initial is None or 0.0 in self.initial:  # 0: that task was not there
            first = self.initial or [0.0] * len(norms)
            self.initial = [old or new for old, new in zip(first, _averaged(norms.clone()).tolist())]
        size = common_size(norms, norms.new_tensor(self.initial))
        units = [gradient / norm.clamp_min(_TINY) for gradient, norm in zip(gradients, norms)]
        common = torch.stack(units).mean(0)
        self._turn(step, layers, units, common)
        onward = (size * common).to(features.dtype)
        found = torch.autograd.grad(features, step.forward_pass.shared, onward, allow_unused=True)
        for leaf, gradient in zip(step.forward_pass.shared, found):
            if gradient is not None:
                accumulate_gradient(leaf, gradient)
        return size / (len(units) * norms.clamp_min(_TINY))

    def _task_gradients(self, step: Step, features: Tensor) -> list[Tensor]:
        """The gradients of T·λ_t L_t at the features; those of the heads are accumulated on the way."""
        gradients = []
        for scale, loss, leaves in zip(step.preference * len(step.losses), step.losses, step.forward_pass.specific):
            first, *own = torch.autograd.grad(scale * loss, [features, *leaves], retain_graph=True, allow_unused=True)
            gradients.append(torch.zeros_like(features) if first is None else first)
            for leaf, gradient in zip(leaves, own):
                if gradient is not None:
                    accumulate_gradient(leaf, gradient)
        return gradients

    def _turn(self, step: Step, layers: list[Any], units: list[Tensor], common: Tensor) -> None:
        """One step of the rotations' optimizer."""
        optimizer = self._made(layers)
        for layer, unit in zip(layers, units):
            matrix = layer.matrix()
            kept = len(matrix)
            rotated = torch.einsum("ij,bj...->bi...", matrix.detach(), unit[:, :kept])  # u = Rᵀũ, so ũ = R u
            (gradient,) = torch.autograd.grad(alignment(matrix, rotated, common[:, :kept]), layer.rotation)
            layer.rotation.grad = _averaged(gradient)
        for group in optimizer.param_groups:
            group["lr"] = self.lr_scale * step.lr
        optimizer.step()
        optimizer.zero_grad()

    def _made(self, layers: list[Any]) -> torch.optim.Optimizer:
        """The rotations' optimizer, made at the first step since a balancer is set up without a model."""
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam([layer.rotation for layer in layers])
            if self._pending is not None:
                self._optimizer.load_state_dict(self._pending)
        return self._optimizer

    def state_dict(self) -> dict[str, Any]:
        """The first step's norms and the optimizer's moments."""
        moments = self._pending if self._optimizer is None else self._optimizer.state_dict()
        return {**super().state_dict(), "optimizer": moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`; the moments wait for the first step."""
        super().load_state_dict(state)
        self._optimizer, self._pending = None, state["optimizer"]


def _parts(step: Step) -> tuple[Tensor, list[Any]]:
    if not isinstance(step.model, RotationsModel) or not isinstance(step.forward_pass, FeaturePass):
        raise UserError("The rotograd balancer needs the rotations conditioning; choose both or the method rotograd.")
    if not isinstance(step.forward_pass.features, Tensor) or not step.forward_pass.features.requires_grad:
        raise UserError("The rotograd balancer needs a trunk whose output is one tensor that training can change.")
    return step.forward_pass.features, step.model.layers


def _norms(gradients: list[Tensor]) -> Tensor:
    """‖g_t‖ [T] over the rows of all ranks; on R ranks a row's gradient is R times that of the whole batch's loss."""
    squares = torch.stack([gradient.square().sum() for gradient in gradients])
    distributed.average_([squares])
    return (squares / distributed.world_size()).sqrt()


def _averaged(gradient: Tensor) -> Tensor:
    """The rotation's gradient over the rows of all ranks, so that all turn alike; it has the factor R above twice."""
    distributed.average_([gradient])
    return gradient / distributed.world_size()
