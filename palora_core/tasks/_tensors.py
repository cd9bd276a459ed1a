"""Tensor functions that several tasks share."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy_terms(logits: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of logits [B, C, ...] over labels [B, ...] other than `ignore_index`, and their number.

    On a GPU a label that is no class makes the sum NaN: there it would end the process, and asking would wait for the
    device (on a CPU, and on its way to a GPU, it is named by `Task.check`).
    """
    if labels.is_cpu:
        total = F.cross_entropy(single(logits), labels, ignore_index=ignore_index, reduction="sum")
    else:
        total = _poisoned_cross_entropy(single(logits), labels, ignore_index)
    return total, (labels != ignore_index).sum()


def _poisoned_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    foreign = (labels != ignore_index) & ((labels < 0) | (labels >= logits.shape[1]))
    known = torch.where(foreign, ignore_index, labels)
    total = F.cross_entropy(logits, known, ignore_index=ignore_index, reduction="sum")
    return torch.where(foreign.any(), torch.nan, total)


def foreign_label(labels: Tensor, num_classes: int, ignore_index: int) -> float | None:
    """The first of `labels` that is neither a class nor `ignore_index`; None if there is none."""
    if labels.numel() == 0:
        return None
    if labels.is_floating_point():
        foreign = (labels != ignore_index) & ~((labels >= 0) & (labels < num_classes) & (labels == labels.round()))
        return labels[foreign][0].item() if foreign.any() else None
    ends = (labels.byte() if labels.dtype == torch.bool else labels).aminmax()
    lowest, highest = (int(end) for end in ends)
    if lowest >= -(ignore_index == -1) and highest < num_classes + (ignore_index == num_classes):
        return None  # two numbers settle most batches
    wide = labels.long()  # a byte is never -1
    foreign = (wide != ignore_index) & ((wide < 0) | (wide >= num_classes))
    return wide[foreign][0].item() if foreign.any() else None


def masked_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|prediction - target| where valid and 0 elsewhere; what is not valid may be NaN and has no gradient."""
    return torch.where(valid, (prediction - target).abs(), 0)


def single(tensor: Tensor) -> Tensor:
    """At least single precision: half precision sums over an image overflow."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def common_class(labels: Tensor, ignore_index: int) -> int:
    """The most frequent label that counts; 0 where none does."""
    known = labels[labels != ignore_index]
    return int(known.mode().values) if known.numel() else 0


def relative_change(first: Tensor, second: Tensor) -> Tensor:
    """Per item, mean |a − b| over the mean of |a| and |b|, [B]; 0 where both are 0."""
    a, b = single(first).flatten(1), single(second).flatten(1)
    size = (a.abs().mean(1) + b.abs().mean(1)) / 2
    return torch.where(size > 0, (a - b).abs().mean(1) / size.clamp(min=torch.finfo(size.dtype).tiny), 0.0)
