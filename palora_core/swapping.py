"""Layers whose class is swapped in place, as ``torch.nn.utils.parametrize`` does, for one that also knows λ.

Name, hooks, options, ``forward`` and base parameters of the layer stay what they are; only some attributes are read
through the mixin's properties. Classes are made on the fly, one per (mixin, plain class), so a copy or a pickle names
these two and makes the class again.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, cast

from torch import nn

from palora_core.errors import UserError


class SwappedLayer(nn.Module):
    """Base of the mixins that :func:`swap` puts in front of a layer's own class.

    Attributes:
        prefix: what the made classes' names begin with (``LowRank`` + ``Conv2d``).
        plain_class: the class that the layer came from.
        mixin: the class that was put in front of it.
    """

    prefix: ClassVar[str]
    plain_class: ClassVar[type[nn.Module]]
    mixin: ClassVar[type[SwappedLayer]]

    def unswap_(self) -> None:
        """Give the layer, in place, the class it came from; attributes of the mixin are the caller's to remove."""
        self.__class__ = type(self).plain_class  # type: ignore[assignment]  # what a swap is

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _empty_layer, (type(self).mixin, type(self).plain_class), self.__dict__.copy()


def refuse_value(layer: nn.Module, value: Any) -> None:
    """The setter of a weight that is computed.

    Raises:
        UserError: always; whoever puts a tensor in its place would take λ out of the layer.
    """
    raise UserError(
        f"The weight of {type(layer).__name__} depends on a preference and is computed, so nothing can be put in its "
        "place; nn.DataParallel and FSDP1 try to: use DDP or fully_shard (FSDP2)."
    )


Layer = TypeVar("Layer", bound=SwappedLayer)
_MADE: dict[tuple[type[SwappedLayer], type[nn.Module]], type[SwappedLayer]] = {}


def swap(layer: nn.Module, mixin: type[Layer]) -> Layer:
    """Put ``mixin`` in front of the class of ``layer``, in place; returns the same layer."""
    layer.__class__ = _swapped_class(mixin, type(layer))
    return cast(Layer, layer)


def _swapped_class(mixin: type[SwappedLayer], plain: type[nn.Module]) -> type[SwappedLayer]:
    key = mixin, plain
    if key not in _MADE:
        members = {"plain_class": plain, "mixin": mixin, "__doc__": plain.__doc__}
        # Of two threads that make it at once, both use the one that comes first.
        _MADE.setdefault(key, type(f"{mixin.prefix}{plain.__name__}", (mixin, plain), members))
    return _MADE[key]


def _empty_layer(mixin: type[SwappedLayer], plain: type[nn.Module]) -> SwappedLayer:
    return object.__new__(_swapped_class(mixin, plain))
