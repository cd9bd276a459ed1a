"""Word after word at one λ: a causal network reads a text once, keeps what it has read, and draws what comes next."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from palora_core.errors import UserError

CHUNK = 64  # tokens that are read at a time: whoever else waits gets a turn in between
LIKELIEST = 1000  # tokens that are ever drawn from
# What networks of transformers call the keys and values of what they have read, newer releases first.
CACHES = ("cache", "past_key_values")


class AtPreference(Protocol):
    """What gives the network at λ: a :class:`LiveNetwork`, or a model itself."""

    def at(self, preference: Any) -> AbstractContextManager[nn.Module]:
        """A block in which the network is that of λ [T]."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from its logits.

    The noise depends on the seed and on how many tokens were drawn before, on nothing else (Gumbel's trick with common
    random numbers): texts of one seed at two preferences differ because the preferences do.

    Args:
        temperature: of the softmax; 0 takes the likeliest token.
        top_p: the likeliest tokens that together have this probability are drawn from (Holtzman et al. 2020).
        seed: of the noise.
    """

    temperature: float = 0.8
    top_p: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf") or not 0 < self.top_p <= 1:
            raise UserError(
                f"Sampling has the temperature {self.temperature:g} and top_p {self.top_p:g}; expected a finite "
                "temperature of at least 0 and a top_p above 0 and up to 1."
            )

    def choose(self, logits: Tensor, place: int) -> int:
        """The token drawn from logits [V] as the ``place``-th one of a text."""
        if self.temperature == 0:
            return int(logits.argmax())
        scores, tokens = (logits.float() / self.temperature).topk(min(LIKELIEST, len(logits)))
        before = scores.softmax(0).cumsum(0) - scores.softmax(0)
        # One number per token of the vocabulary, not per rank: what is drawn must not hang on the order.
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + place)
        noise = torch.empty(len(logits)).exponential_(generator=generator).clamp_(min=1e-30).log_().neg_()
        drawn = torch.where(before < self.top_p, scores + noise.to(scores.device)[tokens], -torch.inf)
        return int(tokens[drawn.argmax()])


class Reading:
    """A text that a causal network has read at one λ; what it has read is not computed again.

    Networks whose ``forward`` takes a cache of keys and values (those of transformers) read every token once; others
    are asked for the whole text each time, which gives the same.

    Args:
        network: gives the network at λ.
        preference: λ [T], any real one.
        select: outputs → logits [1, L, V].
    """

    def __init__(self, network: AtPreference, preference: Any, select: Callable[[Any], Tensor]) -> None:
        self.network, self.preference, self.select = network, preference, select
        self.tokens: list[int] = []
        self._cache: Any = None

    @torch.inference_mode()
    def read(self, tokens: Sequence[int]) -> Tensor:
        """Logits [V], in single precision, for what comes after ``tokens`` (one at least).

        Raises:
            UserError: they are no finite numbers.
        """
        self.tokens += tokens
        with self.network.at(self.preference) as network:
            logits = self._forward(network, list(tokens))[0, -1].float()
        if not torch.isfinite(logits).all():
            raise UserError(
                "The network's probabilities of the next word are no finite numbers at this λ: its training diverged, "
                "or λ is too far off the simplex; choose another λ."
            )
        return logits

    def _forward(self, network: nn.Module, tokens: list[int]) -> Tensor:
        taken = inspect.signature(network.forward).parameters
        name = next((name for name in CACHES if name in taken), None)
        last = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
        device = next(network.parameters()).device
        if name is None:
            return self.select(network(torch.tensor([self.tokens], device=device), **last))
        known = {} if self._cache is None else {name: self._cache}
        outputs = network(torch.tensor([tokens], device=device), use_cache=True, **known, **last)
        self._cache = getattr(outputs, name)
        return self.select(outputs)


def continuation(
    reading: Reading, text: Sequence[int], most: int, sampling: Sampling, ends: Sequence[int] = ()
) -> Iterator[int | None]:
    """The tokens that follow ``text``, one by one, at most ``most``; None where a part of the text has been read.

    Args:
        reading: that has read nothing yet.
        text: tokens, one at least.
        most: tokens to draw.
        sampling: how.
        ends: tokens after which nothing follows; they are not given.
    """
    parts = [list(text[start : start + CHUNK]) for start in range(0, len(text), CHUNK)]
    for part in parts[:-1]:
        reading.read(part)
        yield None
    logits = reading.read(parts[-1])
    for place in range(most):
        token = sampling.choose(logits, place)
        if token in ends:
            return
        yield token
        if place + 1 < most:
            logits = reading.read([token])
