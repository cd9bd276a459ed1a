"""How much of a network carries adapters, and what does not: a layer that is left alone does not see λ."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from palora_core.adapters.hosted import CHILD
from palora_core.adapters.layer import LowRankLayer
from palora_core.adapters.offsets import CHILD as OFFSET
from palora_core.adapters.offsets import Offset
from palora_core.adapters.selection import is_adaptable, is_product
from palora_core.swapping import SwappedLayer

LITTLE = 0.5  # share of the weights below which a person is told


@dataclass(frozen=True)
class Coverage:
    """The weights of a network (parameters with two axes or more) with and without adapters.

    Attributes:
        adapted: name of a weight that has adapters → its number of elements.
        left_out: name of a weight that has none → (its number of elements, why).
    """

    adapted: Mapping[str, int]
    left_out: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, network: nn.Module) -> Coverage:
        """Look at every weight of ``network`` once."""
        adapted: dict[str, int] = {}
        left_out: dict[str, tuple[int, str]] = {}
        seen: set[int] = set()
        for path, module in network.named_modules():
            for name, parameter in module._parameters.items():
                own = isinstance(module, Offset) or (isinstance(module, LowRankLayer) and name.startswith("adapter_"))
                if parameter is None or parameter.dim() < 2 or own or id(parameter) in seen:
                    continue
                seen.add(id(parameter))
                place = f"{path}.{name}".lstrip(".")
                weight = isinstance(module, LowRankLayer) and name == "weight"
                if weight or not {CHILD + name, OFFSET + name}.isdisjoint(module._modules):
                    adapted[place] = parameter.numel()
                else:
                    left_out[place] = (parameter.numel(), _reason(module))
        return cls(adapted, left_out)

    @property
    def share(self) -> float:
        """Share of the weights' elements that have adapters."""
        own = sum(self.adapted.values())
        return own / max(1, own + sum(count for count, _ in self.left_out.values()))

    def __str__(self) -> str:
        rows = [f"{self.share:.0%} of the weights carry adapters ({len(self.adapted)} layers)."]
        rows += [f"  with     {name} ({count:,})" for name, count in self.adapted.items()]
        rows += [f"  without  {name} ({count:,}): {why}" for name, (count, why) in self.left_out.items()]
        return "\n".join(rows)

    def warn_if_little(self) -> None:
        """Tell the person who palorizes a network if λ reaches less than half of it."""
        if self.share >= LITTLE:
            return
        largest = max(self.left_out, key=lambda name: self.left_out[name][0])
        warnings.warn(
            f"Only {self.share:.0%} of the network's weights carry adapters, so λ changes little of it; the largest "
            f"without is {largest} ({self.left_out[largest][1]}). print(model.coverage()) lists all of them.",
            stacklevel=3,
        )


def _reason(module: nn.Module) -> str:
    if is_product(module):
        return "left out"
    if is_adaptable(module):
        return "to be selected"
    plain = module.plain_class if isinstance(module, SwappedLayer) else type(module)
    return f"of a {plain.__name__}, to be selected by this name"
