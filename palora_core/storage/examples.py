"""The form of a model's inputs, as its card tells it: enough to make some where no sample travels with the model."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.storage.schema import mapping, name_in, number, text, whole, wrong

MOST_NUMBERS = 4_000_000  # of one input: a network's activations are a hundred times as many
MOST_PARTS, DEEPEST = 64, 4
DTYPES = {
    str(one).removeprefix("torch."): one
    for one in (
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    )
}


def described(inputs: Any) -> dict[str, Any] | None:
    """The form of a batch of inputs as JSON; None for containers other than dicts, lists and tuples.

    A tensor [B, …] is told by its shape without B, its format, and the least and largest of its values.
    """
    if isinstance(inputs, Tensor):
        known = inputs.double()
        ends = (known.min().item(), known.max().item()) if inputs.numel() else (0.0, 0.0)
        kind = str(inputs.dtype).removeprefix("torch.")
        told = {"shape": list(inputs.shape[1:]), "dtype": kind, "low": ends[0], "high": ends[1]}
        return told if kind in DTYPES and inputs.dim() else None
    if isinstance(inputs, Mapping):
        parts = {str(name): described(part) for name, part in inputs.items()}
        return None if None in parts.values() else {"parts": parts}
    if type(inputs) in (list, tuple):
        items = [described(item) for item in inputs]
        return None if None in items else {"items": items}
    return {"value": inputs} if inputs is None or isinstance(inputs, str | bool | int | float) else None


def made(told: Mapping[str, Any], count: int) -> Any:
    """``count`` inputs of a form: values drawn evenly from the range that was seen, the same at every call."""
    return _made(told, count, torch.Generator().manual_seed(0))


def _made(told: Mapping[str, Any], count: int, generator: torch.Generator) -> Any:
    if "parts" in told:
        return {name: _made(part, count, generator) for name, part in told["parts"].items()}
    if "items" in told:
        return tuple(_made(item, count, generator) for item in told["items"])
    if "shape" not in told:
        return told["value"]
    drawn = torch.rand(count, *told["shape"], generator=generator, dtype=torch.float64)
    dtype, low, high = DTYPES[told["dtype"]], told["low"], told["high"]
    if dtype.is_floating_point:
        return (low + (high - low) * drawn).to(dtype)
    return (low + ((high - low + 1) * drawn).floor()).clamp(low, high).to(dtype)


def check_example(value: Any) -> dict[str, Any] | None:
    """The form of inputs in parsed JSON, checked before memory is spent; None where there is none.

    Raises:
        UserError: naming what was found and what was expected.
    """
    if value is None:
        return None
    left = [MOST_PARTS, MOST_NUMBERS]
    return _checked(value, left, DEEPEST)


def _checked(value: Any, left: list[int], depth: int) -> dict[str, Any]:
    told = mapping(value, "its example")
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise UserError(f"its example has more than {MOST_PARTS} parts, or is too deep.")
    if "parts" in told:
        parts = mapping(told["parts"], "a part of its example").items()
        return {"parts": {name_in(name, "a part's name"): _checked(part, left, depth - 1) for name, part in parts}}
    if "items" in told:
        if not isinstance(told["items"], list):
            raise wrong("a part of its example", told["items"], "a list")
        return {"items": [_checked(item, left, depth - 1) for item in told["items"]]}
    if "shape" not in told:
        if not (told.get("value") is None or isinstance(told["value"], str | bool | int | float)):
            raise wrong("a value of its example", told["value"], "a number or a text")
        return {"value": told.get("value")}
    return _tensor(told, left)


def _tensor(told: Mapping[str, Any], left: list[int]) -> dict[str, Any]:
    shape = told["shape"]
    if not isinstance(shape, list) or len(shape) > 8:
        raise wrong("the shape of its example", shape, "a list of at most 8 numbers")
    sizes = [whole(size, "the shape of its example", 1, MOST_NUMBERS) or 1 for size in shape]
    left[1] -= prod(sizes)
    if left[1] < 0:
        raise UserError(f"its example has more than {MOST_NUMBERS:,} numbers.")
    kind = text(told.get("dtype"), "the format of its example")
    if kind not in DTYPES:
        raise wrong("the format of its example", kind, f"one of {', '.join(DTYPES)}")
    low, high = (number(told.get(end), "the range of its example", -(2.0**53), 2.0**53) or 0 for end in ("low", "high"))
    if low > high:
        raise wrong("the range of its example", [low, high], "the smaller number first")
    return {"shape": sizes, "dtype": kind, "low": low, "high": high}
