"""Which layers of a network get adapters: named, by pattern, by type or by a function; and what cannot have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from palora_core.adapted import is_opaque
from palora_core.errors import UserError, quoted

ADAPTABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

Selector = str | type[nn.Module] | Callable[[str, nn.Module], bool]
Selection = Selector | Sequence[Selector] | None


def chosen_layers(
    network: nn.Module, select: Selection = None, exclude: Selection = None
) -> list[tuple[str, nn.Module]]:
    """The linear and convolution layers that ``select`` takes and ``exclude`` leaves, in module order.

    Both are one selector or several: a dotted name or a pattern (``"trunk"``, ``"*.q_proj"``), which means a layer or
    everything inside of a part; a type (``nn.Conv2d``, or that of a part); or ``function(name, layer)``.

    Args:
        network: any module.
        select: what to take; everything if None.
        exclude: what to leave out of that; nothing if None.

    Raises:
        UserError: a name, pattern or type that nothing in the network has, or nothing is left.
    """
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, ADAPTABLE)]
    modules = dict(network.named_modules())
    taken, left = (_selectors(option, value) for option, value in (("select", select), ("exclude", exclude)))
    for option, selectors, among in (("select", taken, dict(layers)), ("exclude", left, modules)):
        for selector in selectors:
            if isinstance(selector, str | type) and not any(_matches(selector, n, modules) for n in among):
                found = ", ".join(list(dict(layers))[:6])
                raise UserError(f"{option}={quoted(selector)} fits no layer; layers that can have adapters: {found}, …")
    chosen: list[tuple[str, nn.Module]] = [
        (name, layer)
        for name, layer in layers
        if (select is None or any(_matches(s, name, modules) for s in taken))
        and not any(_matches(s, name, modules) for s in left)
    ]
    if not chosen:
        none = (
            "has no Linear or Conv layer to adapt" if not layers else "has no layer left that select and exclude take"
        )
        raise UserError(f"{type(network).__name__} {none}; palorize needs at least one of them.")
    return chosen


def _selectors(option: str, value: Selection) -> list[Selector]:
    several = isinstance(value, Iterable) and not isinstance(value, str | type)
    selectors = [] if value is None else list(value) if several else [value]  # type: ignore[arg-type]
    for selector in selectors:
        if not (isinstance(selector, str) or callable(selector)):
            raise UserError(
                f"{option} holds {quoted(selector)}; expected names, patterns, types of layers or functions."
            )
    return selectors  # type: ignore[return-value]


def _matches(selector: Selector, name: str, modules: dict[str, nn.Module]) -> bool:
    if not isinstance(selector, str | type):
        return bool(selector(name, modules[name]))
    parts = name.split(".") if name else []
    paths = [".".join(parts[:count]) for count in range(len(parts), 0, -1)] or [""]  # the layer, then what it is inside
    if isinstance(selector, str):
        return any(fnmatchcase(path, selector) for path in paths)
    return any(isinstance(modules[path], selector) for path in paths)


def check_adaptable(network: nn.Module, chosen: Sequence[tuple[str, nn.Module]]) -> None:
    """Refuse layers that cannot have adapters of their own.

    Raises:
        UserError: tied weights, lazy or parametrised layers.
    """
    owners: dict[int, tuple[str, nn.Module]] = {}
    adapted = {id(layer._parameters.get("weight")) for _, layer in chosen}
    for name, module in network.named_modules():  # a module in two places is one layer, with one set of adapters
        for key, parameter in module._parameters.items():
            path = f"{name}.{key}".lstrip(".")
            owner, first = owners.setdefault(id(parameter), (path, module))
            if parameter is not None and first is not module and id(parameter) in adapted:
                raise UserError(
                    f"The weights {owner} and {path} are tied (one tensor in two places), so they "
                    "cannot have adapters of their own; untie them, or leave them out with exclude=."
                )
    for name, layer in chosen:
        if isinstance(layer._parameters.get("weight"), nn.parameter.UninitializedParameter):
            raise UserError(f"Layer {name!r} is lazy and has no shape yet; run one batch through the network first.")
        if layer._parameters.get("weight") is not None and is_opaque(layer) and not isinstance(layer, nn.Linear):
            raise UserError(
                f"Layer {name!r} ({type(layer).__name__}) has a quantised weight; only linear layers can have adapters "
                "beside one. Leave it out with exclude=."
            )
        if layer._parameters.get("weight") is None:
            raise UserError(
                f"Layer {name!r} ({type(layer).__name__}) does not own a plain weight (it is parametrised); remove the "
                "parametrisation first, or leave the layer out with exclude=."
            )
