"""Next-token prediction: which words may come next."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from app.kinds.base import Values, View, views

MOST_WORDS = 10  # that are told of
MOST_TOKENS = 60  # of the truth
ROUNDED = 3


@views.register("next_token")
class NextTokenView(View):
    """The most likely tokens behind the end of a text, from logits [L, V]."""

    def spelled(self, token: int) -> str:
        """A token as people read it: quoted where spaces matter, its number where nobody can spell it."""
        if self.task.spell is None:
            return f"token {token}"
        text = self.task.spell([token])
        return text.strip() if text.strip() and "\n" not in text else repr(text)

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """The most likely ones, and how likely they are."""
        chance, tokens = prediction[-1].float().softmax(-1).topk(min(MOST_WORDS, prediction.shape[-1]))
        pairs = zip(tokens.tolist(), chance.tolist())
        return {"rows": [[self.spelled(token), f"{100 * p:.{ROUNDED}g} %"] for token, p in pairs]}

    def target_values(self, target: Tensor) -> dict[str, Any]:
        """The text itself, as far as it is asked for."""
        known = [token for token in target.tolist() if token != self.task.ignore_index][:MOST_TOKENS]
        if self.task.spell is not None:
            return {"rows": [["text", self.task.spell(known)]]}
        return {"rows": [["tokens", " ".join(map(str, known))]]}

    def cell(self, values: Values | None) -> str | None:
        """The most likely one."""
        return values["rows"][0][0] if values and values.get("rows") else None
