"""Next tokens: how likely every word of a text is at λ, which words come next, and how the text goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from app.kinds.base import Values, View, views
from palora_core import batches
from palora_core.serving import Served
from palora_core.serving.generation import Reading, Sampling, continuation

Spell = Callable[[list[int]], str]

MOST_SHOWN = 64  # tokens of a sample
MOST_READ = 192  # tokens of a person's own text: their logits are 50,000 numbers each
MOST_WORDS = 60  # that a text goes on for
MOST_ENDS = 8  # corners of the simplex that the words of a continuation are compared at
MOST_NEXT = 10  # words that are shown to come next
SHOWN_NEXT = 3  # of them in a table
CONTEXT = 4  # tokens that may decide how the next is written
HALF = "\ufffd"  # what a part of a character is written as
LEGEND = (
    "underlined: which end of the slider finds the word likeliest · filled: how much likelier λ finds it than the ends "
    "do on average"
)


@views.register("next_token")
class NextTokenView(View):
    """Texts, from the logits [L, V] of what comes after each of their tokens; all such tasks of a model share them."""

    joint: ClassVar[bool] = True
    goes_on: ClassVar[bool] = True

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens after which a text has ended."""
        return tuple(getattr(self.task, "ends", ()))

    def spell(self, tokens: Sequence[int]) -> str:
        """The text of tokens; their numbers where nobody can spell them."""
        text: str = self.task.spell(list(tokens)) if self.task.spell else "".join(f" {token}" for token in tokens)
        return text

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """The likeliest words to come next, of a text that nobody knows."""
        likely, words = prediction[-1].float().softmax(-1).topk(min(MOST_NEXT, prediction.shape[-1]))
        pairs = zip(words.tolist(), likely.tolist())
        return {"rows": [[_visible(self.spell([word])), f"{100 * p:.3g} %"] for word, p in pairs]}

    def excerpt(self, x: Any, own: bool = False) -> Any:
        """The first words of a sample, as many as a drag colours at once; of an own text the last ones, and more."""
        part = slice(-MOST_READ, None) if own else slice(None, MOST_SHOWN)
        return batches.mapped(lambda tokens: tokens[:, part], x)

    def left_out(self, x: Any) -> str:
        """Words before the last ones."""
        count = len(_tokens(x))
        return f"The last {MOST_READ} of its {count:,} tokens are read." if count > MOST_READ else ""

    def values_of(self, prediction: Tensor, x: Any) -> dict[str, Any]:
        """``tokens`` [[piece of the text, ln p or None], …] and ``next`` [[piece, p], …], the likeliest first."""
        tokens = _tokens(x)
        logits = prediction.float()
        found = _log_probabilities(logits[:-1], torch.tensor(tokens[1:]))
        logs = [None, *(round(value, 3) for value in found.tolist())]
        likely, words = logits[-1].softmax(-1).topk(min(MOST_NEXT, logits.shape[-1]))
        coming = [[self._added(tokens, [word]), round(p, 4)] for word, p in zip(words.tolist(), likely.tolist())]
        pieces = _pieces(self.task.spell, tuple(tokens)) if self.task.spell else [self.spell([t]) for t in tokens]
        return {"tokens": [[piece, log] for piece, log in zip(pieces, logs)], "next": coming}

    def go_on(self, network: Served, x: Any, preference: Tensor, seed: int) -> Iterator[dict[str, Any] | None]:
        """``text``, as far as it goes; when it stands, ``liked`` as :meth:`_liked` has it."""
        tokens, found, pieces = _tokens(x), [], [""]
        reading = Reading(network, preference, self.task.prediction_of)
        for token in continuation(reading, tokens, MOST_WORDS, Sampling(seed=seed), self.ends):
            if token is None:
                yield None
                continue
            found.append(token)
            pieces.append(self._added(tokens, found))
            yield {"text": pieces[-1]}
        if found and len(preference) <= MOST_ENDS:
            added = [after[len(before) :] for before, after in pairwise(pieces)]
            whole = torch.tensor([[*tokens, *found]])
            yield from self._liked(network, whole if isinstance(x, Tensor) else {"input_ids": whole}, added, preference)

    def _liked(
        self, network: Served, x: Any, pieces: Sequence[str], preference: Tensor
    ) -> Iterator[dict[str, Any] | None]:
        """``liked`` [[piece, ln p at λ, [ln p at every corner of the simplex]], …] of the last tokens of a text.

        A pass at λ and one per corner, each a step of its own. Nothing where one gives no finite numbers.
        """
        asked, columns = torch.tensor(_tokens(x)[-len(pieces) :]), []
        for point in (preference, *torch.eye(len(preference))):
            logits = self.task.prediction_of(network(x, point))[0, -len(pieces) - 1 : -1].float()
            found = _log_probabilities(logits, asked)
            if not torch.isfinite(found).all():
                return
            columns.append([round(value, 3) for value in found.tolist()])
            yield None
        here, *ends = columns
        yield {"liked": [[piece, log, list(likes)] for piece, log, *likes in zip(pieces, here, *ends)]}

    def target_values(self, target: Tensor) -> dict[str, Any]:
        """The text itself, as far as it is asked for."""
        known = [token for token in target.tolist() if token != self.task.ignore_index]
        return {"rows": [["text", self.spell(known[:MOST_SHOWN])]]}

    def legend(self) -> dict[str, Any]:
        """How the colours are read; the names are those of the objectives."""
        return {"text": LEGEND}

    def rows(self, values: Values) -> list[tuple[str, str]]:
        """How surprising the text is, what comes next, and how it goes on where that is known."""
        if "rows" in values:
            return super().rows(values)
        rows = []
        logs = [log for _, log in values.get("tokens", ()) if log is not None]
        if logs:
            rows.append(("perplexity of this text", f"{math.exp(min(50.0, -sum(logs) / len(logs))):.4g}"))
        if "next" in values:
            coming = [f"“{_visible(word)}” {100 * p:.0f} %" for word, p in values["next"][:SHOWN_NEXT]]
            rows.append(("next word", ", ".join(coming)))
        return rows + ([("goes on", values["text"].strip())] if "text" in values else [])

    def cell(self, values: Values | None) -> str | None:
        """The same in one line."""
        return "; ".join(f"{what} {text}" for what, text in self.rows(values or {})) or None

    def _added(self, before: Sequence[int], tokens: Sequence[int]) -> str:
        """What ``tokens`` add to a text that ends in ``before``; of half a character, nothing."""
        last = before[-CONTEXT:]
        return self.spell([*last, *tokens])[len(self.spell(last)) :].rstrip(HALF)


def _log_probabilities(logits: Tensor, tokens: Tensor) -> Tensor:
    """ln p [L] of tokens [L] by logits [L, V]."""
    return logits.gather(1, tokens.to(logits.device)[:, None])[:, 0] - logits.logsumexp(-1)


@lru_cache(maxsize=64)
def _pieces(spell: Spell, tokens: tuple[int, ...]) -> tuple[str, ...]:
    """What each of the tokens adds to their text; joined, they are the text."""
    found, before = [], ""
    for end in range(1, len(tokens) + 1):
        text = spell(list(tokens[:end]))
        # Bytes of one character may come one by one: until it is whole, nothing of it is written.
        text = text if end == len(tokens) else text.rstrip(HALF)
        found.append(text[len(before) :])
        before = max(text, before, key=len)
    return tuple(found)


def _visible(word: str) -> str:
    """A word as it is read in a list."""
    return word.replace("\n", "⏎").strip() or "␣"


def _tokens(x: Any) -> list[int]:
    """Those of an input, a batch of one."""
    tokens: list[int] = (x if isinstance(x, Tensor) else x["input_ids"])[0].tolist()
    return tokens
