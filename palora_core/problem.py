"""A problem: network, objectives, data, and where the hypervolume is measured from. All that the trainer knows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from palora_core import batches, distributed
from palora_core.batches import Batch, Passing
from palora_core.data import LoaderSplit, Part, Unpack
from palora_core.errors import UserError
from palora_core.inputs import Input, as_input
from palora_core.networks.base import networks
from palora_core.objectives import Objective, check_objectives
from palora_core.sources import Source, as_sources
from palora_core.storage.cards import OWN

SPLITS = ("train", "val", "test")
HELD_OUT = 10  # one item in ten is for validation where nobody says which


@dataclass(frozen=True)
class NamedNetwork:
    """A registered network with its options: what a card can name, and another process can build again.

    Attributes:
        name: in the registry of networks.
        options: of its factory.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, pretrained: bool = True) -> nn.Module:
        """A new network; without ``pretrained`` weights where others replace them (the machine need not have them)."""
        options = dict(self.options)
        if "pretrained" in options and not pretrained:
            options["pretrained"] = False
        network: nn.Module = networks.get(self.name)(**options)
        return network


@dataclass(frozen=True)
class About:
    """What a card says of a problem's data.

    Attributes:
        title: short, for headings.
        summary: one sentence on the data.
        citation: where they come from.
        licence: of data and weights.
        limits: what a model trained on them is not for.
    """

    title: str = ""
    summary: str = ""
    citation: str = ""
    licence: str = ""
    limits: str = "Not validated for any use."


@dataclass
class Problem:
    """What is to be learnt, with everything that is needed to train, evaluate and show it.

    Args:
        network: a module (copied before it is trained), a function that makes one, or a :class:`NamedNetwork`.
        objectives: T objectives in the order of λ, or name → function of (outputs, batch).
        train: training data: see :func:`palora_core.sources.as_sources` for all that it may be. A function is called
            when the data are first needed.
        val: likewise, for the fronts during training; a tenth of the training items if None.
        test: likewise, for the front of the finished model; the validation items if None.
        reference: hypervolume reference [T]; proposed from the first front if None.
        name: of a registered benchmark that makes this problem, so that another process can.
        options: of that benchmark.
        unpack: batch as loaded → (inputs, targets), where it is not a pair or a mapping.
        passing: how inputs become arguments of the network's forward, see :class:`palora_core.batches.Caller`.
        augment: training batch and generator → training batch.
        inputs: what its inputs are to people, see :mod:`palora_core.inputs`; shown as numbers if nobody says.
        about: for cards.

    Raises:
        UserError: parts that do not fit each other.
    """

    network: nn.Module | Callable[..., nn.Module]
    objectives: Any
    train: Any
    val: Any = None
    test: Any = None
    reference: Sequence[float] | None = None
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    unpack: Unpack | None = None
    passing: Passing = "auto"
    augment: Callable[[Batch, torch.Generator], Batch] | None = None
    inputs: Input | str = field(default_factory=Input)
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        self.objectives: tuple[Objective, ...] = check_objectives(self.objectives)
        if not callable(self.network):
            found = type(self.network).__name__
            raise UserError(f"The network is a {found}; expected a module or a function that makes one.")
        if self.reference is not None and len(self.reference) != len(self.objectives):
            raise UserError(f"The reference has {len(self.reference)} entries for {len(self.objectives)} objectives.")
        self.inputs = as_input(self.inputs)
        batches.Caller(None, self.passing)

    @cached_property
    def sources(self) -> dict[str, tuple[Source, ...]]:
        """``train``, ``val`` and ``test``, each from one source or several; read when they are first asked for."""
        with distributed.one_first():
            given = {split: data() if callable(data := getattr(self, split)) else data for split in SPLITS}
        found = {
            split: as_sources(data, self.objectives, self.unpack) for split, data in given.items() if data is not None
        }
        if "train" not in found:
            raise UserError("A problem needs training data; give train=.")
        if "val" not in found:
            found["train"], found["val"] = _hold_out(found["train"])
        found.setdefault("test", found["val"])
        return found

    def called(self, split: str) -> str:
        """What a split's figures are to be called: validation items that stand in for test items are no test split."""
        return "val" if split == "test" and self.test is None else split

    def items(self, split: str) -> int:
        """Number of items in a split, over all of its sources."""
        return sum(len(source.split) for source in self.sources[split])

    def build(self, pretrained: bool = True) -> nn.Module:
        """The network, untrained; a module that was given is copied."""
        if isinstance(self.network, NamedNetwork):
            return self.network(pretrained)
        network = copy.deepcopy(self.network) if isinstance(self.network, nn.Module) else self.network()
        if not isinstance(network, nn.Module):
            raise UserError(f"The network's function gave a {type(network).__name__}; expected a torch.nn.Module.")
        return network

    def named_network(self) -> dict[str, Any]:
        """The network for a card: its registered name and options, or for people the class it is of."""
        if isinstance(self.network, NamedNetwork):
            return {"name": self.network.name, "options": dict(self.network.options)}
        kind = type(self.network) if isinstance(self.network, nn.Module) else self.network
        return {"name": OWN, "options": {}, "class": f"{kind.__module__}.{getattr(kind, '__qualname__', kind)}"}


def _hold_out(sources: tuple[Source, ...]) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Every source without, and only with, a random tenth of its items, the same in every process."""
    kept, held = [], []
    for source in sources:
        if isinstance(source.split, LoaderSplit):
            _ = source.split.steps  # a loader without an end is the first thing to be said of it
            raise UserError("A loader cannot be divided, so validation data must be given; add val=.")
        count = len(source.split)
        if count < 2:
            raise UserError(f"The training data have {count} items; at least 2 are needed to keep one for validation.")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        size = max(1, count // HELD_OUT)
        kept.append(Source(Part(source.split, order[size:]), source.objectives))
        held.append(Source(Part(source.split, order[:size]), source.objectives))
    return tuple(kept), tuple(held)
