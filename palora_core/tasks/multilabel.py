"""Multi-label classification: any number of labels per sample."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from palora_core.objectives import Convention, Metric, Sums, sum_dtype
from palora_core.tasks._tensors import single
from palora_core.tasks.base import VALUES_AGREE, Task, check_classes, check_labels, tasks


@tasks.register("multilabel")
@dataclass(frozen=True)
class MultiLabel(Task):
    """Each of L labels holds or not: binary cross-entropy on logits [B, L], targets 0 or 1 [B, L].

    Args:
        num_labels: Number of labels L.
        ignore_index: Target of labels that are not known.
        classes: Names of the labels, where they have any.
    """

    reading: ClassVar[str] = "logits [labels]; a label holds where its logit is above 0"
    num_labels: int
    ignore_index: int = -1
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_classes(self, self.classes, self.num_labels)

    @property
    def out_channels(self) -> int:
        """L, one logit per label."""
        return self.num_labels

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """F1, mean over labels (0 for one that neither occurs nor is predicted) and over all; share of labels right."""
        return (
            Metric("macro_f1", "macro F1", "%", True),
            Metric("micro_f1", "micro F1", "%", True),
            Metric("label_accuracy", "label accuracy", "%", True),
        )

    def constant_answer(self, target: Tensor) -> Tensor:
        """Logits [B, L] of how often each label holds."""
        known = (target != self.ignore_index).float()
        share = (target.float() * known).sum(0) / known.sum(0).clamp(min=1)
        return torch.logit(share, eps=1e-6).expand(len(target), -1).contiguous()

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Share of labels that are added or taken away."""
        return ((first > 0) != (second > 0)).float().mean(1)

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """Probabilities within a hundredth."""
        return bool((first.sigmoid() - second.sigmoid()).abs().max() <= VALUES_AGREE)

    def least_uncertainty(self, items: int) -> float:
        """The rule of three, as for classes."""
        return 3 / items

    def _check(self, target: Tensor) -> None:
        check_labels(self, target, 2, self.ignore_index)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        known = self._known(prediction, target)
        wanted = torch.where(known, target, 0).to(single(prediction).dtype)
        losses = F.binary_cross_entropy_with_logits(single(prediction), wanted, reduction="none")
        return torch.where(known, losses, 0).sum(), known.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        known, said, holds = self._known(prediction, target), prediction > 0, target == 1
        pairs = {"hits": said & holds, "extra": said & ~holds, "missed": ~said & holds}
        return {name: (which & known).sum(0) for name, which in pairs.items()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        hits, wrong = sums["hits"], sums["extra"] + sums["missed"]
        total = 2 * hits.sum() + wrong.sum()
        values = {"macro_f1": (2 * hits / (2 * hits + wrong).clamp(min=1)).mean(), "micro_f1": 2 * hits.sum() / total}
        values["micro_f1"] = torch.where(total > 0, values["micro_f1"], 0)
        values["label_accuracy"] = 1 - wrong.sum() / sums["count"]
        unknown = sums["count"] == 0
        return {name: torch.where(unknown, torch.nan, value.to(sum_dtype(value))) for name, value in values.items()}

    effect_of: ClassVar[str] = "labels"

    def _known(self, prediction: Tensor, target: Tensor) -> Tensor:
        if prediction.ndim != 2 or prediction.shape != target.shape or prediction.shape[1] != self.num_labels:
            raise self._reject(prediction, target, f"[B, {self.num_labels}] for both")
        return target != self.ignore_index
