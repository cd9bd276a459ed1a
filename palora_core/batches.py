"""Batches of any shape: the one module that looks inside nestings of tensors.

A batch is ``(inputs, targets)``, each any nesting of dicts, lists, tuples, named tuples, dataclasses and tensors, as a
collate function or a network's author likes them. Whoever moves, slices, counts, pins or sizes one asks here. Numbers
and texts in between travel along untouched, and integers stay integers.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from palora_core import machine
from palora_core.errors import UserError

Batch = tuple[Any, Any]
Passing = Literal["auto", "one", "unpacked", "keywords"]


def mapped(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """``tree`` with every tensor replaced by ``function(tensor)``; its containers keep their types."""

    def leaf(value: Any) -> Any:
        if isinstance(value, Tensor):
            return function(value)
        if isinstance(value, Mapping):  # those that torch does not know, a tokenizer's result for one
            return {key: mapped(function, item) for key, item in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: mapped(function, getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
            return dataclasses.replace(value, **parts)
        return value

    return pytree.tree_map(leaf, tree)


def tensors(tree: Any) -> list[Tensor]:
    """The tensors of ``tree``, in its order."""
    found: list[Tensor] = []
    mapped(found.append, tree)
    return found


def move(tree: Any, device: torch.device) -> Any:
    """``tree`` on ``device``; pictures lie there as convolutions read them fastest."""
    return mapped(lambda tensor: machine.channels_last(tensor.to(device, non_blocking=True)), tree)


def to_device(tree: Any, device: torch.device) -> Any:
    """``tree`` on ``device``, in the layout it has."""
    return mapped(lambda tensor: tensor.to(device), tree)


def floating(tree: Any, dtype: torch.dtype) -> Any:
    """``tree`` with its floating-point tensors in ``dtype``; integers (token ids, labels) stay what they are."""
    return mapped(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, tree)


def pinned(tree: Any) -> Any:
    """``tree`` in page-locked memory, from which a GPU reads without waiting."""
    return mapped(Tensor.pin_memory, tree)


def nbytes(tree: Any) -> int:
    """Bytes that the tensors of ``tree`` take."""
    return sum(tensor.nbytes for tensor in tensors(tree))


def count(tree: Any) -> int:
    """Number of items B: the length of the first tensor that has one.

    Raises:
        UserError: nothing in ``tree`` has a length.
    """
    for tensor in tensors(tree):
        if tensor.dim():
            return len(tensor)
    raise UserError(f"A batch holds no tensor with items along its first axis ({describe(tree)}); collate it into one.")


def rows(tree: Any, part: slice) -> Any:
    """The items ``part`` of every tensor that has B of them; what is not per item is kept whole."""
    items = count(tree)
    return mapped(lambda tensor: tensor[part] if tensor.dim() and len(tensor) == items else tensor, tree)


def describe(tree: Any) -> str:
    """The shape of ``tree`` for an error: "dict of input_ids [3, 96], attention_mask [3, 96]"."""
    if isinstance(tree, Tensor):
        return str(list(tree.shape))
    if isinstance(tree, Mapping):
        shown = ", ".join(f"{key} {describe(value)}" for key, value in list(tree.items())[:6])
        return f"dict of {shown or 'nothing'}"
    if isinstance(tree, list | tuple):
        return f"{type(tree).__name__} of {len(tree)}"
    return type(tree).__name__


def as_batch(found: Any) -> Batch:
    """What a loader yields as ``(inputs, targets)``.

    A pair is one already. A mapping (as tokenizers and Hugging Face's data sets give it) is both: a network takes the
    keywords that its forward names, objectives read the targets they name. A lone tensor has no targets.

    Raises:
        UserError: a tuple of another length.
    """
    if isinstance(found, Mapping):
        return found, found
    if isinstance(found, list | tuple) and not hasattr(found, "_fields"):
        if len(found) == 2:
            return found[0], found[1]
        raise UserError(
            f"A batch is a {type(found).__name__} of {len(found)} parts; expected (inputs, targets). Nest the parts "
            "that belong together, or give the problem unpack=, a function that makes the pair."
        )
    return found, {}


def passing(network: torch.nn.Module, inputs: Any, wanted: Passing = "auto") -> Passing:
    """How ``inputs`` become arguments of the network's forward.

    ``"one"`` hands them over as they are, ``"unpacked"`` a tuple as several arguments, ``"keywords"`` a mapping by its
    keys. ``"auto"`` decides by the signature: a mapping goes in as keywords where forward names one of its keys, a
    tuple is unpacked where forward requires as many arguments as it has parts.

    Raises:
        UserError: another word.
    """
    if wanted not in get_args(Passing):
        raise UserError(f"passing must be one of {', '.join(get_args(Passing))}, found {wanted!r}.")
    if wanted != "auto":
        return wanted
    parameters = list(inspect.signature(network.forward).parameters.values())
    if isinstance(inputs, Mapping):
        named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        return "keywords" if named & {str(key) for key in inputs} else "one"
    if isinstance(inputs, list | tuple):
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        required = sum(p.default is p.empty for p in positional)
        return "unpacked" if required > 1 and required <= len(inputs) <= len(positional) else "one"
    return "one"


def accepted(network: torch.nn.Module, inputs: Any, how: Passing) -> Any:
    """``inputs`` without the keywords that the network's forward does not name (a batch's labels, say)."""
    if how != "keywords":
        return inputs
    parameters = inspect.signature(network.forward).parameters.values()
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return dict(inputs)
    return {key: value for key, value in inputs.items() if key in {p.name for p in parameters}}


def call(function: Callable[..., Any], inputs: Any, how: Passing) -> Any:
    """``function`` of ``inputs``, handed over as :func:`passing` says."""
    if how == "keywords":
        return function(**inputs)
    return function(*inputs) if how == "unpacked" else function(inputs)
