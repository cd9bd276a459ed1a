"""Preference losses: of two answers to one prompt a person liked one more; the network is to like it more, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives.base import Objective
from palora_core.objectives.metrics import Convention, Metric, Sums, sum_dtype
from palora_core.ranges import Range, check_ranges

IGNORED = -100  # label of tokens that are not asked for


def log_likelihoods(logits: Tensor, labels: Tensor) -> Tensor:
    """log p [N] of each text: the sum over its tokens that are asked for, of logits [N, L, V] and labels [N, L].

    Raises:
        UserError: shapes that do not fit.
    """
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        found = f"logits {list(logits.shape)} and labels {list(labels.shape)}"
        raise UserError(f"Log-likelihoods need logits [N, L, V] and labels [N, L], found {found}.")
    asked = torch.cat([labels[:, 1:], labels.new_full((len(labels), 1), IGNORED)], 1).long()
    wide = logits if logits.dtype == torch.float64 else logits.float()
    each = -F.cross_entropy(wide.transpose(1, 2), asked, ignore_index=IGNORED, reduction="none")
    return each.sum(1)


@dataclass(frozen=True)
class DPO(Objective):
    """Direct preference optimisation (Rafailov et al., NeurIPS 2023): −log σ(β · (Δ_chosen − Δ_rejected)).

    Δ is by how much the network finds an answer likelier than the reference does. Rows 2i and 2i + 1 of a batch are
    the answer that was chosen and the one that was rejected, as :func:`palora_core.language.answer_pairs` lays them;
    ``labels`` ask for the answers' tokens only. The reference is the network as it was before it had adapters, whose
    log-likelihoods are in the batch: at any λ it stays the same.

    Args:
        beta: How dear it is to leave the reference; small values let the network go far.
    """

    beta: Annotated[float, Range(0, 100, open_low=True)] = 0.1
    kind: ClassVar[str] = "dpo"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self)

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Share of pairs of which the network, measured against the reference, likes the chosen answer more."""
        return (Metric("preferred", "chosen answer preferred", "%", True),)

    def margins(self, outputs: Any, batch: Batch) -> Tensor:
        """Δ_chosen − Δ_rejected of each pair [B]."""
        targets = batch[1]
        if not isinstance(targets, Mapping) or not {"labels", "reference"} <= targets.keys():
            raise UserError(
                f"The objective {self.name!r} reads labels and reference, found {batches.describe(targets)}; make the "
                "data with answer_pairs(…)."
            )
        gained = log_likelihoods(outputs["logits"], targets["labels"]) - targets["reference"].to(torch.float32)
        if len(gained) % 2:
            raise UserError(
                f"The objective {self.name!r} got {len(gained)} answers; expected pairs of a chosen and a rejected one."
            )
        return gained[0::2] - gained[1::2]

    def count(self, batch: Batch) -> Tensor:
        """Number of pairs."""
        labels = batch[1]["labels"]
        return torch.tensor(len(labels) // 2, device=labels.device)

    def terms(self, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss as a sum over pairs, and their number."""
        margins = self.margins(outputs, batch)
        return -F.logsigmoid(self.beta * margins).sum(), torch.tensor(len(margins), device=margins.device)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Its mean over pairs."""
        total, pairs = self.terms(outputs, batch)
        return total / pairs

    def sums(self, outputs: Any, batch: Batch) -> Sums:
        """Of the loss, of pairs, and of those that are in the right order."""
        with torch.no_grad():
            margins = self.margins(outputs, batch)
            total = -F.logsigmoid(self.beta * margins).sum()
            number = torch.tensor(len(margins), device=margins.device)
            return {"loss": total.to(sum_dtype(total)), "count": number, "preferred": (margins > 0).sum()}

    def summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        """The mean loss and the share."""
        return {"loss": sums["loss"] / sums["count"], "preferred": sums["preferred"] / sums["count"]}
