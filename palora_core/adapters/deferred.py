"""W(λ) for somebody who may only want to know its format: it is made where something is computed with it.

Networks look at ``layer.weight.dtype`` before they call a layer that runs as branches (T5 does); to make W(λ) for that
would cost more than the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

_KNOWN = {
    *(getattr(Tensor, name).__get__ for name in ("dtype", "device", "shape", "layout", "is_cuda", "is_meta", "ndim")),
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.__len__),
}


class Deferred(Tensor):
    """A tensor without memory that is replaced by what ``make`` gives as soon as an operation reads it."""

    make: Callable[[], Tensor]
    made: Tensor | None

    @staticmethod
    def like(base: Tensor, make: Callable[[], Tensor]) -> Deferred:
        """One of the shape, format and device of ``base``."""
        found = Tensor._make_wrapper_subclass(Deferred, base.shape, dtype=base.dtype, device=base.device)
        found.make, found.made = make, None
        return found

    def value(self) -> Tensor:
        """The tensor itself, made once."""
        with torch._C.DisableTorchFunctionSubclass():
            made, make = self.made, self.make
        if made is None:
            made = make()
            with torch._C.DisableTorchFunctionSubclass():
                self.made = made
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _KNOWN:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        own = pytree.tree_map_only(Deferred, Deferred.value, (args, kwargs or {}))
        return func(*own[0], **own[1])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own is a placeholder
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        own = pytree.tree_map_only(Deferred, Deferred.value, (args, kwargs or {}))
        return func(*own[0], **own[1])
