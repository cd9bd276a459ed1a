"""Weights that are not called ``weight``: packed projections of attention, the matrices of recurrent layers, and what
any other module has and is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from palora_core.adapters.attention import branched_attention, can_branch
from palora_core.adapters.layer import LowRankLayer
from palora_core.swapping import SwappedLayer, swap

HOSTS = (nn.MultiheadAttention, nn.LSTM, nn.GRU, nn.RNN)
CHILD = "low_rank_"


def hosted_weights(module: nn.Module) -> Mapping[str, nn.Parameter]:
    """The matrices of a module of :data:`HOSTS` that can have adapters; none of any other module."""
    if not isinstance(module, HOSTS):
        return {}
    return {n: p for n, p in module._parameters.items() if p is not None and p.dim() == 2}


class HostedWeight(LowRankLayer):
    """The adapters of one matrix of another module, its host, which has them as a child ``low_rank_<name>``."""

    def __init__(self, host: nn.Module, name: str) -> None:
        nn.Module.__init__(self)
        self.__dict__["at"] = (host, name)  # not a child: the host has this as its own

    def __reduce_ex__(self, protocol: Any) -> Any:
        return object.__reduce_ex__(self, protocol)

    @property
    def obstacle(self) -> str | None:
        """The host reads the matrix as a whole, unless it is attention that can do otherwise."""
        if can_branch(self.__dict__["at"][0]):
            return None
        return f"a {type(self.__dict__['at'][0]).__name__} reads its matrix as a whole"

    @property
    def base_weight(self) -> nn.Parameter:
        """The host's own matrix, without adapters."""
        host, name = self.__dict__["at"]
        return host._parameters[name]

    def describe(self) -> dict[str, Any]:
        """Of one form, whatever the number of axes: rows × last axis."""
        return {"rank": self.adapter_rank, "alpha": self.adapter_alpha}

    def weight_name(self, path: str) -> str:
        """The matrix's name in the network, ``path`` being this module's."""
        host, _, _ = path.rpartition(CHILD)
        return host + self.__dict__["at"][1]

    def plain_(self, weight: Tensor) -> None:
        """Take these adapters out of the host, in place, whose matrix becomes ``weight``."""
        host, name = self.__dict__["at"]
        own = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
        del host._modules[CHILD + name]
        host._parameters[name] = own
        if not any(child.startswith(CHILD) for child in host._modules):
            host.unswap_()


class Host(SwappedLayer):
    """Mixin: matrices with adapters are computed where the module's own code reads them."""

    prefix: ClassVar[str] = "LowRank"

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__["_modules"].get(CHILD + name)
        return super().__getattr__(name) if found is None else found.weight


class AttentionHost(Host):
    """The same for torch's attention, which can run as branches, see :mod:`palora_core.adapters.attention`."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As torch has it."""
        packed = self._modules.get(CHILD + "in_proj_weight")
        found = None
        if isinstance(packed, LowRankLayer) and can_branch(self):
            found = branched_attention(self, packed, *args, **kwargs)
        return super().forward(*args, **kwargs) if found is None else found


class RecurrentHost(Host):
    """The same for LSTM, GRU and RNN, which read a second list of their weights."""

    _flat_weights_names: list[str]

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, value: Any) -> None:
        """Nothing: the list is made where it is read."""

    def flatten_parameters(self) -> None:
        """Nothing: computed weights lie where they are computed."""

    def _update_flat_weights(self) -> None:
        """Nothing: see ``_flat_weights``."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        make, arguments, state = super().__reduce_ex__(protocol)
        return make, arguments, {key: value for key, value in state.items() if key != "_flat_weight_refs"}

    def unswap_(self) -> None:
        """As every swapped layer, with the second list as it was."""
        super().unswap_()
        self._init_flat_weights()


def host_adapters(module: nn.Module, names: Iterable[str] | None = None) -> list[HostedWeight]:
    """Make ``module`` the host of adapters, which have no tensors yet, for each of its matrices or the named ones."""
    names = list(hosted_weights(module) if names is None else names)
    if not isinstance(module, Host):
        attention = AttentionHost if isinstance(module, nn.MultiheadAttention) else Host
        swap(module, RecurrentHost if isinstance(module, nn.RNNBase) else attention)
        module.__dict__.pop("_flat_weights", None)
    children = [HostedWeight(module, name) for name in names]
    for name, child in zip(names, children):
        module.add_module(CHILD + name, child)
    return children


def hosted_name(path: str) -> str | None:
    """The name of the parameter whose adapters are the module ``path``; None of a layer that has its own."""
    host, found, name = path.rpartition(CHILD)
    return host + name if found else None
