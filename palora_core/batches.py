"""Batches of any shape: the one module that looks inside nestings of tensors.

A batch is ``(inputs, targets)``, each any nesting of dicts, lists, tuples, named tuples, dataclasses and tensors, as a
collate function or a network's author likes them. Whoever moves, slices, counts, pins or sizes one asks here. Numbers
and texts in between travel along untouched, and integers stay integers.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from palora_core import machine
from palora_core.errors import UserError, one_line

Batch = tuple[Any, Any]
COMPILERS = ("torch._dynamo", "torch._inductor")  # where the errors of torch.compile are at home
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


def filled(tree: Any, values: Iterable[Tensor]) -> Any:
    """``tree`` with its tensors replaced by ``values``, in the order of :func:`tensors`."""
    given = iter(values)
    return mapped(lambda _: next(given), tree)


def named(tree: Any, name: str, top: bool = True) -> dict[str, Tensor]:
    """Its tensors by their places, in its order: ``ids``, ``image.left``, ``name_0``; a lone one `name`."""
    if isinstance(tree, Tensor):
        return {name: tree}
    start = "" if top else f"{name}."
    if isinstance(tree, Mapping):
        parts = [(f"{start}{key}", value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple) and not hasattr(tree, "_fields"):
        parts = [(f"{name}_{place}", value) for place, value in enumerate(tree)]
    elif isinstance(tree, tuple):
        parts = [(f"{start}{field}", value) for field, value in zip(tree._fields, tree)]  # type: ignore[attr-defined]
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        parts = [
            (f"{start}{field.name}", getattr(tree, field.name)) for field in dataclasses.fields(tree) if field.init
        ]
    else:
        return {}
    return {key: tensor for place, part in parts for key, tensor in named(part, place, False).items()}


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


def rows(tree: Any, part: slice | Tensor) -> Any:
    """The items ``part`` (a slice or numbers) of every tensor that has B; what is not per item is kept whole."""
    items = count(tree)
    return mapped(lambda tensor: tensor[part] if tensor.dim() and len(tensor) == items else tensor, tree)


def repeated(tree: Any, times: int) -> Any:
    """The items of ``tree`` that many times, one after another; what is not per item is kept whole."""
    items = count(tree)
    return mapped(lambda t: torch.cat([t] * times) if t.dim() and len(t) == items else t, tree)


def picked(tree: Any, places: Tensor) -> Any:
    """The items at ``places`` of every tensor that has B of them; what is not per item is kept whole."""
    items = count(tree)
    return mapped(lambda tensor: tensor[places] if tensor.dim() and len(tensor) == items else tensor, tree)


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


@contextmanager
def network_failures(inputs: Any, before: str = "") -> Iterator[None]:
    """A block in which a network is given ``inputs``; what goes wrong in it is told with their shapes.

    Args:
        inputs: what the network is given.
        before: :func:`describe` of inputs that it took before, if any.

    Raises:
        UserError: in place of any error but another one, too little memory, or a compiler's.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if type(error).__module__.startswith(COMPILERS):
            raise
        found = describe(inputs)
        took = f"; the inputs before were {before}" if before and before != found else ""
        raise UserError(f"The network failed ({one_line(error)}) on inputs {found}{took}.") from error


class Caller:
    """Hands inputs to a network's ``forward``, whoever stands in front of it (a model at λ, a merged copy).

    ``"one"`` hands them over as they are, ``"unpacked"`` a tuple as several arguments, ``"keywords"`` a mapping by its
    keys, without those that forward does not name (a batch's labels, say). ``"auto"`` decides by the signature: a
    mapping goes in as keywords where forward names one of its keys, a tuple is unpacked where forward requires as many
    arguments as it has parts.

    Args:
        network: whose ``forward`` is meant; None for one that takes its inputs as they are.
        wanted: see above.

    Raises:
        UserError: another word.
    """

    def __init__(self, network: torch.nn.Module | None = None, wanted: Passing = "auto") -> None:
        if wanted not in get_args(Passing):
            raise UserError(f"passing must be one of {', '.join(get_args(Passing))}, found {wanted!r}.")
        self.wanted: Passing = wanted
        parameters = list(inspect.signature(network.forward).parameters.values()) if network is not None else []
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._required, self._places = sum(p.default is p.empty for p in positional), len(positional)
        self._names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        self._open = any(p.kind == p.VAR_KEYWORD for p in parameters)

    def how(self, inputs: Any) -> Passing:
        """How ``inputs`` become arguments."""
        if self.wanted != "auto":
            return self.wanted
        if isinstance(inputs, Mapping):
            return "keywords" if self._names & {str(key) for key in inputs} else "one"
        if isinstance(inputs, list | tuple) and 1 < self._required <= len(inputs) <= self._places:
            return "unpacked"
        return "one"

    def read(self, inputs: Any) -> Any:
        """What of ``inputs`` the network is given: of a mapping handed over as keywords, those that forward names."""
        if self.how(inputs) != "keywords":
            return inputs
        return {key: value for key, value in inputs.items() if self._open or key in self._names}

    def __call__(self, function: Callable[..., Any], inputs: Any) -> Any:
        """``function`` of ``inputs``."""
        how = self.how(inputs)
        if how == "keywords":
            return function(**self.read(inputs))
        return function(*inputs) if how == "unpacked" else function(inputs)

    def at(self, model: Callable[..., Any], inputs: Any, preference: Tensor) -> Any:
        """A λ-conditioned model's answer for ``inputs`` at λ [T]."""
        return self(functools.partial(model, preference=preference), inputs)
