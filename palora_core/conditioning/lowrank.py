"""PaLoRA's conditioning: W(λ) = W + α/r · Σ_t λ_t B_t A_t in every linear and convolution layer (Eq. 1)."""

from __future__ import annotations

import copy
import glob
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from palora_core.adapters import LowRankLayer, insert_adapters
from palora_core.adapters.branches import BranchingLayer
from palora_core.adapters.compute import COMPUTE, are_merged_leaves
from palora_core.adapters.coverage import Coverage
from palora_core.adapters.hosted import hosted_name
from palora_core.adapters.offsets import insert_offsets, merge_offsets_, offsets_of
from palora_core.adapters.rows import misplaced
from palora_core.adapters.selection import Selection, Selector, chosen_layers, is_product
from palora_core.conditioning._factors import DeltaWeight, FactoredWeight
from palora_core.conditioning._merged import merged_passes
from palora_core.conditioning.base import Conditioning, ParetoModel, Pass, conditionings
from palora_core.errors import UserError, quoted
from palora_core.ranges import Range
from palora_core.simplex import has_values

# Up to here T deltas are made once a step and mixed by one product per λ, which is as fast where M is several. With
# more tasks they would be most of the memory (40 tasks on a ResNet-18: 3.6 GB), and reading them most of the time.
MANY_TASKS = 3


class LowRankModel(ParetoModel):
    """A network whose layers carry T low-rank adapters mixed by λ (Eq. 1)."""

    kind: ClassVar[str] = "lowrank"
    controllable = True
    report: Any = None  # of a merged model what it keeps of its parts, see palora_core.merging

    def __init__(self, network: nn.Module, num_tasks: int, adapter_lr_scale: float | None = None) -> None:
        super().__init__(network, num_tasks)
        self.samples_checked = False  # whether layers are known to see the samples, see palora_core.adapters.rows
        self.adapter_lr_scale = float(num_tasks if adapter_lr_scale is None else adapter_lr_scale)

    def describe(self) -> dict[str, Any]:
        """T, every adapted layer with its rank, α and form, and which parameters have offsets."""
        layers = {n: layer.describe() for n, layer in self.network.named_modules() if isinstance(layer, LowRankLayer)}
        offsets = {"offsets": list(self.offsets())} if self.offsets() else {}
        return {**super().describe(), "layers": layers, **offsets}

    @property
    def layers(self) -> list[LowRankLayer]:
        """The adapted layers, in module order."""
        return [layer for layer in self.network.modules() if isinstance(layer, LowRankLayer)]

    def offsets(self) -> dict[str, nn.Parameter]:
        """What λ_t = 1 adds to parameters that are no matrices, by their names: [T, *shape] each; none as a rule."""
        return {name: offset.deltas for name, offset in offsets_of(self.network).items()}

    def adapter_parameters(self) -> list[nn.Parameter]:
        """All that belongs to single tasks: A and B of every layer, and offsets; each once."""
        factors: list[Any] = [p for tied in self.groups() for p in (tied[0].adapter_a, tied[0].adapter_b)]
        return list({id(p): p for p in (*factors, *self.offsets().values())}.values())

    @property
    def num_adapter_parameters(self) -> int:
        """How many parameters the adapters add."""
        return sum(parameter.numel() for parameter in self.adapter_parameters())

    def groups(self) -> list[list[LowRankLayer]]:
        """The adapted layers, those that share one weight (and so its adapters) together."""
        found: dict[int, list[LowRankLayer]] = {}
        for layer in self.layers:
            found.setdefault(id(layer.base_weight), []).append(layer)
        return list(found.values())

    def coverage(self) -> Coverage:
        """Which layers carry adapters, which do not and why, and the share of the weights that do."""
        return Coverage.of(self.network)

    def train_adapters_only(self) -> None:
        """Freeze everything but the adapters."""
        self.requires_grad_(False)
        for parameter in self.adapter_parameters():
            parameter.requires_grad_(True)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The base at ``lr``, the adapters at ``lr`` × T (the released code's factor: λ_t averages 1/T)."""
        adapters = {id(p) for p in self.adapter_parameters()}
        trainable = [p for p in self.parameters() if p.requires_grad]
        base = [p for p in trainable if id(p) not in adapters]
        own = [p for p in trainable if id(p) in adapters]
        groups = [{"params": base, "lr": lr}, {"params": own, "lr": lr * self.adapter_lr_scale}]
        return [group for group in groups if group["params"]]

    def basis(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Every adapted weight: (W, `[T, *W.shape]` deltas); and every parameter with offsets likewise."""
        names = {layer: name for name, layer in self.network.named_modules()}
        weights = {layer.weight_name(names[layer]): (layer.base_weight, layer.deltas()) for layer in self.layers}
        offsets = {name: (offset.base, offset.deltas) for name, offset in offsets_of(self.network).items()}
        return {**weights, **offsets}

    @property
    def compute(self) -> str:
        """How layers compute, ``"auto"``, ``"merged"`` or ``"branches"``: see :mod:`palora_core.adapters.compute`."""
        return self.active.compute

    @compute.setter
    def compute(self, value: str) -> None:
        if value not in COMPUTE:
            raise UserError(f"compute must be one of {', '.join(COMPUTE)}, found {value!r}.")
        self.active.compute = value

    def _check_per_sample(self) -> None:
        names = {layer: name for name, layer in self.network.named_modules()}
        unable = [f"{names[layer]} ({layer.obstacle})" for layer in self.layers if layer.obstacle is not None]
        unable += [f"{name} (an offset per preference)" for name in self.offsets()]
        if unable:
            more = f" and {len(unable) - 3} more" if len(unable) > 3 else ""
            raise UserError(
                f"These layers have one weight for a whole batch, and so cannot have a preference per sample: "
                f"{', '.join(unable[:3])}{more}; give one λ [{self.num_tasks}], or leave them out with exclude=."
            )
        if self.compute == "merged":
            raise UserError(
                'compute="merged" makes one weight for a whole batch; one preference per sample needs "auto".'
            )

    def _check_samples(self, preference: Tensor, args: Any, kwargs: Any) -> None:
        """By two more passes, once; see :mod:`palora_core.adapters.rows`."""
        if self.samples_checked or not has_values(preference):
            return
        self.samples_checked = True  # before: the passes call the network, too
        names = {layer: name for name, layer in self.network.named_modules() if isinstance(layer, BranchingLayer)}
        with self.active.idle():
            found = misplaced(self.network, list(names), len(preference), args, kwargs)
        if found:
            self.samples_checked = False
            raise UserError(
                f"The preference has {len(preference)} rows, one per sample, but samples are not the first axis "
                f"of what the layer {names[found[0]]!r} reads: give one λ [{self.num_tasks}], or leave that layer "
                "out with exclude=."
            )

    def _merge_into(self, network: nn.Module, preference: Tensor) -> None:
        merge_offsets_(network, preference)  # first: their hosts may be adapted layers
        made: dict[int, tuple[Tensor, nn.Parameter]] = {}  # the base is kept, so that its identity stays its own
        for layer in [module for module in network.modules() if isinstance(module, LowRankLayer)]:
            base = layer.base_weight
            if id(base) not in made:
                mixed = layer.mixed_weight(preference)
                made[id(base)] = base, nn.Parameter(mixed, requires_grad=base.requires_grad)
            layer.plain_(made[id(base)][1])

    def _passes(self, dtype: torch.dtype | None, once: bool) -> AbstractContextManager[Callable[[Any], Pass]]:
        """On merged weights, one leaf per layer and λ, one chain-rule step to W, A and B at the end; or as branches."""
        merged = FactoredWeight if self.num_tasks > MANY_TASKS else DeltaWeight
        mixed = [tied for tied in self.groups() if are_merged_leaves(tied)]
        return merged_passes(self, lambda: [merged(tied) for tied in mixed], dtype, once)


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
        bounded: grouped convolutions get no more adapter per task than weight (depthwise ones get the kernel form).
        layers: which layers get adapters, names or patterns separated by commas; empty for all.
        upper: share of these layers, counted from the outputs, that do; below the first one nothing goes backwards.
    """

    controllable: ClassVar[bool] = True
    before: ClassVar[dict[str, Any]] = {"bounded": False}  # what files mean that were written before these options

    rank: Annotated[int, Range(1, 4096)] = 4
    alpha: Annotated[float, Range(0, 1e6, open_low=True)] = 1.0
    conv_form: Literal["flat", "kernel"] = "flat"
    adapter_lr_scale: Annotated[float, Range(0, 1e4)] = 0.0
    adapters_only: bool = False
    unfrozen: str = ""
    bounded: bool = True
    layers: str = ""
    upper: Annotated[float, Range(0, 1, open_low=True)] = 1.0

    def condition(self, network: nn.Module, num_tasks: int) -> LowRankModel:
        """Insert adapters into ``network`` in place and wrap it."""
        model = LowRankModel(network, num_tasks, self.adapter_lr_scale or None)
        how = (num_tasks, self.rank, self.alpha, self.conv_form, model.active)
        insert_adapters(network, *how, self._selected(network), bounded=self.bounded)
        if self.adapters_only:
            model.train_adapters_only()
            for part in self.unfrozen_parts(network):
                part.requires_grad_(True)
        return model

    def _selected(self, network: nn.Module) -> Selection:
        """Which layers get adapters; None for all."""
        selected = listed(self.layers) or None
        if self.upper == 1:
            return selected
        names = [name for name, _ in chosen_layers(network, selected)]
        kept = set(names[-max(1, round(self.upper * len(names))) :])
        return partial(_is_one_of, kept)

    def check(self, network: Callable[[], nn.Module]) -> None:
        """``layers`` and ``unfrozen`` name parts of the network, and something is frozen."""
        if self.layers:
            chosen_layers(network(), listed(self.layers))
        if self.unfrozen and not self.adapters_only:
            raise UserError(
                f"unfrozen is {quoted(self.unfrozen)}, but nothing is frozen; set adapters_only=true as well."
            )
        if self.unfrozen:
            self.unfrozen_parts(network())

    def unfrozen_parts(self, network: nn.Module) -> list[nn.Module]:
        """The modules of ``network`` that ``unfrozen`` names."""
        names = listed(self.unfrozen)
        modules = dict(network.named_modules())
        unknown = [name for name in names if name not in modules]
        if unknown:
            known = ", ".join(name for name, _ in network.named_children())
            raise UserError(
                f"{type(network).__name__} has no part {quoted(unknown[0])} to leave unfrozen; it has {known} "
                "and what is inside of them."
            )
        return [modules[name] for name in names]


def listed(names: str) -> list[str]:
    """The names in ``"one, two"``."""
    return [name.strip() for name in names.split(",") if name.strip()]


def palorize(
    network: nn.Module,
    num_tasks: int,
    rank: int | Mapping[Any, int] = 4,
    alpha: float | Mapping[Any, float] = 1.0,
    conv_form: Literal["flat", "kernel"] = "flat",
    select: Selection = None,
    exclude: Selection = None,
    freeze_base: bool = False,
    compute: Literal["auto", "merged", "branches"] = "auto",
) -> LowRankModel:
    """Give a copy of any network T task-specific low-rank adapters per layer: W(λ) = W + α/r · Σ_t λ_t B_t A_t.

    The weights are kept, the network's ``forward`` is untouched, and the output at the start equals the network's own
    for every λ. ``network`` itself is not changed.

    Args:
        network: any ``nn.Module`` with Linear, Conv or ConvTranspose layers, or transformers' Conv1D; embeddings get
            adapters where they are selected, or tied to a layer that has them.
        num_tasks: T ≥ 1.
        rank: r ≥ 1; or ``{"*": 4, "heads": 8, nn.Conv2d: 2}``, of which the last that fits a layer counts.
        alpha: α; or a mapping likewise.
        conv_form: ``"flat"`` (the paper's tables) or ``"kernel"`` (fewer parameters); depthwise convolutions get the
            kernel form where the flat one is larger than their weight.
        select: which layers get adapters, by names, patterns, types of layers or of parts, or ``function(name, layer)``
            (``"trunk"``, ``["*.q_proj", "*.v_proj"]``, ``nn.Conv2d``); all by default. Parameters that are no layer's
            weight are named in full: ``["*", "blocks.*.proj_weight"]`` (``"*"``: all layers).
        exclude: which of these do not.
        freeze_base: train the adapters only.
        compute: ``"merged"`` makes every layer run on its weight W(λ), ``"branches"`` every one that can add the
            adapters' share to what it computes; both give the same. By default see :mod:`palora_core.adapters.compute`.

    Raises:
        UserError: see :func:`palora_core.adapters.insert_adapters`.
    """
    model = LowRankModel(copy.deepcopy(network), num_tasks)
    model.compute = compute
    how = (num_tasks, rank, alpha, conv_form, model.active)
    insert_adapters(model.network, *how, select, exclude, kinds=is_product)
    if freeze_base:
        model.train_adapters_only()
    if select is None:
        model.coverage().warn_if_little()
    return model


def with_described_adapters(network: nn.Module, description: Mapping[str, Any]) -> LowRankModel:
    """``network`` (not copied) with the adapters that :meth:`LowRankModel.describe` tells of, untrained.

    Raises:
        UserError: the network lacks a layer of the description.
    """
    try:
        model = LowRankModel(network, int(description["tasks"]))
        offsets = [str(name) for name in description.get("offsets", ())]
        groups: dict[tuple[int, float, str], set[str]] = {}
        for name, told in description["layers"].items():
            group = groups.setdefault((told["rank"], told["alpha"], told.get("form", "flat")), set())
            group.add(hosted_name(name) or name)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise UserError("The state's description of its model is damaged; use another copy of it.") from None
    modules, parameters = dict(network.named_modules()), dict(network.named_parameters(remove_duplicate=False))
    for (rank, alpha, form), names in groups.items():
        unknown = sorted(names - modules.keys() - parameters.keys())
        if unknown:
            raise UserError(
                f"{type(network).__name__} has no layer {quoted(unknown[0])}, which the model has "
                "adapters in; give the network that it was made of."
            )
        raw = [glob.escape(name) for name in names - modules.keys()]
        chosen: list[Selector] = [partial(_is_one_of, names), *raw]
        insert_adapters(network, model.num_tasks, rank, alpha, form, model.active, chosen, bounded=False)
    insert_offsets(network, offsets, model.num_tasks, model.active)
    return model


def _is_one_of(names: set[str], name: str, layer: nn.Module) -> bool:
    return name in names
