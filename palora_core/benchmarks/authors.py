"""Authors: one language model that writes like whoever λ says, an objective per text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from palora_core.batches import Batch
from palora_core.benchmarks._texts import blocks_of, files_in, held_out, text_of
from palora_core.benchmarks.base import Benchmark, Progress, Recipe, benchmarks
from palora_core.data import ArraySplit, Split
from palora_core.errors import UserError, quoted
from palora_core.inputs import Prompt
from palora_core.networks.causal_lm import tokenizer, vocabulary_of
from palora_core.objectives import Objective
from palora_core.problem import Problem
from palora_core.ranges import CountOrNone, Range, check_ranges
from palora_core.tasks import NextToken

ALL = "all"
FOLDER = "authors"


@benchmarks.register("authors")
@dataclass(frozen=True)
class Authors(Benchmark):
    """Texts of several authors, DATA/authors/NAME.txt; the objective of each is the next token of its text.

    Any plain texts do: letters, a blog, minutes of meetings, one file per objective. The base stays as it is; adapters
    are trained. Every text is cut into blocks of tokens; up to a tenth of them is held out, in stretches of a few
    blocks all over it, for validation and test.

    Attributes:
        texts: names of the files without .txt, in the order of λ, separated by commas; all for every one that is there.
        titles: what people call the texts ("Jane Austen, Emma"), in the order of λ, separated by semicolons; empty
            for the names of the files.
        block: tokens in a block.
        train_blocks: most blocks of each text that are trained on, spread evenly over it; 0 for all.
        held_blocks: most blocks of each text that are held out for validation, and as many for test.
        lora: for methods without adapters of their own, rank of one per layer, all that they train; 0 for all weights.
        base: a folder with a language model in transformers' layout; empty for SmolLM2-135M-Instruct.
    """

    title: ClassVar[str] = "Authors"
    summary: ClassVar[str] = "The next token of texts by several authors, on a small language model."
    citation: ClassVar[str] = (
        "Ben Allal et al.: SmolLM2, 2025 (arXiv 2502.02737), the base; texts by Standard Ebooks and Project Gutenberg"
    )
    licence: ClassVar[str] = (
        "Texts: public domain (editions CC0). Base SmolLM2-135M-Instruct: Apache-2.0. Adapters: MIT."
    )
    learning: ClassVar[frozenset[str]] = frozenset({"lora"})
    limits: ClassVar[str] = (
        "A small model that imitates styles: what it says is made up, names and opinions are of the authors' times, "
        "and no sentence of it is a quotation."
    )
    recipe: ClassVar[Recipe] = Recipe(
        epochs=1,
        batch_size=3,
        lr=8e-4,
        eval_batch_size=8,
        evaluate_every=0,
        schedule="cosine",
        warmup=5,
        clip_norm=1.0,
        precision="bf16",
        front_points=3,
        test_points=15,
        methods={
            "palora": {
                **{"sampler": "corners", "num_preferences": 3, "rank": 8, "alpha": 32.0, "adapters_only": True},
                **{"layers": "model.layers.*", "upper": 0.5, "inner": 0.1},
            },
            "pamal": {"num_preferences": 3},
        },
    )

    texts: str = "austen,shakespeare,pepys"
    titles: str = ""
    block: Annotated[int, Range(8, 8192)] = 128
    train_blocks: CountOrNone = 0
    held_blocks: Annotated[int, Range(1, 100_000)] = 64
    lora: Annotated[int, Range(0, 4096)] = 0
    base: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise UserError(f"texts names {quoted(twice[0])} twice; each text is one objective.")
        if not self.names or any(Path(name).name != name for name in self.names):
            raise UserError(f"texts is {quoted(self.texts)}; expected names of files in DATA/authors without .txt.")
        if self.titles.strip() and len(self.titles.split(";")) != len(self.names):
            raise UserError(
                f"titles has {len(self.titles.split(';'))} parts between semicolons and texts {len(self.names)} names; "
                "expected one title per text, in the same order, or none."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The texts, in the order of λ."""
        return tuple(name.strip() for name in self.texts.split(",") if name.strip())

    @property
    def tasks(self) -> tuple[Objective, ...]:
        """The next token of each text."""
        size, spell = vocabulary_of(self.base), partial(_spell, self.base)
        titles = [title.strip() for title in self.titles.split(";")] if self.titles.strip() else [""] * len(self.names)
        return tuple(
            NextToken(name, vocabulary=size, spell=spell, title=title) for name, title in zip(self.names, titles)
        )

    @property
    def reference(self) -> tuple[float, ...]:
        """Beyond the base's own loss on texts of any of the authors (3.8 to 4.5)."""
        return (5.0,) * len(self.names)

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """The language model with its weights."""
        return "causal_lm", {"base": self.base, "pretrained": True, "lora": self.lora}

    @property
    def input_kind(self) -> Prompt:
        """A text."""
        return Prompt(partial(tokenizer, self.base))

    def problem(self, data: Path = Path(), progress: Progress | None = None) -> Problem:
        """As of any benchmark; where all texts are asked for, of those that are there now."""
        if self.names == (ALL,):
            return replace(self, texts=",".join(files_in(Path(data) / FOLDER))).problem(data, progress)
        return super().problem(data, progress)

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Mapping[str, Split]]:
        """Blocks of each text, by its name.

        Raises:
            UserError: a text is missing, no text, or too short.
        """
        found = {name: self._blocks(Path(data) / FOLDER, name) for name in self.names}
        return {
            split: {name: ArraySplit({"input_ids": parts[split]}, {}, self.convert) for name, parts in found.items()}
            for split in ("train", "val", "test")
        }

    def _blocks(self, folder: Path, name: str) -> dict[str, np.ndarray]:
        """One text's blocks [N, block] by split."""
        codec = tokenizer(self.base)
        blocks = blocks_of(codec.encode(text_of(folder, name)), min(self.block, codec.context), name)
        held = max(1, min(self.held_blocks, len(blocks) // 20))
        train, val, test = (blocks[rows] for rows in held_out(len(blocks), held))
        if 0 < self.train_blocks < len(train):
            train = train[np.linspace(0, len(train) - 1, self.train_blocks).round().astype(int)]
        return {"train": train, "val": val, "test": test}

    def convert(self, x: Any, targets: Any) -> Batch:
        """Tokens are inputs and, one place on, labels."""
        tokens: Tensor = x["input_ids"].to(torch.int64)
        return {"input_ids": tokens}, {"labels": tokens}


def _spell(base: str, tokens: list[int]) -> str:
    return tokenizer(base).decode(tokens)
