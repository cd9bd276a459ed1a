"""Segmentation: one class per pixel."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from palora_core.objectives import Convention, Metric, Sums
from palora_core.tasks._classes import ClassTask
from palora_core.tasks._tensors import common_class, cross_entropy_terms
from palora_core.tasks.base import tasks

LABELS_AGREE = 0.995  # share of pixels


@tasks.register("segmentation")
@dataclass(frozen=True)
class Segmentation(ClassTask):
    """One class per pixel: cross-entropy on logits [B, C, H, W], labels [B, H, W] or [B, 1, H, W].

    Args:
        num_classes: Number of classes C.
        ignore_index: Label of pixels that count nowhere.
        classes: Their names, where they have any.
    """

    reading: ClassVar[str] = "logits [classes, height, width]: the largest of a pixel names its class"
    class_axis: ClassVar[int | None] = 0

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Mean intersection over union and pixel accuracy."""
        return Metric("miou", "mIoU", "%", True), Metric("pixel_accuracy", "pixel accuracy", "%", True)

    def constant_answer(self, target: Tensor) -> Tensor:
        """Logits [B, C, H, W] for the commonest class everywhere."""
        labels = target.squeeze(1) if target.ndim == 4 else target
        logits = torch.zeros(len(labels), self.num_classes, *labels.shape[1:], device=target.device)
        logits[:, common_class(labels, self.ignore_index)] = 1.0
        return logits

    def chance(self, target: Tensor) -> dict[str, float]:
        """The commonest class everywhere; the loss is that of equal probabilities."""
        return {**super().chance(target), "loss": math.log(self.num_classes)}

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Share of pixels whose class changes."""
        return (_best(first) != _best(second)).float().flatten(1).mean(1)

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """All but a few labels equal."""
        return bool(1 - self.effect(first, second).mean() >= LABELS_AGREE)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        labels = self._labels(prediction, target)
        return cross_entropy_terms(prediction, labels, self.ignore_index)

    def _count(self, target: Tensor) -> Tensor:
        return (target != self.ignore_index).sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        labels = self._labels(prediction, target)
        return {"confusion": confusion_matrix(_best(prediction), labels, self.num_classes, self.ignore_index)}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        confusion = sums["confusion"]
        absent: Literal["skip", "zero"] = "zero" if convention == "published" else "skip"
        return {"miou": mean_iou(confusion, absent), "pixel_accuracy": confusion.diagonal().sum() / confusion.sum()}

    effect_of: ClassVar[str] = "pixels"

    def _labels(self, prediction: Tensor, target: Tensor) -> Tensor:
        labels = target.squeeze(1) if target.ndim == 4 and target.shape[1] == 1 else target
        size = (labels.shape[0], self.num_classes, *labels.shape[1:])
        if prediction.ndim != 4 or tuple(prediction.shape) != size:
            raise self._reject(prediction, target, f"logits [B, {self.num_classes}, H, W] and labels [B, H, W]")
        return labels.long()


def _best(scores: Tensor) -> Tensor:
    """The best class [B, H, W] of scores [B, C, H, W], as argmax has it, which is five times slower over that axis."""
    return scores.max(1).indices


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int, ignore_index: int = -1) -> Tensor:
    """Counts [C, C] of (label, predicted) pairs over the elements whose label is not `ignore_index`."""
    # What is not valid is counted in a place of its own: cheaper than picking the valid elements out.
    pairs = torch.where(labels != ignore_index, labels * num_classes + predicted, num_classes**2)
    counts = torch.bincount(pairs.flatten(), minlength=num_classes**2 + 1)
    return counts[:-1].reshape(num_classes, num_classes)


def mean_iou(confusion: Tensor, absent: Literal["skip", "zero"] = "skip") -> Tensor:
    """Mean intersection over union from a confusion matrix [C, C].

    Args:
        confusion: Counts, labels in rows.
        absent: What a class that is neither in the labels nor predicted does: "skip" leaves it out of the mean,
            "zero" lets it count as 0, as the paper's code does.
    """
    hits = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hits
    classes = (union > 0).sum() if absent == "skip" else len(hits)
    mean = (hits / union.clamp(min=1)).sum() / classes
    return torch.where(union.sum() > 0, mean, torch.nan)
