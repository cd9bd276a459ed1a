"""Parameters that are no matrices (biases, scales of normalisation, positions) as functions of λ: p + Σ_t λ_t δ_t.

Low-rank adapters leave them alone. Networks that were fine-tuned whole differ in them, too, and are mixed by these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from palora_core.active import ActivePreference
from palora_core.adapters.hosted import RecurrentHost
from palora_core.errors import UserError, quoted
from palora_core.machine import full_precision
from palora_core.normalisation import AnchoredBatchNorm
from palora_core.swapping import SwappedLayer, swap

CHILD = "offset_"


class Offset(nn.Module):
    """T additions to one parameter of another module, its host, which has them as a child ``offset_<name>``.

    Attributes:
        deltas: δ [T, *shape]; zeros at the start.
    """

    deltas: nn.Parameter

    def __init__(self, host: nn.Module, name: str, deltas: nn.Parameter, active: ActivePreference) -> None:
        super().__init__()
        self.__dict__["at"] = (host, name)  # not a child: the host has this as its own
        self.active, self.deltas = active, deltas

    @property
    def base(self) -> nn.Parameter:
        """The host's own parameter."""
        host, name = self.__dict__["at"]
        parameter: nn.Parameter = host._parameters[name]
        return parameter

    @property
    def value(self) -> Tensor:
        """The parameter at the active preference; the host's own while none is.

        Raises:
            UserError: there is one λ per sample, and so no one parameter.
        """
        preference = self.active.preference
        if preference is None:
            return self.base
        if preference.dim() > 1:
            raise UserError(
                f"{self.__dict__['at'][1]} of a {type(self.__dict__['at'][0]).__name__} depends on the preference, and "
                "there is one preference per sample: give one λ [T] for the whole batch."
            )
        return self.at_preference(preference)

    def at_preference(self, preference: Tensor) -> Tensor:
        """p + Σ_t λ_t δ_t for λ [T]."""
        with full_precision(self.base):
            return self.base + torch.tensordot(preference.to(self.deltas), self.deltas, 1).to(self.base.dtype)


class OffsetHost(SwappedLayer):
    """Mixin: parameters with offsets are computed where the module's own code reads them."""

    prefix = "Offset"

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__["_modules"].get(CHILD + name)
        return super().__getattr__(name) if found is None else found.value


def insert_offsets(
    network: nn.Module, names: Iterable[str], num_tasks: int, active: ActivePreference
) -> dict[str, Offset]:
    """Give the named parameters T offsets of zero, in place, after adapters and before statistics; name → offset.

    Raises:
        UserError: the network has no such parameter, or it is one of a recurrent layer without adapters.
    """
    made: dict[int, nn.Parameter] = {}
    found: dict[str, Offset] = {}
    for name in names:
        path, _, key = name.rpartition(".")
        host = dict(network.named_modules()).get(path)
        base = None if host is None else host._parameters.get(key)
        if host is None or base is None:
            raise UserError(
                f"{type(network).__name__} has no parameter {quoted(name)}, which depends on the preference in the "
                "model; give the network that it was made of."
            )
        if isinstance(host, nn.RNNBase) and not isinstance(host, RecurrentHost):
            raise UserError(f"{quoted(name)} of a {type(host).__name__} can depend on λ only where its matrices do.")
        if not isinstance(host, OffsetHost):
            swap(host, OffsetHost)
        deltas = made.setdefault(id(base), nn.Parameter(base.detach().new_zeros(num_tasks, *base.shape)))
        found[name] = Offset(host, key, deltas, active)
        host.add_module(CHILD + key, found[name])
    return found


def offsets_of(network: nn.Module) -> dict[str, Offset]:
    """All offsets of a network by the names of their parameters."""
    return {
        f"{path}.{key.removeprefix(CHILD)}".lstrip("."): child
        for path, module in network.named_modules()
        for key, child in module._modules.items()
        if isinstance(child, Offset)
    }


def merge_offsets_(network: nn.Module, preference: Tensor) -> None:
    """Make all parameters with offsets, in place, those of λ [T], and their modules what they were."""
    made: dict[int, tuple[Offset, nn.Parameter]] = {}  # offsets are kept, so that the identity of each stays its own
    for module in list(network.modules()):
        if not isinstance(module, OffsetHost):
            continue
        if isinstance(module, AnchoredBatchNorm):
            module.plain_(preference)  # first: it was put on top
        for key, child in [(key, one) for key, one in module._modules.items() if isinstance(one, Offset)]:
            if id(child.deltas) not in made:
                own = nn.Parameter(child.at_preference(preference), requires_grad=child.base.requires_grad)
                made[id(child.deltas)] = child, own
            del module._modules[key]
            module._parameters[key.removeprefix(CHILD)] = made[id(child.deltas)][1]
        module.unswap_()
