"""What the pass that is running right now uses, told to every layer that depends on λ: it belongs to the pass.

A network's own ``forward`` never sees λ: the model that wraps it puts λ here, calls the network, and takes λ away
again. Backward comes later, when another λ or none is active, yet it may run parts of the forward pass once more. So a
function that gradient checkpointing recomputes remembers what was active when it ran first, whichever thread runs it
again; and where a layer is asked for its weight during backward by something that remembers nothing, it refuses.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import checkpoint

from palora_core.errors import UserError

Values = Mapping[tuple[int, str], Tensor]


class Active(NamedTuple):
    """What the layers of one model read during a pass.

    Attributes:
        preference: λ [T].
        tensors: (id(layer), name) → value of tensors that stand in for mixed ones, or None.
        again: makes ``tensors`` anew, with a graph of their own, for parts of the pass that are differentiated apart.
    """

    preference: Tensor
    tensors: Values | None = None
    again: Callable[[], Values] | None = None

    def apart(self) -> Active:
        """The same for a recomputation that runs a backward pass of its own."""
        return self if self.again is None else self._replace(tensors=self.again())


class _Thread(threading.local):
    """What is active in one thread: model's cell → what its layers read.

    Attributes:
        active: never changed in place, so that it can be kept.
        recalled: whether it is that of a pass whose part is computed again.
    """

    active: Mapping[ActivePreference, Active] = {}
    recalled = False


_THREAD = _Thread()


class ActivePreference:
    """A cell shared by all λ-dependent layers of one model; its content belongs to the calling thread.

    Two threads may so run one model at two preferences at once.

    Attributes:
        compute: how the layers compute, for all threads, see :mod:`palora_core.adapters.compute`.
    """

    def __init__(self, compute: str = "auto") -> None:
        self.compute = compute

    @property
    def now(self) -> Active | None:
        """What this thread's running pass uses, or None outside of one.

        Raises:
            UserError: backward asks, and nobody remembered what its pass used.
        """
        found = _THREAD.active.get(self)
        if found is None and not _THREAD.recalled and _in_backward():
            raise UserError(
                "A weight that depends on a preference was read while backward runs, outside of any pass: something "
                "other than torch.utils.checkpoint computes again there, or a hook reads it. Run backward inside "
                "'with model.at(preference):' on this thread, or use torch.utils.checkpoint."
            )
        return found

    @property
    def preference(self) -> Tensor | None:
        """The λ [T] of this thread's running pass, or None outside of one."""
        found = self.now
        return None if found is None else found.preference

    @contextmanager
    def use(
        self, preference: Tensor, tensors: Values | None = None, again: Callable[[], Values] | None = None
    ) -> Iterator[None]:
        """Make λ and what belongs to it (see :class:`Active`) what the layers read in this block."""
        before = _THREAD.active
        _THREAD.active = {**before, self: Active(preference, tensors, again)}
        try:
            yield
        finally:
            _THREAD.active = before

    @contextmanager
    def idle(self) -> Iterator[None]:
        """A block in which nothing is active, inside of a pass, too: the layers are those of the network put in."""
        before = _THREAD.active
        _THREAD.active = {cell: one for cell, one in before.items() if cell is not self}
        try:
            yield
        finally:
            _THREAD.active = before

    def __reduce__(self) -> tuple[type[ActivePreference], tuple[str]]:
        # Layers of one copied model still share one cell, since copies and pickles keep identity.
        return ActivePreference, (self.compute,)


def _in_backward() -> bool:
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


class _Remembered:
    """A function that runs, whenever and in whatever thread, with what was active when this object was made."""

    def __init__(self, function: Callable[..., Any], apart: bool) -> None:
        self.function, self.apart = function, apart
        self.active = _THREAD.active

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.apart and not torch.is_grad_enabled():  # reentrant: the first time, as a part of the pass
            return self.function(*args, **kwargs)
        before = _THREAD.active, _THREAD.recalled
        _THREAD.recalled = True
        try:
            _THREAD.active = {cell: one.apart() if self.apart else one for cell, one in self.active.items()}
            return self.function(*args, **kwargs)
        finally:
            _THREAD.active, _THREAD.recalled = before


def _teach_checkpointing() -> None:
    """Let both of torch's ways of checkpointing remember; a torch without these names is left alone, and refused."""
    reentrant = getattr(checkpoint, "CheckpointFunction", None)
    other = getattr(checkpoint, "_CheckpointFrame", None)
    if reentrant is not None:
        reentrant.forward = staticmethod(_remembering(reentrant.forward, apart=True))
    if other is not None:
        other.__init__ = _remembering(other.__init__, apart=False)


def _remembering(method: Callable[..., Any], apart: bool) -> Callable[..., Any]:
    """``method(self, function, …)`` whose function remembers; marked, so that nothing is wrapped twice."""
    if getattr(method, "remembers_preference", False):
        return method

    @functools.wraps(method)
    def remembering(self: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(self, _Remembered(function, apart), *args, **kwargs)

    remembering.remembers_preference = True  # type: ignore[attr-defined]
    return remembering


_teach_checkpointing()
