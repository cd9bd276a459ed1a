"""PaMaL's conditioning: T members of every parameter, θ(λ) = Σ_t λ_t θ_t (Dimitriadis et al., ICML 2023)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core.active import Active
from palora_core.conditioning._generated import GeneratedLayer, GeneratedModel, parameter_owners, swap_parameters
from palora_core.conditioning._merged import AffineTensor, Place, inner_products, merged_passes
from palora_core.conditioning.base import Conditioning, Pass, conditionings
from palora_core.machine import full_precision
from palora_core.sharding import is_sharded_tensor


class EnsembleLayer(GeneratedLayer):
    """Mixin for a module whose parameters are stored as T members `[T, *shape]` under the plain names."""

    def generated(self, name: str) -> Tensor:
        """Σ_t λ_t θ_t, made where it is read unless the pass brings it along."""
        active = self.active.now
        if active is None or active.tensors is not None:
            return super().generated(name)
        return mix(self.members(name), active.preference)

    def members(self, name: str) -> nn.Parameter:
        """The members `[T, *shape]` of one parameter."""
        return self._parameters[name]  # type: ignore[return-value]

    def idle(self, name: str) -> Tensor:
        """The centre's value: the mean of the members."""
        members = self.members(name)
        # Between passes FSDP2 looks here for the parameter that it holds.
        return members if is_sharded_tensor(members) else members.mean(0)


def mix(members: Tensor, preference: Tensor) -> Tensor:
    """Σ_t λ_t θ_t for members `[T, *shape]`."""
    with full_precision(members):
        return (preference.to(members) @ members.flatten(1)).view(members.shape[1:])


class EnsembleModel(GeneratedModel):
    """T networks that share one shape; λ mixes all their weights, biases and normalisation scales."""

    kind: ClassVar[str] = "ensemble"
    memory_format: torch.memory_format = torch.contiguous_format  # that of the mixed weights; members have an axis more

    def to(self, *args: Any, memory_format: torch.memory_format | None = None, **kwargs: Any) -> EnsembleModel:
        """As ``nn.Module.to``; a memory format is that of the mixed weights, since 5-D members cannot have it."""
        if memory_format is not None:
            self.memory_format = memory_format
        return super().to(*args, **kwargs)

    def _named_layers(self) -> list[tuple[str, EnsembleLayer]]:
        return [(n, layer) for n, layer in self.network.named_modules() if isinstance(layer, EnsembleLayer)]

    def _places(self) -> dict[int, tuple[nn.Parameter, list[tuple[int, str]]]]:
        """id(members) → (members, every place that reads them)."""
        found: dict[int, tuple[nn.Parameter, list[tuple[int, str]]]] = {}
        for _, layer in self._named_layers():
            for name in type(layer)._recipe[2]:  # type: ignore[attr-defined]
                found.setdefault(id(layer.members(name)), (layer.members(name), []))[1].append((id(layer), name))
        return found

    def _active_at(self, preference: Tensor) -> Active:
        return Active(preference)  # the layers mix their own members

    def generate(self, preference: Tensor) -> dict[tuple[int, str], Tensor]:
        """Σ_t λ_t θ_t of every parameter."""
        values: dict[tuple[int, str], Tensor] = {}
        for members, places in self._places().values():
            values |= dict.fromkeys(places, mix(members, preference))
        return values

    def _passes(self, dtype: torch.dtype | None, once: bool) -> AbstractContextManager[Callable[[Any], Pass]]:
        """Passes on mixed weights as leaves: ∂/∂θ_t = Σ_m λ_mt g_m, exactly, with one network's activations alive."""
        channels_last = self.memory_format == torch.channels_last
        return merged_passes(
            self, lambda: [Members(at, m, channels_last) for m, at in self._places().values()], dtype, once
        )

    def basis(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Every parameter: (zero, its members `[T, *shape]`)."""
        result = {}
        for prefix, layer in self._named_layers():
            for name in type(layer)._recipe[2]:  # type: ignore[attr-defined]
                members = layer.members(name)
                result[f"{prefix}.{name}".lstrip(".")] = (torch.zeros_like(members[0]), members)
        return result


class Members(AffineTensor):
    """Σ_t λ_t θ_t of one parameter."""

    def __init__(self, places: Sequence[Place], members: nn.Parameter, channels_last: bool) -> None:
        super().__init__(places, [members], None, members, channels_last and members.dim() == 5)

    def chain(self, base: Tensor, deltas: Tensor) -> list[Tensor]:
        """The members are the deltas."""
        return [deltas]

    def extra_gramian(self, preference: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """Member t's gradient is λ_t g, so inner products over all members are ‖λ‖² times those of θ(λ)."""
        return (preference.dot(preference) - 1) * inner_products(gradients)


@conditionings.register("ensemble")
@dataclass(frozen=True)
class Ensemble(Conditioning):
    """T members of every parameter, mixed by λ (PaMaL): exactly (T − 1) · 100 % more parameters.

    Where a part of the network is frozen, that part stays one: members are made of what is trained (one adapter per
    layer, say). BatchNorm scales and shifts are mixed too; running statistics are one set, as in the paper, until they
    are estimated per preference.

    Attributes:
        reinit: draw every member anew with the layer's default initialisation, as the released code does; otherwise all
            members start as the network given, so that a trained one is kept for Σλ = 1, and learn faster (the lines
            between networks drawn apart have to be made good first).
    """

    controllable: ClassVar[bool] = True

    reinit: bool = False

    def condition(self, network: nn.Module, num_tasks: int) -> EnsembleModel:
        """Turn every parameter of ``network`` into T members, in place, and wrap it."""
        parameter_owners(network)  # refuses before anything is drawn anew
        model = EnsembleModel(network, num_tasks)
        drawn = self._draw(network, num_tasks)

        def members(module: nn.Module, name: str, parameter: nn.Parameter) -> nn.Parameter:
            stacked = torch.stack([values[id(parameter)] for values in drawn])
            return nn.Parameter(stacked, requires_grad=parameter.requires_grad)

        swap_parameters(network, EnsembleLayer, model.active, members, _trained(network))
        return model

    @torch.no_grad()
    def _draw(self, network: nn.Module, num_tasks: int) -> list[dict[int, Tensor]]:
        """Per member: id(parameter) → its start."""
        drawn = []
        for _ in range(num_tasks):
            if self.reinit:
                network.apply(_reset)
            drawn.append({id(p): p.detach().clone() for p in _trained(network)})
        return drawn


def _trained(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained; all of them in a network that is frozen as a whole."""
    every = list(network.parameters())
    return [p for p in every if p.requires_grad] or every


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
