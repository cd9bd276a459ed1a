"""Answering λ after λ with the model's own weights: nothing is merged, so that a large network is held once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from palora_core import batches
from palora_core.batches import Caller
from palora_core.conditioning._prefix import Prefix
from palora_core.conditioning.base import ParetoModel
from palora_core.serving.live import LiveNetwork

MOST_ITEMS = 2  # of which what lies below the adapters is kept: a text, and the text with what it goes on with
MOST_MERGED = 512 * 2**20  # bytes that a merged network's buffers may take: W, one per task, and the mix


class SharedNetwork:
    """A large network at whatever λ it is asked for: its layers run as branches, beside the weights they have.

    What :class:`LiveNetwork` keeps takes T + 2 times the weights; this keeps none beside the model's own, or half of
    them in bfloat16. Safe for several threads, and for λ [B, T], one per sample, where the layers are.

    Args:
        model: the conditioned network, which is not copied, and from now on frozen.
        caller: how inputs become arguments; by default as the network's ``forward`` asks.

    Attributes:
        dtype: precision of weights and activations; predictions are returned in float32.
        exact, layers: as of a :class:`LiveNetwork`; here all layers have one precision.
    """

    exact = layers = 0

    def __init__(self, model: ParetoModel, caller: Caller | None = None) -> None:
        # A weight that is trained would be merged unless very few tokens read it: to be that of merge(λ) to the bit.
        self.model, self.caller = model.requires_grad_(False), caller or Caller(model.network)
        self.dtype = torch.float32
        self.num_tasks = model.num_tasks
        self._below: list[_Below] = []  # the item looked at last at the end

    def __call__(self, inputs: Any, preference: Any) -> Any:
        """Predictions (float32, in the network's own containers) for inputs of B items at λ [T] or [B, T].

        While one item is looked at, or two in turn, what lies below the first adapted layer is computed once for all λ.
        """
        inputs = batches.floating(inputs, self.dtype)
        with self._reusing(inputs):
            return batches.floating(self.caller.at(self.model, inputs, preference), torch.float32)

    @contextmanager
    def _reusing(self, inputs: Any) -> Iterator[None]:
        if batches.count(inputs) != 1:
            with torch.inference_mode():
                yield
            return
        with self._below_of(batches.tensors(inputs)).looking():
            yield

    def _below_of(self, item: list[Tensor]) -> _Below:
        """What is kept of one item; what is known of others is let go, but for the one looked at before."""
        kept = [below for below in self._below if below.thread == threading.get_ident()]
        found = next((below for below in kept if below.is_of(item)), None) or _Below(self.model.network, item)
        self._below = [*(below for below in kept if below is not found), found][-MOST_ITEMS:]
        return found

    @contextmanager
    def at(self, preference: Any) -> Iterator[nn.Module]:
        """A block in which the network is that of λ [T] or [B, T], for anything it can do."""
        with self.model.at(preference) as network:
            yield network

    def in_format(self, dtype: torch.dtype, exact: int = 0) -> SharedNetwork:
        """The same network in another number format; buffers (angles of positions, say) stay as they are."""
        other = copy.copy(self)
        if dtype != self.dtype:
            other.dtype, other.model, other._below = dtype, _rounded(self.model, dtype), []
        return other


class _Below(Prefix):
    """What a frozen network gives for one item, as far as λ does not change it."""

    def __init__(self, network: nn.Module, item: list[Tensor]) -> None:
        super().__init__(network)
        self._item = [tensor.clone() for tensor in item]
        self._passes = 0

    def is_of(self, item: list[Tensor]) -> bool:
        """Whether it is what is kept of ``item``."""
        return len(item) == len(self._item) and all(map(torch.equal, item, self._item))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """A pass for the item."""
        self._passes += 1
        # Results are compared by their versions, which tensors of inference mode have none of; nothing has a gradient.
        with torch.inference_mode(False), torch.enable_grad(), self.remembering():
            yield
        if self._passes == 2:  # parts that gave something else for another λ lie above
            self.parts = [part for part in self.parts if len(self.kept.get(part, ())) <= 1]
            self.kept = {part: self.kept[part] for part in self.parts if part in self.kept}


Served = LiveNetwork | SharedNetwork


def served(model: ParetoModel, example: Any = None, caller: Caller | None = None) -> Served:
    """What answers for a model: a :class:`LiveNetwork`, or where its buffers would be too large, the model itself."""
    weights = sum(parameter.numel() for parameter in model.network.parameters())
    if 4 * weights * (model.num_tasks + 2) <= MOST_MERGED:
        return LiveNetwork(model, example, caller=caller)
    return SharedNetwork(model, caller)


def _rounded(model: ParetoModel, dtype: torch.dtype) -> ParetoModel:
    """A copy whose parameters are rounded, without another one in full precision on the way."""
    rounded: dict[int, Tensor] = {}
    for parameter in model.parameters():
        value = parameter.detach()
        value = value.to(dtype) if value.is_floating_point() else value
        rounded[id(parameter)] = nn.Parameter(value, requires_grad=False)
    made: ParetoModel = copy.deepcopy(model, rounded)
    return made
