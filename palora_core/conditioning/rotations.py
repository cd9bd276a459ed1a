"""RotoGrad's conditioning: a rotation of the shared features before every head (Javaloy & Valera, ICLR 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core.adapters.selection import ADAPTABLE
from palora_core.conditioning.base import Conditioning, ParetoModel, Pass, conditionings
from palora_core.errors import UserError
from palora_core.ranges import Range
from palora_core.sharding import is_sharded_tensor
from palora_core.swapping import SwappedLayer, refuse_value, swap


class RotatedLayer(SwappedLayer):
    """Mixin for the first layer of a head: it reads R z in place of the features z.

    R = exp(S − Sᵀ) turns the first k channels; ``rotation`` is S [k, k]. W (R z) = (W R) z, also under a convolution,
    so the class is swapped and ``weight`` is W R. R is a constant there: it follows an objective of its own.
    """

    prefix: ClassVar[str] = "Rotated"

    rotation: Tensor

    @property
    def weight(self) -> Tensor:
        """W R."""
        weight = self._parameters["weight"]
        assert weight is not None
        if is_sharded_tensor(weight):  # between passes, where FSDP2 looks for the parameter that it holds
            return weight
        matrix = self.matrix().detach()
        size = len(matrix)
        turned = torch.einsum("oi...,ij->oj...", weight[:, :size], matrix)
        return turned if size == weight.shape[1] else torch.cat([turned, weight[:, size:]], 1)

    weight = weight.setter(refuse_value)  # type: ignore[attr-defined]

    def matrix(self) -> Tensor:
        """R [k, k], differentiable in ``rotation``."""
        generator = self.rotation - self.rotation.t()
        wide = generator.to(torch.promote_types(generator.dtype, torch.float32))  # exp in bfloat16 is off by magnitudes
        return torch.linalg.matrix_exp(wide).to(generator.dtype)

    def plain_(self) -> None:
        """Turn this layer back, in place, into its plain class with W R as its weight."""
        weight = self.weight.detach().contiguous()
        self.unswap_()
        del self.rotation
        self._parameters["weight"] = nn.Parameter(weight)


@dataclass
class FeaturePass(Pass):
    """A pass that remembers what the trunk gave to the heads.

    Attributes:
        features: shared features [B, C, …] of the newest forward, with their graph.
    """

    features: Tensor | None = None


class RotationsModel(ParetoModel):
    """A trunk, and heads that read rotated features; λ does not enter it."""

    kind: ClassVar[str] = "rotations"

    @property
    def layers(self) -> list[RotatedLayer]:
        """The rotated layer of every head, in the order of the tasks."""
        return [module for module in self.network.modules() if isinstance(module, RotatedLayer)]

    def split_parameters(self) -> tuple[list[Tensor], list[list[Tensor]]]:
        """As for any model, without the rotations."""
        own = {id(layer.rotation) for layer in self.layers}
        shared, specific = super().split_parameters()
        return shared, [[p for p in group if id(p) not in own] for group in specific]

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """All but the rotations, which the balancer trains."""
        own = {id(layer.rotation) for layer in self.layers}
        return [{"params": [p for p in self.parameters() if p.requires_grad and id(p) not in own], "lr": lr}]

    def plain_pass(self, preference: Tensor) -> FeaturePass:
        """A pass through autograd that keeps hold of the shared features."""
        one = FeaturePass(**vars(super().plain_pass(preference)))
        forward = one.forward

        def remember(module: nn.Module, inputs: Any, output: Tensor) -> None:
            one.features = output

        def run(*args: Any, **kwargs: Any) -> Any:
            handle = self.network.trunk.register_forward_hook(remember)  # type: ignore[union-attr]
            try:
                return forward(*args, **kwargs)
            finally:
                handle.remove()

        one.forward = run
        return one

    def _merge_into(self, network: nn.Module, preference: Tensor) -> None:
        for layer in list(network.modules()):
            if isinstance(layer, RotatedLayer):
                layer.plain_()


@conditionings.register("rotations")
@dataclass(frozen=True)
class Rotations(Conditioning):
    """One rotation of the shared features per task (RotoGrad); ``merge`` folds them into the heads.

    For networks with a ``trunk`` and ``heads``. Flat features are rotated as they are, dense ones by channels.

    Attributes:
        latent: at most this many channels are rotated, the first ones (the paper has 50 for LeNet, 500 for ResNet-18).
    """

    controllable: ClassVar[bool] = False

    latent: Annotated[int, Range(1, 65536)] = 500

    def condition(self, network: nn.Module, num_tasks: int) -> RotationsModel:
        """Swap the class of every head's first layer, in place, and wrap the network."""
        heads = getattr(network, "heads", None)
        if not isinstance(heads, nn.ModuleDict) or getattr(network, "trunk", None) is None or self.latent < 1:
            raise UserError(
                f"Rotations need a network with trunk and heads, and latent of at least 1; "
                f"found {type(network).__name__} and {self.latent}."
            )
        for task, head in heads.items():
            _rotate(task, head, self.latent)
        return RotationsModel(network, num_tasks)


def _rotate(task: str, head: nn.Module, latent: int) -> None:
    first = next((m for m in head.modules() if isinstance(m, ADAPTABLE)), None)
    if first is None or getattr(first, "groups", 1) != 1 or isinstance(first, RotatedLayer):
        raise UserError(f"The head of task {task!r} has no plain Linear or Conv layer whose inputs can be rotated.")
    weight = first.weight
    size = min(latent, weight.shape[1])
    swap(first, RotatedLayer).rotation = nn.Parameter(weight.new_zeros(size, size))
