"""Differences made to agree before they are mixed: TIES's trimming and signs (Yadav et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def aligned(tensors: Sequence[Tensor], density: float) -> list[Tensor]:
    """The differences of T tasks in one tensor without their small entries, and without those against the majority.

    Of each task the share ``density`` of the entries that are largest in size is kept; then every entry whose sign is
    not that of the sum over tasks is set to zero. What is left is mixed by λ as a sum: TIES's mean over those tasks
    alone that agree divides by a number that depends on the entry, and would be no linear function of λ.

    Args:
        tensors: T of one shape.
        density: in (0, 1].
    """
    kept = [_trimmed(tensor, density) for tensor in tensors]
    elected = torch.stack(kept).sum(0).sign()
    return [torch.where(tensor.sign() == elected, tensor, 0) for tensor in kept]


def _trimmed(tensor: Tensor, density: float) -> Tensor:
    count = max(1, round(density * tensor.numel()))
    if count >= tensor.numel():
        return tensor
    smallest = tensor.abs().flatten().kthvalue(tensor.numel() - count + 1).values
    return torch.where(tensor.abs() >= smallest, tensor, 0)
