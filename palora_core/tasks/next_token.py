"""Next-token prediction: what a language model is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.objectives import Convention, Metric, Sums
from palora_core.tasks._tensors import common_class, cross_entropy_terms, single
from palora_core.tasks.base import Select, Task, check_labels, tasks

LIKE = 0.05  # of all probability may lie on other tokens where a person sees no difference


@tasks.register("next_token")
@dataclass(frozen=True)
class NextToken(Task):
    """The token that comes next, at every place of a text: cross-entropy of logits [B, L, V] on labels [B, L].

    Labels are the tokens themselves, as transformers has it: the logits at a place are compared with the label one
    place on, and those at the last place with nothing. A label of ``ignore_index`` (padding, the prompt of an answer,
    the beginning of the next text in a packed block) is never asked for. Losses are means over tokens, whatever the
    lengths of texts.

    Args:
        vocabulary: How many tokens there are, V.
        ignore_index: Label of tokens that are not asked for.
        spell: Tokens → their text, for people; numbers where nobody says.
        title: What the texts are called, for people; "" for the objective's name.
    """

    reading: ClassVar[str] = "logits [tokens, vocabulary] of the token that comes next"
    effect_of: ClassVar[str] = "next tokens"

    vocabulary: int
    ignore_index: int = -100
    spell: Callable[[list[int]], str] | None = field(default=None, kw_only=True, compare=False, repr=False)
    title: str = field(default="", kw_only=True, compare=False)
    output: Select = field(default="logits", kw_only=True)
    target: Select = field(default="labels", kw_only=True)

    @property
    def out_channels(self) -> int:
        """V, one logit per token."""
        return self.vocabulary

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Perplexity, exp of the mean loss; and the share of tokens that were the most likely ones."""
        return Metric("perplexity", "perplexity", "", False), Metric("next_accuracy", "next token right", "%", True)

    def constant_answer(self, target: Tensor) -> Tensor:
        """Logits [B, L, V] (expanded, not copied) that know how often each token is asked for, and nothing else."""
        asked = self._asked(target)
        counts = torch.bincount(asked[asked != self.ignore_index], minlength=self.vocabulary)
        return counts.double().clamp(min=1e-9).log().float().expand(*target.shape, -1)

    def chance(self, target: Tensor) -> dict[str, float]:
        """Metrics and loss of :meth:`constant_answer`, from the counts alone."""
        self._check(target)
        asked = self._asked(target)
        asked = asked[asked != self.ignore_index]
        logits = self.constant_answer(target)[0, 0] if target.numel() else torch.zeros(self.vocabulary)
        right = (asked == common_class(asked, self.ignore_index)).sum()
        total = -logits.double().log_softmax(-1)[asked].sum()
        sums = {"loss": total, "count": torch.tensor(asked.numel()), "hits": right}
        return {name: float(value) for name, value in self.summarise(sums).items()}

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Share of places at which another token is the most likely one."""
        return (first.argmax(-1) != second.argmax(-1)).float().mean(1)

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """Whether hardly any probability moves to other tokens (total variation, mean over places)."""
        moved = (single(first).softmax(-1) - single(second).softmax(-1)).abs().sum(-1) / 2
        return bool(moved.mean() <= LIKE)

    def log_probabilities(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Of each token that is asked for, log p [B, L] at the place that it stands in; NaN where none is."""
        self._fit(prediction, target)
        asked = self._asked(target)
        known = asked != self.ignore_index
        found = -F.cross_entropy(single(prediction).transpose(1, 2), torch.where(known, asked, 0), reduction="none")
        found = torch.where(known, found, torch.nan)
        return torch.cat([found.new_full((len(found), 1), torch.nan), found[:, :-1]], 1)

    def _asked(self, target: Tensor) -> Tensor:
        """Labels [B, L] at the places whose logits are compared with them."""
        ends = target.new_full((len(target), 1), self.ignore_index)
        return torch.cat([target[:, 1:], ends], 1).long()

    def _check(self, target: Tensor) -> None:
        check_labels(self, target, self.vocabulary, self.ignore_index)

    def _count(self, target: Tensor) -> Tensor:
        return (self._asked(target) != self.ignore_index).sum()

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        self._fit(prediction, target)
        return cross_entropy_terms(prediction.flatten(0, 1), self._asked(target).flatten(), self.ignore_index)

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        self._fit(prediction, target)
        return {"hits": (prediction.argmax(-1) == self._asked(target)).sum()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        mean = sums["loss"] / sums["count"]
        return {"perplexity": mean.exp(), "next_accuracy": sums["hits"] / sums["count"]}

    def _fit(self, prediction: Tensor, target: Tensor) -> None:
        if prediction.ndim != 3 or prediction.shape[2] != self.vocabulary or prediction.shape[:2] != target.shape:
            raise self._reject(prediction, target, f"a prediction [B, L, {self.vocabulary}] and a target [B, L]")
