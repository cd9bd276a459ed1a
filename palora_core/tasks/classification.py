"""Classification: one class per sample."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.objectives import Convention, Metric, Sums
from palora_core.tasks._classes import ClassTask
from palora_core.tasks._tensors import common_class, cross_entropy_terms
from palora_core.tasks.base import VALUES_AGREE, tasks


@tasks.register("classification")
@dataclass(frozen=True)
class Classification(ClassTask):
    """One class per sample: cross-entropy on logits [B, C], labels [B].

    Args:
        num_classes: Number of classes C.
        ignore_index: Label of samples that count nowhere.
        classes: Their names, where they have any.
    """

    reading: ClassVar[str] = "logits [classes]: softmax gives probabilities, the largest names the class"
    class_axis: ClassVar[int | None] = 0

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Top-1 accuracy."""
        return (Metric("accuracy", "accuracy", "%", True),)

    def constant_answer(self, target: Tensor) -> Tensor:
        """Logits [B, C] for the commonest class."""
        labels = target.reshape(len(target), -1)[:, 0]
        logits = torch.zeros(len(labels), self.num_classes, device=target.device)
        logits[:, common_class(labels, self.ignore_index)] = 1.0
        return logits

    def chance(self, target: Tensor) -> dict[str, float]:
        """A fair guess among the classes."""
        return {**super().chance(target), "loss": math.log(self.num_classes), "accuracy": 1 / self.num_classes}

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """1 where the class changes, else 0."""
        return (first.argmax(1) != second.argmax(1)).float()

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """Probabilities within a hundredth."""
        return bool((first.softmax(1) - second.softmax(1)).abs().max() <= VALUES_AGREE)

    def least_uncertainty(self, items: int) -> float:
        """Where all of n are right, up to 3/n of all could be wrong (the rule of three)."""
        return 3 / items

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return cross_entropy_terms(prediction, self._labels(prediction, target), self.ignore_index)

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        labels = self._labels(prediction, target)
        return {"correct": ((prediction.argmax(1) == labels) & (labels != self.ignore_index)).sum()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        return {"accuracy": sums["correct"] / sums["count"]}

    effect_of: ClassVar[str] = "answers"

    def _labels(self, prediction: Tensor, target: Tensor) -> Tensor:
        labels = target.squeeze(1) if target.ndim == 2 and target.shape[1] == 1 else target
        if tuple(prediction.shape) != (*labels.shape, self.num_classes) or labels.ndim != 1:
            raise self._reject(prediction, target, f"logits [B, {self.num_classes}] and labels [B]")
        return labels.long()
