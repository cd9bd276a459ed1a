"""What a kind of input is: the way from what a person sees or sends to what a network reads, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core.batches import tensors
from palora_core.errors import UserError, quoted
from palora_core.inputs._handover import Preprocessing
from palora_core.registry import Kinds

inputs = Kinds("input", package="palora_core.inputs")

MOST_BYTES = 20 * 2**20  # of a person's file


@dataclass(frozen=True)
class Input:
    """How the inputs of a problem look to people. This base: numbers of which nobody said more, and none can be sent.

    An input has two forms. *Shown* is what a person sees or sends (a picture, a text, named numbers); the other is
    what the network reads. Subclasses, one file per kind, are filed by ``@inputs.register("name")``
    (``pc.register("input", "name")`` in a plugin) and have that name as their ``kind``.
    """

    kind: ClassVar[str] = "input"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that :meth:`read` takes; () where people cannot send inputs of their own."""
        return ()

    def read(self, data: bytes) -> Any:
        """A person's file as it is shown.

        Raises:
            UserError: it cannot be read, in a sentence on what is wrong with it.
        """
        raise self._refusal()

    def takes(self, shown: Any) -> bool:
        """Whether ``shown``, perhaps read by another kind, can become an input of this one."""
        return False

    def to_input(self, shown: Any) -> Any:
        """A batch of one, as the network reads it."""
        raise self._refusal()

    def to_shown(self, x: Any) -> Any:
        """One input of a network, without the batch dimension, as it is shown; here: its numbers [N], flat."""
        return torch.cat([tensor.flatten().double() for tensor in tensors(x)]).cpu().numpy()

    def lost(self, shown: Any) -> str:
        """What of ``shown`` the network does not see, in a sentence; "" where it sees all."""
        return ""

    def to_file(self, shown: Any) -> bytes:
        """The reverse of :meth:`read`: a file that is read as ``shown``."""
        raise self._refusal()

    def preprocessing(self) -> Preprocessing | None:
        """How such a file becomes the network's input without this package; None where that cannot be done."""
        return None

    def _refusal(self) -> UserError:
        return UserError("Inputs of one's own cannot be sent to this model; choose one of its samples.")


def as_input(given: Input | str) -> Input:
    """What a benchmark names as its ``input_kind``: an :class:`Input`, or the name of one that needs no options.

    Raises:
        UserError: something else, or an input that must be told more.
    """
    if isinstance(given, Input):
        return given
    if not isinstance(given, str):
        raise UserError(f"input_kind is {quoted(given)}; expected an Input, such as palora_core.inputs.RGB((64, 64)).")
    made = inputs.get(given)
    try:
        found: Input = made()
    except TypeError as error:
        raise UserError(
            f"The input kind {given!r} needs options ({error}); give an object, such as {made.__name__}(…)."
        ) from None
    return found


def one_input(x: Tensor, dimensions: int) -> Tensor:
    """``x`` of one input, checked for its number of dimensions.

    Raises:
        UserError: another one.
    """
    if x.dim() != dimensions:
        raise UserError(f"An input has the shape {list(x.shape)}; expected {dimensions} dimensions.")
    return x
