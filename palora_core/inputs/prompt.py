"""Texts as language models read them: in the tokens of their own tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.inputs.base import inputs, one_input
from palora_core.inputs.text import PlainText


class Codec(Protocol):
    """A tokenizer: texts to numbers and back."""

    context: int

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens."""


@inputs.register("prompt")
@dataclass(frozen=True)
class Prompt(PlainText):
    """A text that a language model goes on with; the network reads ``{"input_ids": [B, L]}``, L as the text has them.

    Args:
        codec: Gives the tokenizer when one is first needed: ``lambda: tokenizer(base)``.
        length: Most tokens of a text; 0 for the tokenizer's context.
    """

    codec: Callable[[], Codec] = field(repr=False)
    length: int = 0

    def to_input(self, shown: str) -> dict[str, Tensor]:
        """All of its tokens.

        Raises:
            UserError: none, or more than the model reads.
        """
        codec = self.codec()
        tokens, most = codec.encode(shown), min(self.length or codec.context, codec.context)
        if not tokens:
            raise UserError("The prompt is empty; write a word or two.")
        if len(tokens) > most:
            raise UserError(f"The prompt has {len(tokens):,} tokens, and the model reads at most {most:,}; shorten it.")
        return {"input_ids": torch.tensor([tokens])}

    def to_shown(self, x: Any) -> str:
        """The text of tokens ``{"input_ids": [L]}``."""
        return self.codec().decode(one_input(torch.as_tensor(x["input_ids"]), 1).tolist())
