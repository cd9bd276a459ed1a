"""COSMOS's conditioning: λ as T additional inputs of the first layer (Ruchte & Grabocka, ICDM 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.active import ActivePreference
from palora_core.conditioning._embedding import ShiftedEmbedding, shift_
from palora_core.conditioning.base import Conditioning, ParetoModel, conditionings
from palora_core.errors import UserError
from palora_core.swapping import SwappedLayer, swap

FIRST_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)


class WidenedLayer(SwappedLayer):
    """Mixin for the first layer, which reads λ as T more inputs behind its own.

    A convolution over images sees λ as maps [T, H, W]: two transposed convolutions (``embedding``) make 10 × 10 ones,
    which are stretched to the images' size. Other layers see λ itself, the same at every position. Outside of a forward
    pass of the model the additional inputs are zero.
    """

    prefix: ClassVar[str] = "Widened"

    active: ActivePreference
    num_tasks: int
    weight: Tensor
    bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """The layer's own forward on [inputs, λ]."""
        preference = self.active.preference
        if preference is None:
            preference = x.new_zeros(self.num_tasks)
        return super().forward(append(x, self.embed(preference), isinstance(self, nn.Linear)))

    def embed(self, preference: Tensor) -> Tensor:
        """λ [T] as what is appended to the inputs: [T, 10, 10] for images, [T] otherwise."""
        embedding, preference = self._modules.get("embedding"), preference.to(self.weight)
        return preference if embedding is None else embedding(preference.view(1, -1, 1, 1))[0]

    def plain_(self, preference: Tensor) -> None:
        """Fix λ, in place: a Linear gets its plain shape back, λ's share in its bias; a convolution keeps the maps."""
        plain, inputs = self.plain_class, self.weight.shape[1] - self.num_tasks
        constant, weight, bias = self.embed(preference), self.weight, self.bias
        self._modules.pop("embedding", None)
        self.__dict__.pop("active")
        if isinstance(self, nn.Linear):
            self.unswap_()
            self.weight, self.in_features = nn.Parameter(weight[:, :inputs].clone()), inputs
            added = weight[:, inputs:] @ constant
            self.bias = nn.Parameter(added if bias is None else bias + added)
        else:
            self.__class__ = _FIXED[plain]  # type: ignore[assignment]  # a swap once more
            self.register_buffer("constant", constant.clone())


def append(x: Tensor, constant: Tensor, last: bool) -> Tensor:
    """Inputs with ``constant`` [T] or [T, h, w] behind them, along the last axis or the channel axis."""
    if last:
        return torch.cat([x, constant.to(x.dtype).expand(*x.shape[:-1], -1)], -1)
    spatial = x.dim() - 2
    maps = constant.to(x.dtype).view(1, len(constant), *([1] * spatial if constant.dim() == 1 else constant.shape[1:]))
    if constant.dim() > 1:
        maps = F.interpolate(maps, size=x.shape[2:])
    return torch.cat([x, maps.expand(x.shape[0], -1, *x.shape[2:])], 1)


class FixedInput(nn.Module):
    """Mixin for a merged convolution: plain tensors and an additional buffer ``constant``, the inputs that λ adds."""

    constant: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of [inputs, constant]."""
        return super().forward(append(x, self.constant, last=False))


class FixedInputConv1d(FixedInput, nn.Conv1d):
    """A Conv1d some of whose inputs are constant."""


class FixedInputConv2d(FixedInput, nn.Conv2d):
    """A Conv2d some of whose inputs are constant maps, stretched to the image."""


class FixedInputConv3d(FixedInput, nn.Conv3d):
    """A Conv3d some of whose inputs are constant."""


_FIXED: dict[type[nn.Module], type[FixedInput]] = {
    nn.Conv1d: FixedInputConv1d,
    nn.Conv2d: FixedInputConv2d,
    nn.Conv3d: FixedInputConv3d,
}


class InputConcatModel(ParetoModel):
    """A network whose first layer reads λ beside its inputs."""

    kind: ClassVar[str] = "inputconcat"
    controllable = True

    def basis(self) -> None:
        """None: λ goes through a nonlinear embedding."""
        return None

    def _merge_into(self, network: nn.Module, preference: Tensor) -> None:
        for layer in list(network.modules()):
            if isinstance(layer, WidenedLayer | ShiftedEmbedding):
                layer.plain_(preference)


@conditionings.register("inputconcat")
@dataclass(frozen=True)
class InputConcat(Conditioning):
    """λ as T additional inputs of the first layer (COSMOS); weights of the other inputs are kept.

    ``merge(λ)`` of a network that begins with a Linear layer is the plain network. One that begins with a convolution
    keeps T more input channels, fed from a buffer ``<first layer>.constant``: what they add to the output depends on
    the image's size and borders, so it cannot be a bias.

    Attributes:
        layer: dotted name of the layer that reads λ; empty is the network's first Linear, Conv or Embedding, and an
            embedding adds a vector made of λ to that of every token.
    """

    controllable: ClassVar[bool] = True

    layer: str = ""

    def condition(self, network: nn.Module, num_tasks: int) -> InputConcatModel:
        """Widen the first layer of ``network``, in place, and wrap it."""
        model = InputConcatModel(network, num_tasks)
        first = self._first(network)
        if isinstance(first, nn.Embedding):
            shift_(first, num_tasks, model.active)
        else:
            _widen(first, num_tasks, model.active)
        return model

    def check(self, network: Callable[[], nn.Module]) -> None:
        """``layer`` is one that can read a preference."""
        if self.layer:
            self._first(network())

    def _first(self, network: nn.Module) -> nn.Module:
        found = [(n, m) for n, m in network.named_modules() if type(m) in FIRST_LAYERS and self.layer in ("", n)]
        if not found:
            place = f"at {self.layer!r}" if self.layer else "anywhere"
            raise UserError(
                f"{type(network).__name__} has no Linear, Conv or Embedding layer {place} that could read a preference."
            )
        name, layer = found[0]
        if getattr(layer, "groups", 1) != 1:
            raise UserError(
                f"Layer {name!r} has {layer.groups} groups, so it cannot read a preference; name another layer."
            )
        return layer


@torch.no_grad()
def _widen(layer: nn.Module, num_tasks: int, active: ActivePreference) -> None:
    """Give ``layer`` T more inputs whose weights are drawn as torch draws those of a layer of the new width."""
    old: Tensor = layer.weight  # type: ignore[assignment]
    inputs = old.shape[1]
    fan_in = (inputs + num_tasks) * old[0, 0].numel()
    added = old.new_empty(old.shape[0], num_tasks, *old.shape[2:]).uniform_(-(fan_in**-0.5), fan_in**-0.5)
    layer.weight = nn.Parameter(torch.cat([old, added], 1), requires_grad=old.requires_grad)
    widened = swap(layer, WidenedLayer)
    widened.num_tasks, widened.active = num_tasks, active
    if isinstance(layer, nn.Conv2d):
        widened.embedding = nn.Sequential(
            *(nn.ConvTranspose2d(num_tasks, num_tasks, 4, bias=False), nn.ReLU(inplace=True)),
            *(nn.ConvTranspose2d(num_tasks, num_tasks, 6, 2, 1, bias=False), nn.ReLU(inplace=True)),
        ).to(device=old.device, dtype=old.dtype)
    if isinstance(layer, nn.Linear):
        layer.in_features += num_tasks
    else:
        layer.in_channels += num_tasks  # type: ignore[operator,assignment]
