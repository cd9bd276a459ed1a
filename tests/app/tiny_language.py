"""A tiny language model with lively adapters in a folder: `authors` in miniature, whose tokens are bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

import palora_core as pc
from palora_core.benchmarks.base import Benchmark, Recipe, benchmarks
from palora_core.config import to_dict
from palora_core.data import ArraySplit
from palora_core.evaluation.evaluate import evaluate
from palora_core.inputs import Prompt
from palora_core.methods.palora import PaLoRA
from palora_core.networks.base import networks
from palora_core.storage.samples import save_samples
from palora_core.tasks import NextToken

NAMES = ("austen", "pepys", "shakespeare")
LENGTH, VOCABULARY = 64, 257
TEXTS = (
    "It is a truth universally acknowledged, that a single man — in want",
    "Up betimes, and by water to White Hall, where I met with my Lord and",
    "To be, or not to be, that is the question: whether ’tis nobler in the",
)


class Bytes:
    """A tokenizer without a vocabulary: bytes, numbered from 1."""

    context = 128

    def encode(self, text: str) -> list[int]:
        return [byte + 1 for byte in text.encode()]

    def decode(self, tokens: list[int]) -> str:
        return bytes((token - 1) % 256 for token in tokens).decode("utf-8", errors="replace")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bytes)

    def __hash__(self) -> int:
        return 1


@networks.register("tiny_llama")
def tiny_llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=VOCABULARY, num_key_value_heads=1, max_position_embeddings=256, **sizes)
    return LlamaForCausalLM(config)


@benchmarks.register("tiny_authors")
@dataclass(frozen=True)
class TinyAuthors(Benchmark):
    """Three first sentences, over and over."""

    title: ClassVar[str] = "Tiny authors"
    recipe: ClassVar[Recipe] = Recipe(1, 2, 1e-3)

    @property
    def tasks(self):
        return tuple(NextToken(name, VOCABULARY, spell=Bytes().decode) for name in NAMES)

    @property
    def reference(self):
        return (9.0,) * len(NAMES)

    @property
    def network(self):
        return "tiny_llama", {}

    @property
    def input_kind(self):
        return Prompt(Bytes)

    def convert(self, x, targets):
        tokens = x["input_ids"].long()
        return {"input_ids": tokens}, {"labels": tokens}

    def items(self) -> ArraySplit:
        rows = np.stack([np.array(Bytes().encode(text)[:LENGTH], np.int16) for text in TEXTS])
        return ArraySplit({"input_ids": rows}, {}, self.convert)


def make(folder: Path, scale: float = 3.0) -> Path:
    """A model folder with random weights and adapters, and a front."""
    torch.manual_seed(0)
    bench = TinyAuthors()
    method = PaLoRA()
    model = method.conditioning.condition(tiny_llama(), len(NAMES)).eval()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, std=scale * 0.05)
    card = {
        "name": folder.name,
        "title": "Tiny authors",
        "benchmark": {"name": "tiny_authors", "options": {}},
        "method": {"name": "palora", **to_dict(method)},
        "network": {"name": "tiny_llama", "options": {}},
        "tasks": [{"name": task.name, "kind": task.kind} for task in bench.tasks],
    }
    pc.save(folder, model, card)
    items = bench.items()
    evaluate(model, items, bench.tasks, bench.reference, about={"split": "test"}).save(folder / "front.json")
    save_samples(folder / "samples.npz", items, len(items))
    return folder
