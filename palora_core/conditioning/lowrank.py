"""PaLoRA's conditioning: W(λ) = W + α/r · Σ_t λ_t B_t A_t in every linear and convolution layer (Eq. 1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from palora_core.adapters import LowRankLayer, insert_adapters
from palora_core.conditioning.base import Conditioning, ParetoModel, Pass, conditionings
from palora_core.errors import UserError


class LowRankModel(ParetoModel):
    """A network whose layers carry T low-rank adapters mixed by λ (Eq. 1)."""

    controllable = True

    def __init__(self, network: nn.Module, num_tasks: int, adapter_lr_scale: float | None = None) -> None:
        super().__init__(network, num_tasks)
        self.adapter_lr_scale = float(num_tasks if adapter_lr_scale is None else adapter_lr_scale)

    @property
    def layers(self) -> list[LowRankLayer]:
        """The adapted layers, in module order."""
        return [layer for layer in self.network.modules() if isinstance(layer, LowRankLayer)]

    @property
    def num_adapter_parameters(self) -> int:
        """How many parameters the adapters add."""
        return sum(layer.adapter_a.numel() + layer.adapter_b.numel() for layer in self.layers)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The base at ``lr``, the adapters at ``lr`` × T (the released code's factor: λ_t averages 1/T)."""
        adapters = {id(p) for layer in self.layers for p in (layer.adapter_a, layer.adapter_b)}
        trainable = [p for p in self.parameters() if p.requires_grad]
        base = [p for p in trainable if id(p) not in adapters]
        own = [p for p in trainable if id(p) in adapters]
        groups = [{"params": base, "lr": lr}, {"params": own, "lr": lr * self.adapter_lr_scale}]
        return [group for group in groups if group["params"]]

    def basis(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Every adapted weight: (W, [T, *W.shape] deltas)."""
        names = {layer: name for name, layer in self.network.named_modules()}
        return {f"{names[layer]}.weight".lstrip("."): (layer.base_weight, layer.deltas()) for layer in self.layers}

    def _merge_into(self, network: nn.Module, preference: Tensor) -> None:
        for layer in list(network.modules()):
            if isinstance(layer, LowRankLayer):
                layer.plain_(layer.mixed_weight(preference))

    @contextmanager
    def accumulate(self) -> Iterator[Callable[[Tensor], Pass]]:
        """Passes on merged weights: one leaf per layer and λ, one chain-rule step to W, A and B at the end.

        Exact: ∂/∂W = Σ_m g_m, ∂/∂Δ_t = Σ_m λ_mt g_m, and A, B follow from the sums. The memory is that of one
        preference, and the merge is differentiated once a step instead of once a preference.
        """
        from palora_core.conditioning._factored import MANY_TASKS, FactoredWeights

        merged = FactoredWeights(self) if self.num_tasks > MANY_TASKS else MergedWeights(self)
        yield merged.at
        merged.finish()


class MergedWeights:
    """Merged weights as autograd leaves, and the sums of their gradients over the preferences of one step.

    All of it is bound by memory, so everything is kept as flat vectors in the order in which W lies there, and nothing
    is rearranged between the passes: only the deltas once before them and their gradients once after.
    """

    def __init__(self, model: LowRankModel, deltas: bool = True) -> None:
        self.model = model
        self.layers = model.layers
        with torch.no_grad():
            self.deltas = [flattened(layer.deltas(), layer.base_weight) for layer in self.layers] if deltas else []
        self.base_gradients: list[Tensor | None] = [None] * len(self.layers)
        self.delta_gradients: list[Tensor | None] = [None] * len(self.layers)
        self.leaves: list[Tensor] = []
        self.preference: Tensor | None = None
        self.places = self._places()

    def _places(self) -> tuple[list[Any], list[list[Any]]]:
        """Shared and per-task leaves as (layer index | parameter), the adapters left out."""
        index = {id(layer.base_weight): i for i, layer in enumerate(self.layers)}
        adapters = {id(p) for layer in self.layers for p in (layer.adapter_a, layer.adapter_b)}
        shared, specific = self.model.split_parameters()

        def leaf(parameters: list[Tensor]) -> list[Any]:
            kept = [p for p in parameters if id(p) not in adapters and id(p) not in index]
            own = {id(p) for p in parameters}
            # A layer belongs to a group by its adapters: its base weight may be frozen (Pareto expansion).
            held = [own & {id(layer.adapter_a), id(layer.base_weight)} for layer in self.layers]
            inside = [i for i, parameters in enumerate(held) if parameters]
            return [*inside, *kept]

        return leaf(shared), [leaf(group) for group in specific]

    def at(self, preference: Tensor) -> Pass:
        """The pass at λ [T]; collects the gradients of the pass before it."""
        self.collect()
        self.preference = preference = self.model.as_preference(preference)
        with torch.no_grad():
            self.leaves = [self._merge(index, preference) for index in range(len(self.layers))]
        tensors = {(id(layer), "weight"): leaf for layer, leaf in zip(self.layers, self.leaves)}

        def forward(x: Tensor) -> Any:
            with self.model.active.use(preference, tensors):
                return self.model.network(x)

        def leaves(places: list[Any]) -> list[Tensor]:
            return [self.leaves[place] if isinstance(place, int) else place for place in places]

        shared, specific = self.places
        return Pass(preference, forward, leaves(shared), [leaves(group) for group in specific], self._adapter_gramian)

    def _merge(self, index: int, preference: Tensor) -> Tensor:
        weight = self.layers[index].base_weight
        mixed = torch.addmv(flattened(weight, weight), self.deltas[index].t(), preference)
        return shaped(mixed, weight).requires_grad_()

    def _adapter_gramian(self, gradients: Sequence[Sequence[Tensor]]) -> Tensor:
        """Inner products [T, T] of the tasks' gradients of the shared adapters, from those of the merged weights.

        At λ, ∂/∂A_u = λ_u·α/r·B_uᵀG and ∂/∂B_u = λ_u·α/r·G A_uᵀ for the gradient G of a merged weight.
        """
        assert self.preference is not None
        total = torch.zeros(len(gradients), len(gradients), device=self.preference.device, dtype=self.preference.dtype)
        for position, place in enumerate(self.places[0]):
            if not isinstance(place, int):
                continue
            layer = self.layers[place]
            for a, b in zip(*self._adapter_gradients(layer, torch.stack([g[position] for g in gradients]))):
                total += a.flatten(1) @ a.flatten(1).t() + b.flatten(1) @ b.flatten(1).t()
        return total

    def _adapter_gradients(self, layer: LowRankLayer, stacked: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Per adapter u, the T gradients of A_u and of B_u, from stacked weight gradients [T, *weight.shape]."""
        assert self.preference is not None
        rows, columns = layer.adapter_b.shape[1], layer.adapter_a.shape[2]
        flat = stacked.reshape(len(stacked), rows, columns)
        scales = (layer.adapter_scale * self.preference).tolist()
        a = [scale * (b.t() @ flat) for scale, b in zip(scales, layer.adapter_b.detach())]
        b = [scale * (flat @ a.t()) for scale, a in zip(scales, layer.adapter_a.detach())]
        return a, b

    def collect(self) -> None:
        """Add the gradients of the current leaves to the sums."""
        if self.preference is None:
            return
        for i, leaf in enumerate(self.leaves):
            if leaf.grad is None:
                continue
            gradient = flattened(leaf.grad, leaf)
            base, deltas = self.base_gradients[i], self.delta_gradients[i]
            if base is None or deltas is None:
                self.base_gradients[i], self.delta_gradients[i] = leaf.grad, torch.outer(self.preference, gradient)
            else:
                base.add_(leaf.grad)
                deltas.addr_(self.preference, gradient)
        self.leaves, self.preference = [], None

    @torch.no_grad()
    def finish(self) -> None:
        """Write the collected gradients to ``.grad`` of W, A and B (added to what is there)."""
        self.collect()
        for index, (layer, base) in enumerate(zip(self.layers, self.base_gradients)):
            found = self.adapter_gradients(index)
            if base is None or found is None:
                continue
            pairs = ((layer.base_weight, base), (layer.adapter_a, found[0]), (layer.adapter_b, found[1]))
            for parameter, gradient in pairs:
                if parameter.requires_grad:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)

    def adapter_gradients(self, index: int) -> tuple[Tensor, Tensor] | None:
        """∂/∂A and ∂/∂B of a layer, or None where nothing reached it."""
        deltas, layer = self.delta_gradients[index], self.layers[index]
        return None if deltas is None else layer.delta_gradients(shaped(deltas, layer.base_weight))


def flattened(tensor: Tensor, weight: Tensor) -> Tensor:
    """[…, numel] of a tensor […, *weight.shape], in the order of ``weight`` in memory: a view of what lies like it."""
    return (tensor.movedim(-3, -1) if _channels_last(weight) else tensor).flatten(-weight.dim())


def shaped(flat: Tensor, weight: Tensor) -> Tensor:
    """The inverse of :func:`flattened`: a view of ``flat`` as […, *weight.shape]."""
    if not _channels_last(weight):
        return flat.unflatten(-1, weight.shape)
    outputs, inputs, height, width = weight.shape
    return flat.unflatten(-1, (outputs, height, width, inputs)).movedim(-1, -3)


def _channels_last(weight: Tensor) -> bool:
    return weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)


@conditionings.register("lowrank")
@dataclass(frozen=True)
class LowRank(Conditioning):
    """Low-rank adapters on every linear and convolution layer (PaLoRA, Eq. 1).

    Attributes:
        rank: r.
        alpha: α; the adapters are scaled by α/r.
        conv_form: ``"flat"`` (the paper's tables) or ``"kernel"`` (fewer parameters).
        adapter_lr_scale: the adapters' learning rate over the base's; 0 means T, as the released code has it.
        adapters_only: freeze everything else (Pareto expansion).
        unfrozen: parts that ``adapters_only`` leaves out, dotted names separated by commas (``heads``).
    """

    controllable: ClassVar[bool] = True

    rank: int = 4
    alpha: float = 1.0
    conv_form: Literal["flat", "kernel"] = "flat"
    adapter_lr_scale: float = 0.0
    adapters_only: bool = False
    unfrozen: str = ""

    def condition(self, network: nn.Module, num_tasks: int) -> LowRankModel:
        """Insert adapters into ``network`` in place and wrap it."""
        model = LowRankModel(network, num_tasks, self.adapter_lr_scale or None)
        layers = insert_adapters(network, num_tasks, self.rank, self.alpha, self.conv_form, model.active)
        if self.adapters_only:
            model.requires_grad_(False)
            for layer in layers:
                layer.adapter_a.requires_grad_(True)
                layer.adapter_b.requires_grad_(True)
            for part in self.unfrozen_parts(network):
                part.requires_grad_(True)
        return model

    def unfrozen_parts(self, network: nn.Module) -> list[nn.Module]:
        """The modules of ``network`` that ``unfrozen`` names."""
        names = [name.strip() for name in self.unfrozen.split(",") if name.strip()]
        modules = dict(network.named_modules())
        unknown = [name for name in names if name not in modules]
        if unknown:
            raise UserError(f"{type(network).__name__} has no part {unknown[0]!r} to leave unfrozen.")
        return [modules[name] for name in names]


def palorize(
    network: nn.Module, num_tasks: int, rank: int = 4, alpha: float = 1.0, conv_form: Literal["flat", "kernel"] = "flat"
) -> LowRankModel:
    """Give a copy of any network T task-specific low-rank adapters per layer: W(λ) = W + α/r · Σ_t λ_t B_t A_t.

    The weights are kept, the network's ``forward`` is untouched, and the output at the start equals the network's own
    for every λ. ``network`` itself is not changed.

    Args:
        network: any ``nn.Module`` with Linear, Conv1d, Conv2d or Conv3d layers.
        num_tasks: T ≥ 1.
        rank: r ≥ 1.
        alpha: α.
        conv_form: ``"flat"`` or ``"kernel"``.

    Raises:
        UserError: see :func:`palora_core.adapters.insert_adapters`.
    """
    return LowRank(rank, alpha, conv_form).condition(copy.deepcopy(network), num_tasks)
