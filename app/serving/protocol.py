"""Messages of the live socket: JSON in, one binary frame (header + pictures) or one JSON error out.

A ``stream`` is answered by several frames of its number, until one says that it is ``done``; a newer one, or ``stop``,
ends it earlier, which is said as of any other request that was dropped.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from palora_core.errors import UserError

MAX_MESSAGE = 16_384
MAX_TASKS = 256
MAX_GALLERY = 64
MAX_ID = 200
MAX_SEED = 2**31
# Pseudo-preferences are of interest near the simplex only; the probe page shows this square.
LIMIT = 2.0

# Steps per unit of λ at which predictions are computed ahead and kept; beyond three tasks there is no lattice small
# enough, so it is only rounded.
STEPS = {1: 1, 2: 50, 3: 20}
OTHER_STEPS = 100
EXACT_STEPS = 10_000

Kind = Literal["predict", "scene", "gallery", "stream", "stop"]


@dataclass(frozen=True)
class Request:
    """One message of a client.

    Attributes:
        type: ``predict`` at a λ, the ``scene`` (input, ground truth, legends), a ``gallery`` of thumbnails, a
            ``stream`` of what goes on from an input at a λ, or ``stop``, the end of the one that runs.
        seq: the client's number for it, returned in the answer.
        model: model id.
        images: image ids; exactly one except for a gallery.
        preference: λ [T], clamped to ±``LIMIT``.
        exact: compute at this very λ, in the exact format, instead of at the nearest one of the lattice.
        errors: names of the tasks whose error is wanted instead of the prediction.
        seed: of what is drawn at random in a stream: with one seed, only λ makes a difference.
    """

    type: Kind
    seq: int
    model: str
    images: tuple[str, ...]
    preference: tuple[float, ...] = ()
    exact: bool = False
    errors: tuple[str, ...] = ()
    seed: int = 0

    @property
    def image(self) -> str:
        """The one image."""
        return self.images[0]


def parse(text: str) -> Request:
    """Check and read a message.

    Raises:
        UserError: one sentence on what is wrong with it.
    """
    if len(text) > MAX_MESSAGE:
        raise UserError(f"The message has {len(text)} characters; at most {MAX_MESSAGE} are read.")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("The message is not valid JSON.") from None
    if not isinstance(data, dict):
        raise UserError("The message must be a JSON object.")
    kind = data.get("type")
    if kind not in get_args(Kind):
        raise UserError(f"The message's type must be one of {', '.join(get_args(Kind))}.")
    seq = data.get("seq", 0)
    if not _is_sequence_number(seq):
        raise UserError("The message's seq must be a whole number of at least 0.")
    if kind == "stop":
        return Request(kind, seq, "", ())
    images = _names(data.get("images") if kind == "gallery" else [data.get("image")], "image", MAX_GALLERY)
    model = _names([data.get("model")], "model", 1)[0]
    if kind in ("scene", "gallery"):
        return Request(kind, seq, model, images)
    preference = _preference(data.get("preference"))
    if kind == "stream":
        return Request(kind, seq, model, images, preference, exact=True, seed=_seed(data.get("seed", 0)))
    exact = data.get("exact", False)
    if not isinstance(exact, bool):
        raise UserError("The message's exact must be true or false.")
    return Request(kind, seq, model, images, preference, exact, _names(data.get("errors", []), "errors", MAX_TASKS))


def sequence_number(text: str) -> int | None:
    """The number of a message that was refused, if it can be told."""
    try:
        seq = json.loads(text).get("seq")
    except (ValueError, AttributeError, RecursionError):
        return None
    return seq if _is_sequence_number(seq) else None


def _is_sequence_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _seed(value: Any) -> int:
    if not _is_sequence_number(value) or value >= MAX_SEED:
        raise UserError(f"The message's seed must be a whole number from 0 to {MAX_SEED - 1}.")
    return int(value)


def _names(value: Any, what: str, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise UserError(f"The message's {what} must be a list of at most {most} names.")
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_ID for name in value):
        raise UserError(f"The message's {what} must be given by name.")
    return tuple(value)


def _preference(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TASKS:
        raise UserError("The message's preference must be a list with one number per task.")
    if not all(map(_is_finite, value)):
        raise UserError("The message's preference must hold finite numbers only.")
    # Clamped before they become floats: whole numbers of hundreds of digits have none.
    return tuple(float(min(LIMIT, max(-LIMIT, number))) for number in value)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def snap(preference: Sequence[float], exact: bool = False) -> tuple[float, ...]:
    """The λ [T] of the lattice nearest to ``preference``; on the simplex the sum stays 1.

    Args:
        preference: λ [T].
        exact: round to four decimals instead.
    """
    steps = EXACT_STEPS if exact else STEPS.get(len(preference), OTHER_STEPS)
    counts = [math.floor(value * steps + 0.5) for value in preference]
    missing = steps - sum(counts)
    if missing and abs(sum(preference) - 1) < 1e-3:
        # Largest remainder: those that rounding treated worst give or take a step.
        order = sorted(range(len(counts)), key=lambda i: counts[i] - preference[i] * steps, reverse=missing < 0)
        for index in order[: abs(missing)]:
            counts[index] += 1 if missing > 0 else -1
    return tuple(count / steps for count in counts)


def pack(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """One binary frame: length of the header (uint32, little-endian), header as JSON, the blobs one after the other."""
    text = json.dumps({**header, "sizes": [len(blob) for blob in blobs]}, allow_nan=False).encode()
    return struct.pack("<I", len(text)) + text + b"".join(blobs)


def unpack(frame: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The inverse of :func:`pack`."""
    (length,) = struct.unpack_from("<I", frame)
    header = json.loads(frame[4 : 4 + length])
    blobs, offset = [], 4 + length
    for size in header["sizes"]:
        blobs.append(frame[offset : offset + size])
        offset += size
    return header, blobs
