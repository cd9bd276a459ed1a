"""Gaps between groups: how often each of them is answered with "yes"."""

from __future__ import annotations

from typing import Any

from app.kinds.base import View, views
from palora_core.batches import Batch


@views.register("gap")
class GapView(View):
    """A row per group."""

    def of_many(self, outputs: Any, batch: Batch) -> dict[str, Any]:
        """ "men: yes for 31 % of 170", those who do earn so much where only they count."""
        who = "of those who should have it, " if self.task.positives else ""
        told = self.task.rates(outputs, batch).items()
        texts = {name: f"yes for {100 * rate:.0f} % {who}{n:,} here" if n else "none here" for name, (rate, n) in told}
        return {"rows": [list(row) for row in texts.items()]}
