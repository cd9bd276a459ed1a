"""The blind check of the model `authors`: who wrote this, guessed from generated text alone.

A naive Bayes classifier on groups of 2 to 4 characters learns from blocks of the texts that the model was not trained
on; it is shown only what the model wrote behind each prompt. Run from the checkout:

    python docs/results/authors_blind.py trained_models/authors DATA [out.json]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import palora_core as pc
from palora_core.benchmarks.authors import Authors
from palora_core.checkpoint import benchmark_of
from palora_core.networks.causal_lm import tokenizer

PROMPTS = (
    "The morning was",
    "I went to",
    "He looked at the sea and",
    "In the evening we",
    "When she came into the room,",
    "There was a letter",
    "Of all the money",
    "At last the king",
    "My friend said that",
    "The house stood",
)
TOKENS = 60
HOW = {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1}


class Guesser:
    """Multinomial naive Bayes over groups of characters."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [groups(text) for text in texts]
        self.known = sorted(set().union(*counts))
        table = np.array([[count[group] for group in self.known] for count in counts]) + 0.5
        self.logs = np.log(table / table.sum(1, keepdims=True))
        self.place = {group: column for column, group in enumerate(self.known)}

    def __call__(self, text: str) -> int:
        """The most likely author."""
        score = np.zeros(len(self.logs))
        for group, count in groups(text).items():
            if group in self.place:
                score += count * self.logs[:, self.place[group]]
        return int(score.argmax())


def groups(text: str) -> Counter[str]:
    """How often every group of 2 to 4 characters occurs."""
    return Counter(text[i : i + size] for size in (2, 3, 4) for i in range(len(text) - size + 1))


def unseen(made: Authors, data: Path) -> tuple[list[str], list[list[str]]]:
    """Per author, one text of all blocks that were not trained on, and the test blocks one by one."""
    codec = tokenizer(made.base)
    every, used = replace(made, train_blocks=0).load(data), made.load(data)
    books, tests = [], []
    for name in made.names:
        seen = {row.tobytes() for row in used["train"][name].inputs["input_ids"]}
        rest = [row for row in every["train"][name].inputs["input_ids"] if row.tobytes() not in seen]
        books.append("\n".join(codec.decode(row.tolist()) for row in rest))
        tests.append([codec.decode(row.tolist()) for row in used["test"][name].inputs["input_ids"]])
    return books, tests


@torch.no_grad()
def continued(network: torch.nn.Module, codec: object, prompt: str, seed: int) -> str:
    """What the network writes behind a prompt."""
    ids = torch.tensor([codec.encode(prompt)])
    torch.manual_seed(seed)
    found = network.generate(ids, max_new_tokens=TOKENS, min_new_tokens=TOKENS, pad_token_id=0, **HOW)
    return codec.decode(found[0, ids.shape[1] :].tolist())


def main(folder: Path, data: Path) -> dict:
    """All continuations, each with the guess, and the share that is right."""
    model, card = pc.load(folder)
    made, codec = benchmark_of(card), tokenizer(benchmark_of(card).base)
    books, tests = unseen(made, data)
    guess = Guesser(books)
    real = [(author, guess(text)) for author, texts in enumerate(tests) for text in texts]
    rows = []
    for author, name in enumerate(made.names):
        network = model.merge(torch.eye(len(made.names))[author])
        for seed, prompt in enumerate(PROMPTS):
            text = continued(network, codec, prompt, seed)
            rows.append({"corner": name, "prompt": prompt, "text": text, "guess": made.names[guess(text)]})
            print(f"[{name} → {rows[-1]['guess']}] {prompt}{text!r}", flush=True)
    right = {n: float(np.mean([row["guess"] == n for row in rows if row["corner"] == n])) for n in made.names}
    return {
        "accuracy": float(np.mean([row["guess"] == row["corner"] for row in rows])),
        "per_corner": right,
        "on_held_out_blocks_of_the_books": float(np.mean([a == b for a, b in real])),
        "tokens": TOKENS,
        "sampling": HOW,
        "continuations": rows,
    }


if __name__ == "__main__":
    found = main(Path(sys.argv[1]), Path(sys.argv[2]))
    print({key: value for key, value in found.items() if key != "continuations"})
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
