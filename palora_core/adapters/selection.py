"""What of a network gets adapters: layers by name, pattern, type or a function, parameters by name; and what cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from palora_core.adapters.hosted import HOSTS, hosted_weights
from palora_core.adapters.layer import is_opaque
from palora_core.adapters.raw_parameters import RawParameter, chosen_parameters
from palora_core.errors import UserError, quoted

ADAPTABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Selector = str | type[nn.Module] | Callable[[str, nn.Module], bool]
Selection = Selector | Sequence[Selector] | None
Place = nn.Module | RawParameter


def is_plain(layer: nn.Module) -> bool:
    """A linear layer or a convolution: what methods adapt, as the paper does."""
    return isinstance(layer, ADAPTABLE)


def is_product(layer: nn.Module) -> bool:
    """A layer that multiplies by its weights: also transposed convolutions, attention with packed projections,
    recurrent layers, and transformers' Conv1D (known by its shape).
    """
    weight = layer._parameters.get("weight")
    conv1d = type(layer).__name__ == "Conv1D" and weight is not None and weight.shape[1:] == (getattr(layer, "nf", 0),)
    return is_plain(layer) or isinstance(layer, (*TRANSPOSED, *HOSTS)) or conv1d


def is_adaptable(layer: nn.Module) -> bool:
    """A layer that can have adapters: also embeddings, where they are asked for or tied to one that has them."""
    return is_product(layer) or isinstance(layer, nn.Embedding)


def chosen_layers(
    network: nn.Module,
    select: Selection = None,
    exclude: Selection = None,
    kinds: Callable[[nn.Module], bool] = is_plain,
) -> list[tuple[str, Place]]:
    """The layers that ``select`` takes and ``exclude`` leaves, in module order, and the parameters.

    Both are one selector or several: a dotted name or a pattern (``"trunk"``, ``"*.q_proj"``), which means a layer or
    everything inside of a part; a type (``nn.Conv2d``, or that of a part); or ``function(name, layer)``. A name or
    pattern that fits no layer means parameters (``"blocks.*.proj_weight"``).

    Args:
        network: any module.
        select: what to take of all that can have adapters; what ``kinds`` takes if None, and what is tied to it.
        exclude: what to leave out of that; nothing if None.
        kinds: whether a layer is taken if nothing is selected.

    Raises:
        UserError: a name, pattern or type that nothing in the network has, or nothing is left.
    """
    layers = [(name, layer) for name, layer in network.named_modules() if is_adaptable(layer)]
    own = {key for _, layer in layers if kinds(layer) for key in _identity(layer)}
    modules = dict(network.named_modules())
    taken, left = (_selectors(option, value) for option, value in (("select", select), ("exclude", exclude)))
    unknown = [s for s in taken if _fits_none(s, dict(layers), modules)]
    names, own_left = ([s for s in some if isinstance(s, str)] for some in (unknown, left))
    raw, meant = chosen_parameters(network, names, own_left, layers)
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    unknown_left = [s for s in left if _fits_none(s, modules, modules) and not _names_one(s, parameters)]
    for option, selectors in (("select", [s for s in unknown if s not in meant]), ("exclude", unknown_left)):
        for selector in selectors:
            found = ", ".join(list(dict(layers))[:6])
            raise UserError(f"{option}={quoted(selector)} fits no layer; layers that can have adapters: {found}, …")
    chosen: list[tuple[str, Place]] = [
        (name, layer)
        for name, layer in layers
        if (not own.isdisjoint(_identity(layer)) if select is None else any(_matches(s, name, modules) for s in taken))
        and not any(_matches(s, name, modules) for s in left)
    ]
    chosen += [(one.name, one) for one in _outside(raw, chosen)]
    if not chosen:
        none = "has no layer left that select and exclude take" if own else "has no Linear or Conv layer to adapt"
        raise UserError(f"{type(network).__name__} {none}; palorize needs at least one of them.")
    return chosen


def _fits_none(selector: Selector, among: Iterable[str], modules: dict[str, nn.Module]) -> bool:
    return isinstance(selector, str | type) and not any(_matches(selector, name, modules) for name in among)


def _names_one(selector: Selector, names: Iterable[str]) -> bool:
    return isinstance(selector, str) and any(fnmatchcase(name, selector) for name in names)


def _outside(raw: Sequence[RawParameter], layers: Sequence[tuple[str, Place]]) -> list[RawParameter]:
    """The parameters of ``raw`` that no chosen layer has adapters for.

    Raises:
        UserError: one lies in a layer that has adapters of its own.
    """
    owners = {id(layer): (name, layer) for name, layer in layers}
    for one in raw:
        name, layer = owners.get(id(one.owner), ("", None))
        if layer is not None and not isinstance(layer, HOSTS):
            raise UserError(
                f"The parameter {quoted(one.name)} lies in the layer {name!r}, which has adapters itself; leave one of "
                "them out with exclude=."
            )
    return [one for one in raw if id(one.owner) not in owners]


def _identity(layer: nn.Module) -> set[int]:
    """What two layers with one weight have in common."""
    return {id(layer), *(id(p) for p in (layer._parameters.get("weight"),) if p is not None)}


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
    paths = [".".join(parts[:count]) for count in range(len(parts), 0, -1)] or [""]  # itself, then what it is inside
    if isinstance(selector, str):
        return any(fnmatchcase(path, selector) for path in paths)
    return any(isinstance(modules[path], selector) for path in paths)


def value_of(option: str, value: Any, name: str, modules: dict[str, Any]) -> Any:
    """``value``, or, where it is a mapping from selectors, what the last one that fits the place ``name`` has.

    Raises:
        UserError: none fits.
    """
    if not isinstance(value, Mapping):
        return value
    fitting = [own for selector, own in value.items() if _matches(selector, name, modules)]
    if not fitting:
        raise UserError(f"{option} says nothing for the layer {name!r}; add '*' in front, for all that is not named.")
    return fitting[-1]


def check_adaptable(network: nn.Module, chosen: Sequence[tuple[str, Place]]) -> None:
    """Refuse layers that cannot have adapters.

    Raises:
        UserError: a weight that is tied to one without adapters; lazy or parametrised layers; odd embeddings.
    """
    places = {  # a module in two places is one layer, with one set of adapters
        (id(one.owner), one.key): (one.name, one.value) for name, place in chosen for one in _weights(name, place)
    }
    adapted = {id(parameter): name for name, parameter in places.values()}
    for name, module in network.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is None or id(parameter) not in adapted or (id(module), key) in places:
                continue
            raise UserError(
                f"The weights {adapted[id(parameter)]} and {name}.{key} are tied (one tensor in two places) "
                "and only one of them would have adapters; untie them, select both, or leave both out with exclude=."
            )
    for name, layer in chosen:
        if isinstance(layer, (RawParameter, *HOSTS)):
            continue
        if isinstance(layer, nn.Embedding) and (layer.sparse or layer.max_norm is not None):
            raise UserError(f"The embedding {name!r} is sparse or has max_norm, and so cannot have adapters.")
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


def _weights(name: str, place: Place) -> list[RawParameter]:
    """What gets adapters at a chosen place."""
    if isinstance(place, RawParameter):
        return [place]
    keys = hosted_weights(place) if isinstance(place, HOSTS) else ("weight",)
    own = [RawParameter(f"{name}.{key}".lstrip("."), place, key) for key in keys]
    return [one for one in own if place._parameters.get(one.key) is not None]
