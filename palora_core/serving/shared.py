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
        self._below: _Below | None = None

    def __call__(self, inputs: Any, preference: Any) -> Any:
        """Predictions (float32, in the network's own containers) for inputs of B items at λ [T] or [B, T].

        While one item is looked at, what lies below the first adapted layer is computed once for all λ.
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
        below = self._below
        if below is None or below.thread != threading.get_ident():
            below = self._below = _Below(self.model.network)
        with below.looking_at(inputs):
            yield

    @contextmanager
    def at(self, preference: Any) -> Iterator[nn.Module]:
        """A block in which the network is that of λ [T] or [B, T], for anything it can do."""
        with self.model.at(preference) as network:
            yield network

    def in_format(self, dtype: torch.dtype, exact: int = 0) -> SharedNetwork:
        """The same network in another number format; buffers (angles of positions, say) stay as they are."""
        other = copy.copy(self)
        if dtype != self.dtype:
            other.dtype, other.model, other._below = dtype, _rounded(self.model, dtype), None
        return other


class _Below(Prefix):
    """What a frozen network gives for one item, as far as λ does not change it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self._item: list[Tensor] = []
        self._passes = 0

    @contextmanager
    def looking_at(self, inputs: Any) -> Iterator[None]:
        """A pass for these inputs; what is known of others is let go."""
        item = batches.tensors(inputs)
        if len(item) != len(self._item) or not all(map(torch.equal, item, self._item)):
            self.clear()
            self._item, self._passes = item, 0
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
