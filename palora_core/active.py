"""Which preference the forward pass that is running right now uses, told to every layer that depends on λ."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor


class ActivePreference:
    """A cell shared by all λ-dependent layers of one model; its content belongs to the calling thread.

    A network's own ``forward`` never sees λ: the model that wraps it puts λ here, calls the network, and takes λ
    away again. The content is thread-local, so two threads may run one model at two preferences at once (a plain
    attribute mixed them up in most calls).
    """

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def preference(self) -> Tensor | None:
        """The λ [T] of this thread's running forward pass, or None outside of one."""
        return getattr(self._local, "preference", None)

    @property
    def tensors(self) -> Mapping[tuple[int, str], Tensor] | None:
        """Tensors (id(layer), name) → value that stand in for mixed ones during a training pass, or None."""
        return getattr(self._local, "tensors", None)

    @contextmanager
    def use(self, preference: Tensor, tensors: Mapping[tuple[int, str], Tensor] | None = None) -> Iterator[None]:
        """Make ``preference`` (and, in training, ready-made merged ``tensors``) active for the block."""
        before = self.preference, self.tensors
        self._local.preference, self._local.tensors = preference, tensors
        try:
            yield
        finally:
            self._local.preference, self._local.tensors = before

    def __reduce__(self) -> tuple[type[ActivePreference], tuple[()]]:
        # A copy or a pickle starts empty; layers of one copied model still share one cell, since both keep identity.
        return ActivePreference, ()
