"""A request's JSON as a network's inputs and λ, checked before anything is computed."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core import batches
from palora_core.errors import UserError, quoted
from palora_core.inputs.base import Input
from palora_core.inputs.table import as_csv
from palora_core.serving.http.limits import Refused

FIELDS = ("items", "inputs", "preference", "tasks", "classes")
LARGEST = 1e30  # of an input or a weight; float32 ends at 3e38
DEPTH = "The body is nested too deeply to be read."


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        Refused: no JSON, numbers that are none, or fields that nobody knows.
    """
    try:
        data = json.loads(body, parse_constant=_constant)
    except RecursionError:
        raise Refused(DEPTH, 400) from None
    except (ValueError, UnicodeDecodeError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"The body is no JSON ({str(error)[:120]}).", 400) from None
    if not isinstance(data, dict):
        raise Refused('The body is no JSON object; send {"items": […], "preference": […]}.', 400)
    foreign = [name for name in data if name not in FIELDS]
    if foreign:
        raise Refused(f"The field {quoted(foreign[0])} is not known; expected some of {', '.join(FIELDS)}.")
    return data


def _constant(name: str) -> float:
    raise Refused(f"The body holds {name}; expected finite numbers.", 422)


def preference_of(data: Mapping[str, Any], num_tasks: int, count: int) -> Tensor:
    """λ [T], or [B, T] with one per item.

    Raises:
        Refused: missing, not finite, or of another size.
    """
    wanted = f"expected {num_tasks} numbers, or {num_tasks} for each of the {count} items"
    if "preference" not in data:
        raise Refused(f"The field preference is missing; {wanted}.")
    found = _numbers(data["preference"], "preference")
    if found.shape not in ((num_tasks,), (count, num_tasks)):
        raise Refused(f"The field preference has the shape {list(found.shape)}; {wanted}.")
    return torch.from_numpy(found.astype(np.float32))


def inputs_of(data: Mapping[str, Any], kind: Input, example: Any, most: int) -> tuple[Any, int]:
    """The network's inputs, and how many items they are.

    Args:
        data: the request; ``items`` as people have them (``kind`` reads them), or ``inputs``, the network's own.
        kind: of the inputs.
        example: of the network's inputs, one item.
        most: items.

    Raises:
        Refused: neither or both, or what cannot be read.
    """
    if ("items" in data) == ("inputs" in data):
        found = "both are there" if "items" in data else "neither is there"
        raise Refused(f"Send either items, as people have them, or inputs, the network's own arrays; {found}.")
    if "inputs" in data:
        return _arrays(data["inputs"], example, most)
    items = data["items"]
    if not isinstance(items, list) or not items:
        raise Refused(f"The field items is {quoted(items)}; expected a list of one item at least.")
    _check_count(len(items), most)
    read = [_item(item, kind, place) for place, item in enumerate(items)]
    sizes = {batches.describe(one) for one in read}
    if len(sizes) > 1:
        raise Refused(f"The items become inputs of several sizes ({', '.join(sorted(sizes)[:3])}); send them apart.")
    return _joined(read), len(items)


def _item(item: Any, kind: Input, place: int) -> Any:
    try:
        return kind.to_input(kind.read(_file(item, kind)))
    except UserError as error:
        raise Refused(f"Item {place}: {error}") from None


def _file(item: Any, kind: Input) -> bytes:
    """An item as the file it could have been, so that there is one way to read it."""
    if not kind.suffixes:
        raise UserError("this model's inputs are not made of what people have; send inputs, the network's own arrays.")
    if isinstance(item, dict) and set(item) == {"file"}:
        try:
            return base64.b64decode(item["file"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise UserError("its file is not in base64.") from None
    if isinstance(item, dict) and "csv" in kind.suffixes:
        return as_csv(item)
    if isinstance(item, str) and "txt" in kind.suffixes:
        return item.encode("utf-8", "surrogatepass")
    wanted = " or ".join(kind.suffixes[:2])
    raise UserError(f'found {quoted(item)}; expected {{"file": "…"}} with a {wanted} file in base64.')


def _arrays(given: Any, example: Any, most: int) -> tuple[Any, int]:
    wanted = batches.named(example, "input")
    if isinstance(given, list):
        given = {"input": given}
    if not isinstance(given, dict) or set(given) != set(wanted):
        found = ", ".join(map(str, given)) if isinstance(given, dict) else quoted(given)
        raise Refused(f"The field inputs has {found or 'nothing'}; expected arrays called {', '.join(wanted)}.")
    read = {name: _array(given[name], tensor, name) for name, tensor in wanted.items()}
    counts = {len(one) for one in read.values()}
    if len(counts) > 1:
        raise Refused(f"The arrays of inputs have {' and '.join(map(str, sorted(counts)))} items; expected one number.")
    count = counts.pop()
    _check_count(count, most)
    return batches.filled(example, read.values()), count


def _array(given: Any, like: Tensor, name: str) -> Tensor:
    found, whole = _numbers(given, name), not like.is_floating_point()
    shape = ["items", *like.shape[1:]]
    if whole and (found != np.round(found)).any():
        raise Refused(f"The input {name} holds fractions; expected whole numbers.")
    # Numbers of tokens may be any; pictures and rows of another size than in training would give something, but what?
    fits = found.ndim == like.dim() and (whole or found.shape[1:] == tuple(like.shape[1:]))
    if not fits or not found.size:
        raise Refused(f"The input {name} has the shape {list(found.shape)}; expected {shape}.".replace("'", ""))
    return torch.from_numpy(found).to(like.dtype)


def _numbers(given: Any, name: str) -> np.ndarray:
    try:
        found = np.asarray(given)
    except (ValueError, OverflowError):
        raise Refused(f"The field {name} has rows of different lengths; expected numbers in one shape.") from None
    if found.dtype.kind not in "iuf":
        raise Refused(f"The field {name} holds something that is no number ({quoted(_odd(given))}).")
    found = found.astype(np.float64)
    if not np.isfinite(found).all() or np.abs(found).max(initial=0) > LARGEST:
        raise Refused(f"The field {name} holds a number that is not finite, or beyond {LARGEST:g}.")
    return found


def _odd(given: Any) -> Any:
    """The first thing in a nesting of lists that is no number."""
    while isinstance(given, list) and given:
        given = next((one for one in given if _is_odd(one)), given[0])
    return given


def _is_odd(one: Any) -> bool:
    return not isinstance(one, int | float | list) or isinstance(one, bool)


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise Refused(
            f"The request has {count:,} items; expected at most {most:,}: send them in several requests.", 413
        )


def _joined(items: Sequence[Any]) -> Any:
    parts = [batches.tensors(item) for item in items]
    return batches.filled(items[0], [torch.cat(column) for column in zip(*parts)])
