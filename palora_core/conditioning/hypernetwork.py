"""PHN's conditioning: a hypernetwork maps λ to every parameter of any network (Navon et al., ICLR 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core.conditioning._generated import GeneratedLayer, GeneratedModel, swap_parameters
from palora_core.conditioning.base import Conditioning, conditionings
from palora_core.errors import UserError
from palora_core.ranges import CountOrNone, Range

SPREAD = 0.5  # how far λ moves a weight at the start, in standard deviations of its tensor
CONSTANT_SPREAD = 0.01  # the same for tensors of equal values (normalisation scales, zero biases)
CHUNKS = 105  # of the published hypernetworks for ResNet-18 and SegNet
CHUNK_STEP = 10_000


class HyperLayer(GeneratedLayer):
    """Mixin for a module whose parameters come out of a hypernetwork; it stores none."""


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them and none at the end."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class DenseGenerator(nn.Module):
    """λ → MLP T–h–h–h → per tensor one Linear(h, numel): 101 times the target for h = 100.

    The biases start as the given tensors, so the start is the given network plus a part that depends on λ.

    Args:
        tensors: the target's parameters.
        num_tasks: T.
        hidden: h.
    """

    def __init__(self, tensors: Sequence[Tensor], num_tasks: int, hidden: int) -> None:
        super().__init__()
        like: dict[str, Any] = {"device": tensors[0].device, "dtype": tensors[0].dtype}
        self.shapes = [tensor.shape for tensor in tensors]
        self.embed = perceptron([num_tasks, hidden, hidden, hidden]).to(**like)
        heads = [nn.Linear(hidden, t.numel(), **like) for t in tensors]
        self.heads = nn.ModuleList(heads)
        with torch.no_grad():
            size = self.embed(torch.full((num_tasks,), 1 / num_tasks, **like)).norm()
            for head, tensor in zip(heads, tensors):
                head.weight.normal_().mul_(_spread(tensor) / size)
                head.bias.copy_(tensor.reshape(-1))

    def forward(self, preference: Tensor) -> list[Tensor]:
        """The target's parameters at λ [T]."""
        embedding = self.embed(preference)
        return [head(embedding).view(shape) for head, shape in zip(self.heads, self.shapes)]


class ChunkGenerator(nn.Module):
    """λ and a learnt embedding per chunk → MLP → one matrix that all chunks share: C rows of ``size`` values.

    Its size is h · ``size``, a C/h-th of the target's, whatever that is. The values are laid one after another into the
    target's tensors, each scaled and shifted by the mean and standard deviation that the tensor started with: all share
    one matrix, but a convolution over 4,608 inputs needs smaller weights than one over 27. Of the published
    hypernetworks' 105 chunk embeddings only those that are used exist here, so every one is trained.

    Args:
        tensors: the target's parameters.
        num_tasks: T.
        hidden: h.
        size: values per chunk; 0 is a 105th of the target, rounded up to ten thousands.
        preference_width: width of Σ_t λ_t E_t.
        chunk_width: width of a chunk's embedding.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        tensors: Sequence[Tensor],
        num_tasks: int,
        hidden: int,
        size: int = 0,
        preference_width: int = 32,
        chunk_width: int = 64,
    ) -> None:
        super().__init__()
        like: dict[str, Any] = {"device": tensors[0].device, "dtype": tensors[0].dtype}
        self.shapes = [tensor.shape for tensor in tensors]
        self.total = sum(shape.numel() for shape in self.shapes)
        size = min(size or math.ceil(self.total / CHUNKS / CHUNK_STEP) * CHUNK_STEP, self.total)
        self.preferences = nn.Parameter(torch.randn(num_tasks, preference_width, **like))
        self.chunks = nn.Parameter(torch.randn(math.ceil(self.total / size), chunk_width, **like))
        widths = [preference_width + chunk_width, hidden, hidden, hidden]
        self.embed = perceptron(widths).to(**like)
        self.matrix = nn.Parameter(torch.empty(size, hidden, **like))
        self.register_buffer("scale", torch.stack([_spread(t) / SPREAD for t in tensors]).detach())
        self.register_buffer("shift", torch.stack([t.detach().mean() for t in tensors]))
        with torch.no_grad():
            centre = torch.full((num_tasks,), 1 / num_tasks, **like)
            self.matrix.normal_().div_(self._embeddings(centre).norm(dim=1).mean())  # outputs of about unit variance

    def _embeddings(self, preference: Tensor) -> Tensor:
        mixed = (preference @ self.preferences).expand(len(self.chunks), -1)
        return self.embed(torch.cat([mixed, self.chunks], 1))

    def forward(self, preference: Tensor) -> list[Tensor]:
        """The target's parameters at λ [T]."""
        flat = (self._embeddings(preference) @ self.matrix.t()).reshape(-1)[: self.total]
        pieces = flat.split([shape.numel() for shape in self.shapes])
        values = zip(pieces, self.shapes, self.scale, self.shift)
        return [torch.addcmul(shift, scale, piece).view(shape) for piece, shape, scale, shift in values]


def _spread(tensor: Tensor) -> Tensor:
    """Standard deviation that λ adds to a tensor at the start, a scalar (a fixed one where all values are equal)."""
    deviation = tensor.detach().std(correction=0)
    return torch.where(deviation > 0, SPREAD * deviation, torch.full_like(deviation, CONSTANT_SPREAD))


class HyperModel(GeneratedModel):
    """A network without parameters of its own, and the generator that makes them from λ."""

    kind: ClassVar[str] = "hypernetwork"

    def __init__(
        self, network: nn.Module, num_tasks: int, generator: nn.Module, places: list[list[tuple[str, str]]]
    ) -> None:
        super().__init__(network, num_tasks)
        self.generator = generator
        self.places = places

    def generate(self, preference: Tensor) -> dict[tuple[int, str], Tensor]:
        """Every parameter of the target, made from λ [T]."""
        modules = dict(self.network.named_modules())
        like = next(self.generator.parameters())
        pairs = zip(self.places, self.generator(preference.to(like)))
        return {(id(modules[path]), name): value for places, value in pairs for path, name in places}

    def basis(self) -> None:
        """None: the parameters are no affine function of λ."""
        return None


@conditionings.register("hypernetwork")
@dataclass(frozen=True)
class HyperNetwork(Conditioning):
    """A hypernetwork over all parameters of any network (PHN); BatchNorm statistics stay with the network.

    Attributes:
        hidden: width of the hypernetwork's layers.
        chunk_above: targets with more parameters than this are made in chunks, so that the hypernetwork stays about as
            large as they are; smaller ones get one output per parameter (101 times their size).
        chunk_size: values per chunk; 0 chooses it (the published hypernetwork for SegNet has 480000, twice as many).
    """

    controllable: ClassVar[bool] = True

    hidden: Annotated[int, Range(1, 65536)] = 100
    chunk_above: CountOrNone = 500_000
    chunk_size: CountOrNone = 0

    def condition(self, network: nn.Module, num_tasks: int) -> HyperModel:
        """Take the parameters out of ``network``, in place, and wrap it with a generator of them."""
        if self.hidden < 1 or self.chunk_size < 0:
            raise UserError(f"hidden is {self.hidden} and chunk_size {self.chunk_size}; expected at least 1 and 0")
        tensors = list(network.parameters())
        places = _places(network, tensors)
        model = HyperModel(network, num_tasks, nn.Module(), places)
        swap_parameters(network, HyperLayer, model.active, lambda module, name, parameter: None)
        if sum(tensor.numel() for tensor in tensors) > self.chunk_above:
            model.generator = ChunkGenerator(tensors, num_tasks, self.hidden, self.chunk_size)
        else:
            model.generator = DenseGenerator(tensors, num_tasks, self.hidden)
        return model


def _places(network: nn.Module, tensors: Sequence[Tensor]) -> list[list[tuple[str, str]]]:
    """Per parameter, every (module path, name) that reads it; several where weights are tied."""
    found: dict[int, list[tuple[str, str]]] = {id(tensor): [] for tensor in tensors}
    for path, module in network.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                found[id(parameter)].append((path, name))
    return [found[id(tensor)] for tensor in tensors]
