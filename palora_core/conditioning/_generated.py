"""Networks whose parameters are all computed from λ: members that are mixed, or the output of a hypernetwork."""

from __future__ import annotations

import copyreg
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from palora_core.active import Active, ActivePreference
from palora_core.adapters import LowRankLayer
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError
from palora_core.machine import full_precision
from palora_core.normalisation import AnchoredBatchNorm
from palora_core.swapping import refuse_value


class _GeneratedType(type):
    """Type of the classes made on the fly here; pickles name the recipe and make the class again."""

    _recipe: tuple[type, type, tuple[str, ...]]


copyreg.pickle(_GeneratedType, lambda made: (generated_class, made._recipe))  # type: ignore[has-type]


class _Placeholders(dict[tuple[int, str], Tensor]):
    """A tensor for every parameter that somebody asks for."""

    def __missing__(self, key: tuple[int, str]) -> Tensor:
        return torch.empty(0)


class GeneratedLayer(nn.Module):
    """Mixin for any module: its parameters are those of the active preference.

    The class is swapped in place, so the module's own ``forward`` reads ``self.weight`` as ever and finds the tensor
    that the model computed for λ before the forward pass began.
    """

    active: ActivePreference

    def generated(self, name: str) -> Tensor:
        """The parameter ``name`` for the active preference."""
        active = self.active.now
        return self.idle(name) if active is None or active.tensors is None else active.tensors[id(self), name]

    def idle(self, name: str) -> Tensor:
        """The parameter ``name`` outside of a forward pass of the model."""
        raise UserError(f"the parameter {name!r} depends on a preference; call model(x, preference) or model.merge(…)")

    def extra_repr(self) -> str:
        """The layer's own description, which may ask whether there is a bias."""
        with self.active.use(torch.empty(0), _Placeholders()):
            return super().extra_repr()

    def plain_(self, values: Mapping[str, nn.Parameter]) -> None:
        """Turn this module back, in place, into the class it came from, with ``values`` as its parameters."""
        if isinstance(self, AnchoredBatchNorm):
            raise TypeError("statistics are merged before parameters")
        self.__class__ = type(self)._recipe[1]  # type: ignore[attr-defined]
        self.__dict__.pop("active", None)
        self._parameters.update(values)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _empty_module, (type(self),), self.__dict__.copy()


@functools.cache
def generated_class(
    mixin: type[GeneratedLayer], plain: type[nn.Module], names: tuple[str, ...]
) -> type[GeneratedLayer]:
    """The class of a ``plain`` module whose parameters ``names`` are generated."""
    members: dict[str, Any] = {name: property(functools.partial(_read, name=name), refuse_value) for name in names}
    members |= {"_recipe": (mixin, plain, names), "__doc__": plain.__doc__}
    return _GeneratedType(f"Generated{plain.__name__}", (mixin, plain), members)  # type: ignore[return-value]


def _read(layer: GeneratedLayer, name: str) -> Tensor:
    return layer.generated(name)


def _empty_module(made: type[nn.Module]) -> nn.Module:
    return object.__new__(made)


def parameter_owners(network: nn.Module) -> list[nn.Module]:
    """The modules that own parameters.

    Raises:
        UserError: there are none, or one whose parameters cannot be computed from λ.
    """
    owners = [module for module in network.modules() if any(p is not None for p in module._parameters.values())]
    if not owners:
        raise UserError(f"{type(network).__name__} has no parameters that could depend on a preference.")
    for module in owners:
        _check(module)
    return owners


def swap_parameters(
    network: nn.Module,
    mixin: type[GeneratedLayer],
    active: ActivePreference,
    replace: Callable[[nn.Module, str, nn.Parameter], nn.Parameter | None],
    among: Iterable[nn.Parameter] | None = None,
) -> None:
    """Swap, in place, the class of every module that owns parameters; only those ``among`` these, if given.

    Each parameter makes way for ``replace(module, name, parameter)``, of which None is a legal value. A tensor in
    two places is replaced once and stays tied.

    Raises:
        UserError: see :func:`parameter_owners`.
    """
    owners = parameter_owners(network)
    known: dict[int, nn.Parameter | None] = {}
    meant = {id(p) for p in (network.parameters() if among is None else among)}
    for module in owners:
        names = tuple(name for name, p in module._parameters.items() if p is not None and id(p) in meant)
        if not names:
            continue
        for name in names:
            parameter: nn.Parameter = module._parameters[name]  # type: ignore[assignment]
            if id(parameter) not in known:
                known[id(parameter)] = replace(module, name, parameter)
        for name in names:
            module._parameters[name] = known[id(module._parameters[name])]
        module.__class__ = generated_class(mixin, type(module), names)  # type: ignore[arg-type]
        module.active = active  # type: ignore[assignment]


def _check(module: nn.Module) -> None:
    if isinstance(module, (LowRankLayer, GeneratedLayer, AnchoredBatchNorm)):
        raise UserError("The network depends on a preference already; start from a plain one (model.merge gives one).")
    if isinstance(module, nn.RNNBase):
        raise UserError(
            f"{type(module).__name__} keeps a second list of its weights, so they cannot depend on a preference."
        )
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module._parameters.values()):
        raise UserError(
            f"{type(module).__name__} is lazy and has no shape yet; run one batch through the network first."
        )


class GeneratedModel(ParetoModel):
    """A network all of whose parameters are functions of λ; subclasses say which in :meth:`generate`."""

    controllable = True

    def generate(self, preference: Tensor) -> dict[tuple[int, str], Tensor]:
        """(id(module), parameter name) → value at λ [T], for every generated parameter; tied ones are one tensor."""
        raise NotImplementedError

    def _active_at(self, preference: Tensor) -> Active:
        def generate() -> dict[tuple[int, str], Tensor]:
            with full_precision(preference):  # whatever the inputs are in
                return self.generate(preference)

        return Active(preference, generate(), again=generate)

    def _merge_into(self, network: nn.Module, preference: Tensor) -> None:
        values = self.generate(preference)
        made: dict[int, nn.Parameter] = {}
        for own, copied in list(zip(self.network.modules(), network.modules())):
            if isinstance(copied, AnchoredBatchNorm):
                copied.plain_(preference)  # first: it was put on top of the generated class
            if isinstance(own, GeneratedLayer) and isinstance(copied, GeneratedLayer):
                mine = {name: values[id(own), name] for name in type(own)._recipe[2]}  # type: ignore[attr-defined]
                for value in mine.values():
                    made.setdefault(id(value), nn.Parameter(value.detach().clone()))
                copied.plain_({name: made[id(value)] for name, value in mine.items()})
