"""Tensor functions that several tasks share."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy_terms(logits: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of logits [B, C, ...] over labels [B, ...] other than `ignore_index`, and their number."""
    total = F.cross_entropy(single(logits), labels, ignore_index=ignore_index, reduction="sum")
    return total, (labels != ignore_index).sum()


def masked_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|prediction - target| where valid and 0 elsewhere; what is not valid may be NaN and has no gradient."""
    return torch.where(valid, (prediction - target).abs(), 0)


def single(tensor: Tensor) -> Tensor:
    """At least single precision: half precision sums over an image overflow."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def sum_dtype(tensor: Tensor) -> torch.dtype:
    """Type for sums over a split; Apple's GPUs have no float64."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
