"""Plain texts of a folder, cut into blocks of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from palora_core.errors import UserError, quoted, shortened

SUFFIX = ".txt"
LEAST_BLOCKS = 3  # one each for training, validation and test
STRETCH = 4  # blocks in a row that are held out, about


def files_in(folder: Path) -> list[str]:
    """Names of the texts in a folder, in the order of the alphabet.

    Raises:
        UserError: there are none.
    """
    found = sorted(path.stem for path in folder.glob(f"*{SUFFIX}") if path.is_file()) if folder.is_dir() else []
    if not found:
        raise UserError(f"There is no text in {folder}; put one {SUFFIX} file per author there.")
    return found


def text_of(folder: Path, name: str) -> str:
    """One of its texts.

    Raises:
        UserError: missing, empty, or no plain text.
    """
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        others = files_in(folder)
        raise UserError(
            f"There is no {path.name} in {folder}; name the texts that are there, --set "
            f"texts={shortened(','.join(others), 120)}, or put it there."
        )
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is no plain text in UTF-8; save it as such.") from None
    if "\x00" in text:
        raise UserError(f"{path} holds zero bytes, so it is no plain text; save it as plain text in UTF-8.")
    if not text.strip():
        raise UserError(f"{path} is empty; put a text there, or leave {quoted(name)} out of texts.")
    return text


def blocks_of(tokens: Sequence[int], block: int, name: str) -> np.ndarray:
    """Whole blocks int32 [N, block], in the text's order; the rest at its end is left out.

    Raises:
        UserError: fewer than are needed to train and to hold some out.
    """
    count = len(tokens) // block
    if count < LEAST_BLOCKS:
        raise UserError(
            f"The text {quoted(name)} has {len(tokens):,} tokens, fewer than {LEAST_BLOCKS} blocks of {block}; add to "
            "it, or lower --set block=…"
        )
    return np.array(tokens[: count * block], dtype=np.int32).reshape(count, block)


def held_out(count: int, held: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of a text's blocks are trained on, validated on and tested on: numbers, in the text's order.

    Stretches of a few blocks in a row are held out all over the text, for validation and for test in turn: the end of
    a book is one scene of it, and says little of its author.

    Args:
        count: blocks of the text, more than twice as many as are held out.
        held: blocks for validation, and as many for test.
    """
    stretches = -(-held // STRETCH)
    ends = np.linspace(0, count, 2 * stretches + 1).round().astype(int)[1:]
    sizes = [len(part) for part in np.array_split(np.arange(held), stretches)]
    parts = [np.arange(end - size, end) for end, size in zip(ends, np.repeat(sizes, 2))]
    val, test = (np.concatenate(parts[turn::2]) for turn in (0, 1))
    return np.setdiff1d(np.arange(count), [*val, *test]), val, test
