"""Texts as training data of language models: packed blocks, answers to prompts, pairs of answers.

Tokens are lists of numbers; which tokenizer made them does not matter. Where a label is :data:`IGNORED` nothing is
asked for: the prompt, padding, and in a packed block the first token of each text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from palora_core.batches import Batch
from palora_core.data import ArraySplit
from palora_core.errors import UserError
from palora_core.objectives.dpo import IGNORED, log_likelihoods

Tokens = Sequence[int]
Pair = tuple[Tokens, Tokens, Tokens]  # a prompt, the answer that was chosen, the one that was rejected


def packed(texts: Iterable[Tokens], block: int, end: int) -> ArraySplit:
    """Texts one after another, each closed by the token ``end``, cut into whole blocks of ``block`` tokens.

    No text is asked to begin as if it went on from the one before.

    Raises:
        UserError: not even one block.
    """
    texts = [[*text, end] for text in texts]
    tokens = np.fromiter(chain.from_iterable(texts), np.int64)
    labels = tokens.copy()
    starts = np.cumsum([0, *map(len, texts)])[:-1]
    labels[starts] = IGNORED
    count = len(tokens) // block
    if not count:
        raise UserError(f"The texts have {len(tokens):,} tokens together, fewer than one block of {block}.")
    return ArraySplit(
        {"input_ids": tokens[: count * block].reshape(count, block)},
        {"labels": labels[: count * block].reshape(count, block)},
    )


def answers(pairs: Sequence[tuple[Tokens, Tokens]], length: int, pad: int = 0) -> ArraySplit:
    """Prompts with their answers, one per row; only answers are asked for.

    Args:
        pairs: (prompt, answer).
        length: tokens in a row.
        pad: token behind the end.

    Raises:
        UserError: one that is longer, an answer or a prompt without a token, or none at all.
    """
    if not pairs:
        raise UserError("There is no answer to learn from; expected at least one pair of a prompt and an answer.")
    tokens = np.full((len(pairs), length), pad, np.int64)
    labels = np.full((len(pairs), length), IGNORED, np.int64)
    for row, (prompt, answer) in enumerate(pairs):
        whole = [*prompt, *answer]
        if not prompt or not answer:
            raise UserError(f"Pair {row + 1} has an empty {'answer' if prompt else 'prompt'}; leave it out.")
        if len(whole) > length:
            raise UserError(
                f"Pair {row + 1} has {len(whole)} tokens, and a row holds {length}; shorten it, or raise length."
            )
        tokens[row, : len(whole)] = whole
        labels[row, len(prompt) : len(whole)] = answer
    return ArraySplit({"input_ids": tokens}, {"labels": labels})


def answer_pairs(
    network: nn.Module, triples: Sequence[Pair], length: int, pad: int = 0, batch_size: int = 8
) -> ArraySplit:
    """Pairs of answers for :class:`palora_core.objectives.DPO`, with what ``network`` thinks of them now.

    Args:
        network: the reference: the plain network, before it gets adapters.
        triples: (prompt, chosen answer, rejected answer).
        length: tokens in a row.
        pad: token behind the end.
        batch_size: pairs per forward pass.

    Raises:
        UserError: as :func:`answers`.
    """
    rows = answers([(prompt, answer) for prompt, *both in triples for answer in both], length, pad)
    tokens, labels = rows.inputs["input_ids"], rows.targets["labels"]
    reference = _reference(network, torch.from_numpy(tokens), torch.from_numpy(labels), 2 * batch_size)
    by_pair = {"input_ids": tokens.reshape(-1, 2, length)}
    return ArraySplit(
        by_pair, {"labels": labels.reshape(-1, 2, length), "reference": reference.numpy().reshape(-1, 2)}, _rows
    )


@torch.no_grad()
def _reference(network: nn.Module, tokens: Tensor, labels: Tensor, size: int) -> Tensor:
    training = network.training
    network.eval()
    parts = [
        log_likelihoods(network(input_ids=tokens[i : i + size])["logits"], labels[i : i + size])
        for i in range(0, len(tokens), size)
    ]
    network.train(training)
    return torch.cat(parts)


def _rows(inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Batch:
    """Pairs [B, 2, …] as rows [2B, …]: the chosen answer, then the rejected one."""
    return tuple({name: tensor.flatten(0, 1) for name, tensor in part.items()} for part in (inputs, targets))  # type: ignore[return-value]
