"""Matrices that a module reads as they are (``x @ self.proj_weight``), chosen by their names in the network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from palora_core.adapters.hosted import CHILD
from palora_core.errors import UserError, quoted


@dataclass(frozen=True)
class RawParameter:
    """A parameter of a module that is no layer of ours: ``name`` in the network, ``key`` in its ``owner``."""

    name: str
    owner: nn.Module
    key: str

    @property
    def value(self) -> nn.Parameter:
        """The parameter itself."""
        parameter = self.owner._parameters[self.key]
        assert parameter is not None
        return parameter


def raw_parameters(network: nn.Module) -> list[RawParameter]:
    """Every parameter of ``network`` by its name."""
    return [
        RawParameter(f"{path}.{key}".lstrip("."), owner, key)
        for path, owner in network.named_modules()
        for key, parameter in owner._parameters.items()
        if parameter is not None
    ]


def chosen_parameters(
    network: nn.Module, patterns: Iterable[str], left: Collection[str], layers: Sequence[tuple[str, nn.Module]]
) -> tuple[list[RawParameter], set[str]]:
    """The parameters that ``patterns`` name.

    A pattern that fits a layer means layers. Of the parameters that one fits, those are taken that can have adapters,
    and one of them has to be.

    Args:
        network: any module.
        patterns: names or patterns (``"blocks.*.proj_weight"``).
        left: names or patterns of what is left out.
        layers: the layers that can have adapters, by name; their weights are chosen by the layers' names.

    Returns:
        The parameters in the order of the network, and the patterns that mean parameters.

    Raises:
        UserError: a pattern fits parameters none of which can have adapters; says why the first one cannot.
    """
    known, by_id = raw_parameters(network), {id(layer): name for name, layer in layers}
    chosen: set[str] = set()
    meant: set[str] = set()
    for pattern in patterns:
        fitting = [raw for raw in known if fnmatchcase(raw.name, pattern)]
        reasons = {raw.name: _reason(raw, by_id) for raw in fitting}
        fine = [name for name, reason in reasons.items() if reason is None]
        if fitting and not fine:
            raise UserError(f"select={quoted(pattern)} cannot have adapters: {next(iter(reasons.values()))}.")
        chosen.update(fine)
        meant.update([pattern] if fine else [])
    kept = [raw for raw in known if raw.name in chosen and not any(fnmatchcase(raw.name, p) for p in left)]
    return kept, meant


def _reason(raw: RawParameter, layers: dict[int, str]) -> str | None:
    """Why a parameter cannot have adapters, if it cannot."""
    parameter, place = raw.value, quoted(raw.name)
    if CHILD + raw.key in raw.owner._modules:
        return f"{place} already has adapters; palorize a plain network (model.merge gives one)"
    if raw.key == "weight" and id(raw.owner) in layers:
        return f"{place} is the weight of a layer, which is selected as {layers[id(raw.owner)]!r}"
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        return f"{place} is lazy and has no shape yet; run one batch through the network first"
    if not parameter.is_floating_point():
        return f"{place} holds {parameter.dtype}; a low-rank update needs real floating-point numbers"
    if parameter.dim() < 2:
        return f"{place} has the shape {list(parameter.shape)}; a low-rank update needs two axes or more"
    return None
