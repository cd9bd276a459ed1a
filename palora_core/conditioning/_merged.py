"""Weights W(λ) as autograd leaves: exact gradients of what lies behind them, at the memory of one preference.

A step's passes run one after another on merged weights. Between them only sums of gradients are kept, and the chain
rule to the parameters behind the weights runs once, at the end. All of this is bound by memory, so weights and sums are
flat vectors in the order in which W lies there: nothing is rearranged between the passes. Where passes run in a shorter
format, the leaves have it from the start, as autocast would round them anyway: W(λ) is rounded, and its gradient read,
block by block while in the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core.conditioning._prefix import Prefix
from palora_core.conditioning.base import ParetoModel, Pass
from palora_core.errors import UserError
from palora_core.machine import full_precision, keep_freed_memory

Place = tuple[int, str]

BLOCK = 1 << 18  # elements; the blocks of W, T deltas and the result stay in a core's cache together


class MergedTensor:
    """One tensor of the network as a function of λ, and the sums of its gradients over the passes of one step.

    Args:
        places: (id(module), name) of every place that reads it.
        sources: the model's parameters behind it.

    Attributes:
        matrix: whether only matrix products and convolutions read it, which autocast runs in the pass's format.
        dtype: the tensor's own format, that of the first source.
        like: a tensor on the device and in the format in which λ is read and sums are kept, the last source.
    """

    matrix: ClassVar[bool] = False

    def __init__(self, places: Sequence[Place], sources: Sequence[Tensor]) -> None:
        self.places, self.sources = list(places), list(sources)
        self.dtype, self.like = sources[0].dtype, sources[-1]
        self.sums: list[Tensor] | None = None

    def at(self, preference: Tensor, dtype: torch.dtype) -> Tensor:
        """A new tensor W(λ) for λ [T], without graph, rounded to ``dtype``."""
        raise NotImplementedError

    def pull(self, preference: Tensor, gradient: Tensor) -> list[Tensor]:
        """The gradients of the sources, from that of W(λ): the chain rule for one pass."""
        raise NotImplementedError

    def collect(self, preference: Tensor, gradient: Tensor) -> None:
        """Add what a pass at λ gave to the sums; ``gradient`` may be kept and changed."""
        found = self.pull(preference, gradient.to(preference.dtype))
        if self.sums is None:
            self.sums = found
        else:
            for total, own in zip(self.sums, found):
                total.add_(own)

    def totals(self) -> list[Tensor] | None:
        """The sums as gradients of the sources; None where no pass reached this tensor."""
        return self.sums

    def extra_gramian(self, preference: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """Inner products [T, T] of the sources' gradients less those of W(λ), from T gradients of W(λ)."""
        rows = [self.pull(preference, gradient) for gradient in gradients]
        kept = [column for source, column in zip(self.sources, zip(*rows)) if source.requires_grad]
        return torch.stack([inner_products(column) for column in kept]).sum(0) - inner_products(gradients)


class AffineTensor(MergedTensor):
    """W(λ) = W + Σ_t λ_t Δ_t.

    Args:
        places: as in the base class.
        sources: as in the base class; W may be one of them.
        base: W, or None for zero.
        deltas: Δ [T, *W.shape]; base and deltas may carry a graph that leads to ``sources``.
        channels_last: the layout that W(λ) has.
    """

    def __init__(
        self,
        places: Sequence[Place],
        sources: Sequence[Tensor],
        base: Tensor | None,
        deltas: Tensor,
        channels_last: bool = False,
    ) -> None:
        super().__init__(places, sources)
        self.shape, self.channels_last = deltas.shape[1:], channels_last
        # Only as roots of a graph: beside the flat copies they would be T + 1 networks of memory, new in every step.
        self.roots = [root if root is not None and root.requires_grad else None for root in (base, deltas)]
        flat_base = None if base is None else flattened(base.detach(), len(self.shape), channels_last)
        self.flat_base = None if flat_base is None else flat_base.to(deltas.dtype)
        self.flat_deltas = flattened(deltas.detach(), len(self.shape), channels_last)

    def at(self, preference: Tensor, dtype: torch.dtype) -> Tensor:
        """One matrix-vector product over flat vectors."""
        if dtype == self.flat_deltas.dtype:
            mixed = self.mixed(slice(None), preference)
        else:
            mixed = self.flat_deltas.new_empty(self.flat_deltas.shape[1], dtype=dtype)
            for block in blocks(mixed):
                mixed[block] = self.mixed(block, preference)
        return shaped(mixed, self.shape, self.channels_last)

    def mixed(self, block: slice, preference: Tensor) -> Tensor:
        """A block of W(λ)."""
        deltas = self.flat_deltas[:, block].t()
        return deltas @ preference if self.flat_base is None else torch.addmv(self.flat_base[block], deltas, preference)

    def chain(self, base: Tensor, deltas: Tensor) -> list[Tensor]:
        """The gradients of the sources from those of W and of Δ [T, *W.shape], through the graph."""
        kept = [(root, g.to(root.dtype)) for root, g in zip(self.roots, (base, deltas)) if root is not None]
        roots, gradients = zip(*kept)
        trained = [source for source in self.sources if source.requires_grad]
        found = torch.autograd.grad(roots, trained, gradients, retain_graph=True, allow_unused=True)
        given = {id(source): gradient for source, gradient in zip(trained, found) if gradient is not None}
        return [given[id(source)] if id(source) in given else torch.zeros_like(source) for source in self.sources]

    def pull(self, preference: Tensor, gradient: Tensor) -> list[Tensor]:
        """The chain rule from ∂/∂W = g and ∂/∂Δ_t = λ_t g."""
        return self.chain(gradient, preference.view(-1, *[1] * gradient.dim()) * gradient)

    def collect(self, preference: Tensor, gradient: Tensor) -> None:
        """Sums of g and of λ_t g; no chain rule yet."""
        flat = flattened(gradient, len(self.shape), self.channels_last)
        if self.sums is None:
            first = flat.to(preference.dtype)
            self.sums = [first, torch.outer(preference, first)]
            return
        for block in blocks(flat):
            part = flat[block].to(preference.dtype)
            self.sums[0][block].add_(part)
            self.sums[1][:, block].addr_(preference, part)

    def totals(self) -> list[Tensor] | None:
        """The chain rule for all passes at once: everything is linear in g and λ_t g."""
        if self.sums is None:
            return None
        return self.chain(*(shaped(total, self.shape, self.channels_last) for total in self.sums))


@dataclass(eq=False)
class _Open:
    """A pass whose gradients may still come.

    Attributes:
        preference: λ [T].
        leaves: one per trained merged tensor.
    """

    preference: Tensor
    leaves: list[Tensor]


class MergedPasses:
    """The passes of one training step on merged weights: ``at`` makes them, ``finish`` writes the gradients.

    Gradients are added to the sums when the next pass is made, and at the end; a pass that has none yet is kept until
    it has, in whatever order backward runs. What comes later still, by another backward of a pass that was let go, is
    added as it comes.

    Args:
        model: whose parameters are trained.
        tensors: what becomes a leaf per pass; other parameters of the model are leaves themselves.
        dtype: the passes' format under autocast, for leaves that it would round anyway; None keeps all as they are.
        prefix: computes what does not depend on λ once for all passes; None computes it in each.
    """

    def __init__(
        self,
        model: ParetoModel,
        tensors: Sequence[MergedTensor],
        dtype: torch.dtype | None = None,
        prefix: Prefix | None = None,
    ) -> None:
        self.model, self.dtype, self.prefix = model, dtype, prefix
        self.tensors = [tensor for tensor in tensors if any(source.requires_grad for source in tensor.sources)]
        self.frozen = [tensor for tensor in tensors if not any(source.requires_grad for source in tensor.sources)]
        self.open: list[_Open] = []
        self.finished = False
        shared, specific = model.split_parameters()
        self.shared, self.specific = self._places(shared), [self._places(group) for group in specific]

    def _places(self, parameters: list[Tensor]) -> list[Any]:
        """A group of parameters as leaves: (index of a merged tensor | parameter outside of all of them)."""
        own = {id(p) for p in parameters}
        inside = [i for i, tensor in enumerate(self.tensors) if any(id(source) in own for source in tensor.sources)]
        behind = {id(source) for tensor in self.tensors for source in tensor.sources}
        return [*inside, *(p for p in parameters if id(p) not in behind)]

    def at(self, preference: Any) -> Pass:
        """The pass at λ [T]."""
        self.collect()
        preference = self.model.as_preference(preference)
        one = _Open(preference, [])
        # Out of autocast, should the caller be in it: W(λ) is a sum in full precision, and rounded once.
        with torch.no_grad(), full_precision(preference):
            one.leaves = [self._mixed(tensor, preference).requires_grad_() for tensor in self.tensors]
            frozen = [self._mixed(tensor, preference) for tensor in self.frozen]
        self.open.append(one)
        pairs = [*zip(self.tensors, one.leaves), *zip(self.frozen, frozen)]
        values = {place: leaf for tensor, leaf in pairs for place in tensor.places}

        def forward(*args: Any, **kwargs: Any) -> Any:
            once = nullcontext() if self.prefix is None else self.prefix.remembering()
            with self.model.active.use(preference, values), once:
                return self.model.network(*args, **kwargs)

        def leaves(places: list[Any]) -> list[Tensor]:
            return [one.leaves[place] if isinstance(place, int) else place for place in places]

        gramian = functools.partial(self._extra_gramian, preference)
        return Pass(preference, forward, leaves(self.shared), [leaves(g) for g in self.specific], gramian)

    def _mixed(self, tensor: MergedTensor, preference: Tensor) -> Tensor:
        return tensor.at(preference.to(tensor.like), self.dtype if self.dtype and tensor.matrix else tensor.dtype)

    def _add_late(self, tensor: MergedTensor, preference: Tensor, leaf: Tensor) -> None:
        """Add a gradient that backward brings after its pass was let go."""
        if self.finished:
            raise UserError("Backward ran after the accumulate() block of its pass had ended; run it inside the block.")
        with torch.no_grad(), full_precision(leaf):
            _move(tensor, preference, leaf)

    def _extra_gramian(self, preference: Tensor, gradients: Sequence[Sequence[Tensor]]) -> Tensor:
        """What lies behind the shared leaves; the caller adds the inner products of the leaves themselves."""
        total = preference.new_zeros(len(gradients), len(gradients))
        for column, place in enumerate(self.shared):
            if isinstance(place, int):
                tensor = self.tensors[place]
                own = [row[column].detach().to(tensor.like.dtype) for row in gradients]
                with full_precision(preference):
                    total += tensor.extra_gramian(preference.to(tensor.like), own)
        return total

    @torch.no_grad()
    def collect(self) -> None:
        """Add the gradients of the leaves to the sums; let go of the passes that have some."""
        waiting = []
        for one in self.open:
            reached = [pair for pair in zip(self.tensors, one.leaves) if pair[1].grad is not None]
            with full_precision(one.preference):
                for tensor, leaf in reached:
                    _move(tensor, one.preference, leaf)
            if reached:
                self._let_go(one)
            else:
                waiting.append(one)
        self.open = waiting

    def _let_go(self, one: _Open) -> None:
        for tensor, leaf in zip(self.tensors, one.leaves):
            leaf.register_post_accumulate_grad_hook(functools.partial(self._add_late, tensor, one.preference))

    @torch.no_grad()
    def finish(self) -> None:
        """Write the collected gradients to ``.grad`` of the model's parameters (added to what is there)."""
        if self.prefix is not None:
            self.prefix.clear()
        self.collect()
        for one in self.open:
            self._let_go(one)
        self.finished, self.open = True, []
        for tensor in self.tensors:
            with full_precision(tensor.like):
                totals = tensor.totals() or ()
            for source, gradient in zip(tensor.sources, totals):
                if source.requires_grad:
                    own = gradient.to(source.dtype)
                    source.grad = own if source.grad is None else source.grad.add_(own)


def _move(tensor: MergedTensor, preference: Tensor, leaf: Tensor) -> None:
    """Add the gradient of a leaf to the sums, and take it from the leaf."""
    gradient, leaf.grad = leaf.grad, None
    assert gradient is not None  # this is called where there is one
    tensor.collect(preference.to(tensor.like), gradient.detach())


@contextmanager
def merged_passes(
    model: ParetoModel, tensors: Callable[[], Sequence[MergedTensor]], dtype: torch.dtype | None, once: bool = False
) -> Iterator[Callable[[Any], Pass]]:
    """The block behind :meth:`ParetoModel.accumulate` for a model of merged tensors, which ``tensors`` makes.

    With ``once``, what does not depend on λ is computed in the first pass only.
    """
    like = next(model.parameters())
    if like.device.type == "cpu":
        keep_freed_memory()
    with full_precision(like):
        passes = MergedPasses(model, tensors(), dtype, Prefix(model.network) if once else None)
    yield passes.at
    passes.finish()


def blocks(flat: Tensor) -> Iterator[slice]:
    """Slices of a vector that fit a core's cache; on a GPU, where a launch costs more than a read, all of it."""
    size = BLOCK if flat.device.type == "cpu" else len(flat)
    return (slice(start, start + size) for start in range(0, len(flat), size))


def inner_products(tensors: Sequence[Tensor]) -> Tensor:
    """Inner products [T, T] of T tensors of one shape."""
    flat = torch.stack([tensor.detach().reshape(-1) for tensor in tensors])
    return flat @ flat.t()


def is_channels_last(weight: Tensor) -> bool:
    """Whether a weight is an image convolution's and lies channels-last."""
    return weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)


def flattened(tensor: Tensor, dim: int, channels_last: bool) -> Tensor:
    """The last ``dim`` axes as one, in the order of the layout; a view of a tensor that lies so."""
    return (tensor.movedim(-3, -1) if channels_last else tensor).flatten(-dim)


def shaped(flat: Tensor, shape: Sequence[int], channels_last: bool) -> Tensor:
    """The inverse of :func:`flattened`: a view of ``flat`` whose last axes have ``shape``."""
    if not channels_last:
        return flat.unflatten(-1, tuple(shape))
    outputs, inputs, height, width = shape
    return flat.unflatten(-1, (outputs, height, width, inputs)).movedim(-1, -3)
