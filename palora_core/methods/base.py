"""A method is a conditioning, a balancer and a sampler, with the number of preferences a step trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.linear import Linear
from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.unconditioned import Unconditioned
from palora_core.ranges import Range, check_ranges
from palora_core.registry import Registry
from palora_core.samplers import Constant, PreferenceSampler

methods: Registry = Registry("method", package="palora_core.methods")


@dataclass(frozen=True)
class Method:
    """Base of all methods; a subclass sets other defaults, and each part can be replaced from the command line.

    Attributes:
        conditioning: how λ enters the network.
        balancer: how the T losses become gradients.
        sampler: which λ's a step trains on.
        num_preferences: M, how many of them.
    """

    title: ClassVar[str] = ""
    source: ClassVar[str] = ""
    # The one or two options that its paper calls decisive → the values that `palora tune` tries beside the rate.
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {}

    conditioning: Conditioning = field(default_factory=Unconditioned)
    balancer: Balancer = field(default_factory=Linear)
    sampler: PreferenceSampler = field(default_factory=Constant)
    num_preferences: Annotated[int, Range(1, 1000)] = 1

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def controllable(self) -> bool:
        """Whether one trained model answers every λ."""
        return self.conditioning.controllable
