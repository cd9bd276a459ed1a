"""One low-rank adapter per linear layer, for methods whose parameters would else be all of a large network's."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.errors import UserError


class AdaptedLinear(nn.Linear):
    """W x + B A x with a frozen W (LoRA, Hu et al., ICLR 2022).

    Args:
        plain: the layer whose weights it takes over.
        rank: r of A [r, in] and B [out, r].
    """

    def __init__(self, plain: nn.Linear, rank: int) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight, self.bias = plain.weight, plain.bias
        bound = 1 / math.sqrt(plain.in_features)
        self.lora_a = nn.Parameter(torch.empty(rank, plain.in_features).uniform_(-bound, bound))
        self.lora_b = nn.Parameter(torch.zeros(plain.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's own product and the adapter's."""
        return super().forward(x) + F.linear(F.linear(x, self.lora_a), self.lora_b)


def adapt_(network: nn.Module, rank: int, upper: float = 0.5) -> None:
    """Freeze ``network`` and give the linear layers in the ``upper`` share of its blocks an adapter each, in place.

    Raises:
        UserError: it has no list of blocks.
    """
    network.requires_grad_(False)
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise UserError(f"{type(network).__name__} has no list of blocks, the upper ones of which could have adapters.")
    blocks = max(lists, key=lambda blocks: sum(p.numel() for p in blocks.parameters()))
    for block in list(blocks)[len(blocks) - max(1, round(upper * len(blocks))) :]:
        for parent in list(block.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, AdaptedLinear(child, rank))
