"""Gaps between groups: how often each of them is answered with "yes", person by person and as counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from app.kinds.base import View, views
from palora_core.batches import Batch


@views.register("gap")
class GapView(View):
    """A row per group; in Explore besides a dot per person, and who was answered rightly and wrongly."""

    policy: ClassVar[bool] = True

    def of_many(self, outputs: Any, batch: Batch) -> dict[str, Any]:
        """ "men: yes for 31 % of 170", those who do earn so much where only they count; every person; counts.

        ``people``: per group the probabilities of "yes" in percent, and whether "yes" is the truth. ``counts``: per
        group how many are answered yes rightly, yes wrongly, no wrongly, no rightly.
        """
        who = "of those who should have it, " if self.task.positives else ""
        told = self.task.rates(outputs, batch).items()
        texts = {name: f"yes for {100 * rate:.0f} % {who}{n:,} here" if n else "none here" for name, (rate, n) in told}
        answers = self.task.answers(outputs, batch)
        groups = dict(zip(self.task.groups, (answers["group"], ~answers["group"])))
        return {
            "rows": [list(row) for row in texts.items()],
            "people": [_people(name, member, answers) for name, member in groups.items()],
            "counts": [_counts(name, member, answers) for name, member in groups.items()],
        }


def _people(name: str, member: Tensor, answers: Mapping[str, Tensor]) -> dict[str, Any]:
    percent = (100 * answers["probability"][member].double()).round(decimals=1)
    return {"name": name, "yes": percent.tolist(), "truth": answers["truth"][member].int().tolist()}


def _counts(name: str, member: Tensor, answers: Mapping[str, Tensor]) -> list[Any]:
    yes, truth = answers["probability"][member] > 0.5, answers["truth"][member]
    parts = (yes & truth, yes & ~truth, ~yes & truth, ~yes & ~truth)
    return [name, *(int(part.sum()) for part in parts)]
