"""Whether layers see the samples of a batch where λ per sample is put: along the first axis of what they read.

A layer is given a tensor, and nothing says which of its axis is the batch's: a network may put positions first, read a
table of relative positions, or fold samples and tokens into one axis. Were the sizes equal by accident, λ of one sample
would act on another's numbers. So before a model answers sample by sample for the first time, the network runs twice
on samples that are made unlike, the second time in another order, and what every layer reads has to be in the other
order too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from palora_core.adapters.branches import BranchingLayer

Seen = dict[BranchingLayer, list[Tensor]]


@torch.no_grad()
def misplaced(network: nn.Module, layers: Sequence[BranchingLayer], count: int, args: Any, kwargs: Any) -> list[Any]:
    """The layers that do not see ``count`` samples in order along their first axis, of those that this call reaches.

    No λ may be active while this runs. Layers that fold samples and what belongs to each into the first axis, the
    samples outside, are told so (``layer.folds``).
    """
    order = torch.arange(count).roll(1)
    training = {module: module.training for module in network.modules()}
    with torch.random.fork_rng(enabled=True):
        try:
            network.eval()
            runs = [_run(network, layers, _inputs((args, kwargs), count, rows)) for rows in (slice(None), order)]
        finally:
            for module, mode in training.items():
                module.training = mode
    return [layer for layer, seen in runs[0].items() if not _follows(layer, seen, runs[1].get(layer, []), order)]


def _run(network: nn.Module, layers: Sequence[BranchingLayer], inputs: Any) -> Seen:
    with _watching(layers) as seen:
        network(*inputs[0], **inputs[1])
    return seen


@contextmanager
def _watching(layers: Sequence[BranchingLayer]) -> Iterator[Seen]:
    """A block in which a number for every row that a layer reads is kept."""
    seen: Seen = {}

    def look(layer: Any, args: Any) -> None:
        x = args[0].double().reshape(*args[0].shape[:1], -1)
        weights = torch.sin(1.7 * torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device))
        seen.setdefault(layer, []).append(x @ weights)  # not a sum: normalised rows have one and the same

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _follows(layer: BranchingLayer, first: list[Tensor], second: list[Tensor], order: Tensor) -> bool:
    """Whether, in every call, rows come in the other order where samples do; notes whether samples are folded."""
    count = len(order)
    if len(first) != len(second):
        return False
    for one, other in zip(first, second):
        if len(one) != len(other) or len(one) % count or not len(one):
            return False
        rows, moved = one.view(count, -1), other.view(count, -1)
        scale = rows.nan_to_num(0, 0, 0).abs().max().clamp_min(1e-12)
        if not torch.allclose(rows[order] / scale, moved / scale, rtol=0, atol=1e-3, equal_nan=True):
            return False
        layer.folds = layer.folds or len(one) > count
    return True


def _inputs(tree: Any, count: int, rows: Any) -> Any:
    """A copy of ``tree`` with samples made unlike, in the order ``rows``."""

    def one(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return copy.deepcopy(leaf)
        leaf = leaf.detach()
        return _unlike(leaf)[rows].contiguous() if leaf.dim() and len(leaf) == count else leaf.clone()

    return pytree.tree_map(one, tree)


def _unlike(x: Tensor) -> Tensor:
    """Sample i times a number of its own, or, of whole numbers, turned round by i."""
    if x.is_floating_point():
        return x * torch.linspace(1, 1.5, len(x)).to(x).view(-1, *[1] * (x.dim() - 1))
    return x if x.dim() < 2 else torch.stack([row.roll(number, -1) for number, row in enumerate(x)])
