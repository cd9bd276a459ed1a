"""Token classification: one class per token of a sequence."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.objectives import Convention, Metric, Sums
from palora_core.tasks._classes import ClassTask
from palora_core.tasks._tensors import common_class, cross_entropy_terms
from palora_core.tasks.base import tasks
from palora_core.tasks.segmentation import LABELS_AGREE, confusion_matrix


@tasks.register("tokens")
@dataclass(frozen=True)
class Tokens(ClassTask):
    """One class per token: cross-entropy on logits [B, L, C], labels [B, L].

    Args:
        num_classes: Number of classes C.
        ignore_index: Label of tokens that count nowhere (padding, all but a word's first piece).
        classes: Their names, where they have any.
    """

    reading: ClassVar[str] = "logits [tokens, classes]: the largest of a token names its class"
    class_axis: ClassVar[int | None] = -1
    ignore_index: int = -100

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Share of tokens that are right, and F1, mean over the classes that occur or are predicted."""
        return Metric("token_accuracy", "token accuracy", "%", True), Metric("macro_f1", "macro F1", "%", True)

    def constant_answer(self, target: Tensor) -> Tensor:
        """Logits [B, L, C] for the commonest class."""
        logits = torch.zeros(*target.shape, self.num_classes, device=target.device)
        logits[..., common_class(target, self.ignore_index)] = 1.0
        return logits

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Share of tokens whose class changes, padding among them."""
        return (first.argmax(-1) != second.argmax(-1)).float().mean(1)

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """All but a few labels equal."""
        return bool(1 - self.effect(first, second).mean() >= LABELS_AGREE)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        self._fit(prediction, target)
        return cross_entropy_terms(prediction.transpose(1, 2), target.long(), self.ignore_index)

    def _count(self, target: Tensor) -> Tensor:
        return (target != self.ignore_index).sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        self._fit(prediction, target)
        return {
            "confusion": confusion_matrix(prediction.argmax(-1), target.long(), self.num_classes, self.ignore_index)
        }

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        confusion = sums["confusion"]
        hits, ends = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
        seen = ends > 0
        return {
            "token_accuracy": hits.sum() / confusion.sum(),
            "macro_f1": (2 * hits / ends.clamp(min=1)).sum() / seen.sum(),
        }

    effect_of: ClassVar[str] = "tokens"

    def _fit(self, prediction: Tensor, target: Tensor) -> None:
        if prediction.ndim != 3 or prediction.shape[2] != self.num_classes or prediction.shape[:2] != target.shape:
            raise self._reject(prediction, target, f"a prediction [B, L, {self.num_classes}] and a target [B, L]")
