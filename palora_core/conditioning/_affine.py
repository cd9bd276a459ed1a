"""Exact gradients for parameters that are affine in λ, W(λ) = W + Σ_t λ_t Δ_t, at the memory of one preference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from palora_core.conditioning.base import ParetoModel, Pass


@dataclass
class AffineTensor:
    """One tensor of the network as an affine function of λ.

    Attributes:
        places: (id(module), name) of every place that reads it.
        base: W, or None for zero.
        deltas: Δ [T, *W.shape]; base and deltas may carry a graph that leads to ``sources``.
        sources: the model's parameters behind it.
        memory_format: layout that W(λ) is given if it is 4-D.
    """

    places: list[tuple[int, str]]
    base: Tensor | None
    deltas: Tensor
    sources: list[Tensor]
    memory_format: torch.memory_format = torch.contiguous_format

    def at(self, preference: Tensor) -> Tensor:
        """W(λ) for λ [T]."""
        flat = self.deltas.flatten(1).t()
        mixed = flat @ preference if self.base is None else torch.addmv(self.base.reshape(-1), flat, preference)
        mixed = mixed.view(self.deltas.shape[1:])
        return mixed.contiguous(memory_format=self.memory_format) if mixed.dim() == 4 else mixed


class AffinePasses:
    """Passes on leaves W(λ_m); the sums Σ_m g_m and Σ_m λ_mt g_m go through the graph of W and Δ_t once, at the end.

    Args:
        model: whose parameters are trained.
        tensors: the affine tensors, with their graphs.
        gramian: ``gramian(λ, gradients of all leaves) → [T, T]``, the inner products of the tasks' gradients with
            respect to the sources; None differentiates the graph once per task.
    """

    def __init__(
        self,
        model: ParetoModel,
        tensors: list[AffineTensor],
        gramian: Callable[[Tensor, Sequence[Sequence[Tensor]]], Tensor] | None = None,
    ) -> None:
        self.model = model
        self.tensors = [tensor for tensor in tensors if any(source.requires_grad for source in tensor.sources)]
        self.frozen = [tensor for tensor in tensors if not any(source.requires_grad for source in tensor.sources)]
        self.gramian = gramian
        self.base_sums: list[Tensor | None] = [None] * len(self.tensors)
        self.delta_sums: list[Tensor | None] = [None] * len(self.tensors)
        self.leaves: list[Tensor] = []
        self.preference: Tensor | None = None
        shared, specific = model.split_parameters()
        self.shared, self.specific = self._places(shared), [self._places(group) for group in specific]

    def _places(self, parameters: list[Tensor]) -> list[Any]:
        """A group of parameters as leaves: (index of an affine tensor | parameter outside of all of them)."""
        own = {id(p) for p in parameters}
        inside = [i for i, tensor in enumerate(self.tensors) if any(id(source) in own for source in tensor.sources)]
        behind = {id(source) for tensor in self.tensors for source in tensor.sources}
        return [*inside, *(p for p in parameters if id(p) not in behind)]

    def at(self, preference: Tensor) -> Pass:
        """The pass at λ [T]; collects the gradients of the pass before it."""
        self.collect()
        self.preference = preference = self.model.as_preference(preference)
        with torch.no_grad():
            self.leaves = [tensor.at(preference).requires_grad_() for tensor in self.tensors]
            frozen = [tensor.at(preference) for tensor in self.frozen]
        pairs = [*zip(self.tensors, self.leaves), *zip(self.frozen, frozen)]
        values = {place: leaf for tensor, leaf in pairs for place in tensor.places}

        def forward(x: Tensor) -> Any:
            with self.model.active.use(preference, values):
                return self.model.network(x)

        def leaves(places: list[Any]) -> list[Tensor]:
            return [self.leaves[place] if isinstance(place, int) else place for place in places]

        return Pass(preference, forward, leaves(self.shared), [leaves(g) for g in self.specific], self._extra_gramian)

    def _extra_gramian(self, gradients: Sequence[Sequence[Tensor]]) -> Tensor:
        """Inner products [T, T] over the sources, less those over the leaves that the caller adds itself."""
        assert self.preference is not None
        chosen = [(place, column) for column, place in enumerate(self.shared) if isinstance(place, int)]
        if not chosen:
            return self.preference.new_zeros(len(gradients), len(gradients))
        rows = [[row[column] for _, column in chosen] for row in gradients]
        leaves = _gramian(rows)
        if self.gramian is not None:
            return self.gramian(self.preference, rows) - leaves
        sources = [self._source_gradients([place for place, _ in chosen], row) for row in rows]
        return _gramian(sources) - leaves

    def _source_gradients(self, places: list[int], row: Sequence[Tensor]) -> list[Tensor]:
        """One task's gradient of the sources, from its gradients of the leaves at ``places``."""
        assert self.preference is not None
        outputs, gradients = self._roots(places, row, [_outer(self.preference, g) for g in row])
        sources = {id(s): s for place in places for s in self.tensors[place].sources if s.requires_grad}
        found = torch.autograd.grad(outputs, list(sources.values()), gradients, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(s) if g is None else g for s, g in zip(sources.values(), found)]

    def _roots(self, places: Sequence[int], base: Any, deltas: Any) -> tuple[list[Tensor], list[Tensor]]:
        """Tensors to start the chain rule from, and their gradients."""
        pairs: list[tuple[Tensor | None, Tensor]] = []
        for place, of_base, of_deltas in zip(places, base, deltas):
            pairs += [(self.tensors[place].base, of_base), (self.tensors[place].deltas, of_deltas)]
        kept = [(root, gradient) for root, gradient in pairs if root is not None and root.requires_grad]
        return [root for root, _ in kept], [gradient for _, gradient in kept]

    def collect(self) -> None:
        """Add the gradients of the current leaves to the sums."""
        if self.preference is None:
            return
        for i, leaf in enumerate(self.leaves):
            if leaf.grad is None:
                continue
            outer = _outer(self.preference, leaf.grad)
            base, deltas = self.base_sums[i], self.delta_sums[i]
            self.base_sums[i] = leaf.grad if base is None else base.add_(leaf.grad)
            self.delta_sums[i] = outer if deltas is None else deltas.add_(outer)
        self.leaves, self.preference = [], None

    def finish(self) -> None:
        """Write the collected gradients to ``.grad`` of the model's parameters (added to what is there)."""
        self.collect()
        places = [i for i, total in enumerate(self.base_sums) if total is not None]
        sums = [self.base_sums[i] for i in places], [self.delta_sums[i] for i in places]
        roots, gradients = self._roots(places, *sums)
        if roots:
            torch.autograd.backward(roots, gradients)


def _outer(preference: Tensor, gradient: Tensor) -> Tensor:
    """λ_t · g for every t: [T, *g.shape]."""
    return preference.view(-1, *[1] * gradient.dim()) * gradient


def _gramian(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Inner products [T, T] of T non-empty lists of tensors."""
    stacked = (torch.stack([tensor.detach().reshape(-1) for tensor in column]) for column in zip(*rows))
    return torch.stack([flat @ flat.t() for flat in stacked]).sum(0)
