"""Learning rates of parts of a network: an encoder that was trained before moves less than a new decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from palora_core.errors import UserError, quoted


def part_factors(text: str) -> dict[str, float]:
    """``"trunk.features=0.2, heads=2"`` → factors on the learning rate by the name of the part.

    Raises:
        UserError: not of that form, or a factor that is no positive number.
    """
    found: dict[str, float] = {}
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        name, sign, number = piece.partition("=")
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not (sign and name.strip() and 0 < factor < math.inf):
            raise UserError(
                f"lr_parts must be parts with positive factors, as trunk.features=0.2, separated by commas; found "
                f"{quoted(piece)}."
            )
        found[name.strip()] = factor
    return found


def by_part(groups: Sequence[dict[str, Any]], network: nn.Module, factors: dict[str, float]) -> list[dict[str, Any]]:
    """Parameter groups in which every part's own factor multiplies the learning rate; the innermost part counts.

    Args:
        groups: with ``params`` and ``lr`` each, as :meth:`ParetoModel.parameter_groups` gives them.
        network: whose parts the names are of; what is inside of a part (adapters, too) belongs to it.
        factors: part → factor.

    Raises:
        UserError: the network has no such part, or nothing in it is trained.
    """
    own: dict[int, float] = {}
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    modules = dict(network.named_modules())
    for name, factor in sorted(factors.items(), key=lambda item: item[0].count(".")):
        if name not in modules:
            known = ", ".join(child for child, _ in network.named_children())
            raise UserError(
                f"lr_parts: {type(network).__name__} has no part {quoted(name)}; it has {known} and what is inside; "
                "name one of these, or set lr_parts= to nothing."
            )
        inside = {id(parameter) for parameter in modules[name].parameters()} & trained
        if not inside:
            raise UserError(f"lr_parts: nothing in {quoted(name)} is trained itself; set lr_parts= without it.")
        own.update(dict.fromkeys(inside, factor))
    return [part for group in groups for part in _divided(group, own)]


def _divided(group: dict[str, Any], own: dict[int, float]) -> list[dict[str, Any]]:
    """One group per factor that its parameters have, those without any first."""
    parts: dict[float, list[Any]] = {1.0: []}
    for parameter in group["params"]:
        parts.setdefault(own.get(id(parameter), 1.0), []).append(parameter)
    return [{**group, "params": list_, "lr": group["lr"] * factor} for factor, list_ in parts.items() if list_]
