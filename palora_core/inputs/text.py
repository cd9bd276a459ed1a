"""Texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from palora_core.batches import describe
from palora_core.errors import UserError, quoted
from palora_core.inputs._handover import Preprocessing
from palora_core.inputs.base import MOST_BYTES, Input, inputs, one_input

PAD, UNKNOWN = 0, 1
_TOKEN = re.compile(r"\w+|[^\w\s]")


class PlainText(Input):
    """What is shown and sent as a text, however a network reads it."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of plain text."""
        return ("txt",)

    def read(self, data: bytes) -> str:
        """The text of a file that a person sent.

        Raises:
            UserError: too large, empty, or not in UTF-8.
        """
        if len(data) > MOST_BYTES:
            raise UserError(f"The text has {len(data) / 2**20:.0f} MB, the limit is {MOST_BYTES // 2**20} MB.")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError("This file is no plain text in UTF-8; save it as such.") from None
        if not text.strip():
            raise UserError("The text is empty; write something.")
        return text

    def to_file(self, shown: str) -> bytes:
        """A text in UTF-8."""
        return shown.encode()

    def takes(self, shown: Any) -> bool:
        """Whether it is a text."""
        return isinstance(shown, str)


@inputs.register("text")
@dataclass(frozen=True)
class Text(PlainText):
    """A text; the network reads numbers of tokens [B, length], 0 behind the end.

    Args:
        length: Tokens that the network reads.
        vocabulary: Words and signs in small letters, numbered from 2 (1 is any other); () for the bytes of UTF-8,
            numbered from 1.
        ids: Key of the tokens where the network's inputs are a mapping (``"input_ids"``).
        mask: Key of the mask [B, length], 1 where there is a token, where the network reads one
            (``"attention_mask"``).
    """

    length: int
    vocabulary: tuple[str, ...] = ()
    ids: str = ""
    mask: str = ""

    def __post_init__(self) -> None:
        if self.mask and not self.ids:
            raise UserError(f"Text has a mask {quoted(self.mask)} and no ids; name the key of the tokens, too.")

    def to_input(self, shown: str) -> Any:
        """The first tokens, [1, length], with their mask where the network reads one."""
        tokens = self._tokens(shown)[: self.length]
        found = torch.tensor([tokens + [PAD] * (self.length - len(tokens))])
        if not self.ids:
            return found
        return {self.ids: found, **({self.mask: (found != PAD).long()} if self.mask else {})}

    def to_shown(self, x: Any) -> str:
        """The text of tokens [length]; words stand apart, those that are not known as "▢".

        Raises:
            UserError: the inputs are a mapping and nobody said where the tokens are.
        """
        if isinstance(x, Mapping):
            if self.ids not in x:
                raise UserError(f"The inputs are a {describe(x)}; say where the tokens are: Text(…, ids='input_ids').")
            x = x[self.ids]
        known = [int(token) for token in one_input(torch.as_tensor(x), 1) if int(token) != PAD]
        if not self.vocabulary:
            return bytes((token - 1) % 256 for token in known).decode("utf-8", errors="replace")
        words = ["▢", *self.vocabulary]
        return " ".join(words[token - 1] if 0 < token <= len(words) else "▢" for token in known)

    def preprocessing(self) -> Preprocessing:
        """The length, and the words or bytes that have numbers."""
        words = "form['vocabulary']"
        known = (
            f"numbers = {{word: number for number, word in enumerate({words}, start={UNKNOWN + 1})}}",
            f"tokens = [numbers.get(w, {UNKNOWN}) for w in re.findall(r'{_TOKEN.pattern}', text.lower())]",
        )
        mask = f", {self.mask!r}: (ids != {PAD}).astype('i8')" if self.mask else ""
        return Preprocessing(
            "txt",
            {"length": self.length, "vocabulary": list(self.vocabulary), "padding": PAD, "unknown": UNKNOWN},
            (
                'text, length = open(path, encoding="utf-8-sig").read(), form["length"]',
                *(known if self.vocabulary else ("tokens = [byte + 1 for byte in text.encode()]",)),
                f"ids = np.array([(tokens + [{PAD}] * length)[:length]])",
                f"inputs = {{{self.ids or 'input'!r}: ids{mask}}}",
            ),
            ("re",),
            f"The first {self.length:,} {'words and signs in small letters' if self.vocabulary else 'bytes'} of a text "
            f"in UTF-8 as numbers, {PAD} behind its end.",
        )

    def lost(self, shown: str) -> str:
        """What lies beyond the length."""
        count = len(self._tokens(shown))
        what = "words and signs" if self.vocabulary else "bytes"
        return f"The first {self.length:,} of its {count:,} {what} are used." if count > self.length else ""

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary, start=UNKNOWN + 1)}

    def _tokens(self, text: str) -> list[int]:
        if not self.vocabulary:
            return [byte + 1 for byte in text.encode()]
        return [self._numbers.get(word, UNKNOWN) for word in _TOKEN.findall(text.lower())]
