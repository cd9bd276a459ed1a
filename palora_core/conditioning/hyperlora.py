"""HyperPALoRA's conditioning: a small hypernetwork makes one low-rank adapter per λ, so fronts need not be convex."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from palora_core.active import Active
from palora_core.adapters import LowRankLayer, insert_adapters
from palora_core.adapters.layer import is_opaque
from palora_core.conditioning.base import Conditioning, Pass, conditionings
from palora_core.conditioning.lowrank import LowRankModel
from palora_core.errors import UserError
from palora_core.machine import full_precision
from palora_core.ranges import CountOrNone, NotNegative, Positive, Range, check_ranges
from palora_core.sharding import is_sharded_tensor
from palora_core.swapping import swap


class HyperAdapter(LowRankLayer):
    """Mixin: W(λ) = W + α/r · B(e) A(e), A(e) = A₀ + Σ_h e_h A_h and B(e) likewise, e = e(λ) the hypernetwork's output.

    ``adapter_a`` is [h + 1, r, columns] and ``adapter_b`` [h + 1, rows, r]: the layer's own linear head.
    """

    prefix: ClassVar[str] = "Hyper"

    obstacle = "one hypernetwork makes its adapter for a whole batch"

    def factors(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """A [r, columns] and B [rows, r] for e [h]."""
        weights = torch.cat([embedding.new_ones(1), embedding])
        return torch.tensordot(weights, self.adapter_a, 1), torch.tensordot(weights, self.adapter_b, 1)

    def weight_at(self, embedding: Tensor) -> Tensor:
        """W + α/r · B(e) A(e), shaped like W."""
        down, up = self.factors(embedding)
        return self.base_weight + (self.adapter_scale * up @ down).view(self.base_weight.shape).to(
            self.base_weight.dtype
        )

    def computed_weight(self, preference: Tensor) -> Tensor:
        """Nothing: the model computes the weights of a pass before it begins."""
        raise UserError("These adapters are made by the model: call model(x, preference) or model.at(preference).")

    def deltas(self) -> Tensor:
        """None exist: W(λ) is no affine function of λ."""
        raise UserError("Adapters that a hypernetwork makes have no part per task.")


class HyperAdapterModel(LowRankModel):
    """A network, one adapter per layer, and the hypernetwork from λ to them."""

    kind: ClassVar[str] = "hyperlora"

    def __init__(self, network: nn.Module, num_tasks: int, options: HyperLoRA) -> None:
        super().__init__(network, num_tasks, options.adapter_lr_scale or None)
        self.options = options
        first, last = nn.Linear(num_tasks, options.hidden), nn.Linear(options.hidden, options.embedding)
        self.hypernetwork = nn.Sequential(first, nn.ReLU(), last, nn.Tanh())

    def adapter_parameters(self) -> list[nn.Parameter]:
        """The layers' heads and the hypernetwork."""
        return [*super().adapter_parameters(), *self.hypernetwork.parameters()]

    def embed(self, preference: Tensor) -> Tensor:
        """e(λ) [h] for λ [T], or [K, h] for [K, T]."""
        like = next(self.hypernetwork.parameters())
        with full_precision(like):
            found: Tensor = self.hypernetwork(preference.to(like))
        return found

    def generate(self, preference: Tensor) -> dict[tuple[int, str], Tensor]:
        """(id(layer), "weight") → W(λ), one tensor for layers that share theirs.

        Raises:
            UserError: FSDP2 holds layers in shards of their own, and gathers each only when it runs.
        """
        if any(is_sharded_tensor(layer.base_weight) for layer in self.layers):
            raise UserError(
                "Adapters that a hypernetwork makes are made before the network runs, and FSDP2 gathers the weights of "
                "parts that are sharded for themselves only when these run; call fully_shard on the model alone."
            )
        embedding = self.embed(preference)
        values: dict[tuple[int, str], Tensor] = {}
        with full_precision(embedding):
            for tied in self.groups():
                weight = cast(HyperAdapter, tied[0]).weight_at(embedding)
                values |= {(id(layer), "weight"): weight for layer in tied}
        return values

    def _active_at(self, preference: Tensor) -> Active:
        def generate() -> dict[tuple[int, str], Tensor]:
            return self.generate(preference)

        return Active(preference, generate(), again=generate)

    def _merge_into(self, network: nn.Module, preference: Tensor) -> None:
        values = self.generate(preference)
        made: dict[int, nn.Parameter] = {}
        for own, copied in list(zip(self.network.modules(), network.modules())):
            if isinstance(copied, HyperAdapter):
                value = values[id(own), "weight"]
                made.setdefault(id(value), nn.Parameter(value.detach().clone()))
                copied.plain_(made[id(value)])

    def basis(self) -> None:  # type: ignore[override]  # as every model whose weights are not affine in λ
        """None: the weights are no affine function of λ."""
        return None

    def _passes(self, dtype: torch.dtype | None, once: bool) -> AbstractContextManager[Callable[[Any], Pass]]:
        """Through autograd, with the hypernetwork's parameters as leaves."""
        return nullcontext(self.plain_pass)

    def regulariser(self) -> Tensor | None:
        """The spread loss on preferences drawn for it; None where it is off."""
        if not self.options.spread or not self.options.spread_points:
            return None
        count = self.options.spread_points
        drawn = torch.distributions.Dirichlet(torch.ones(self.num_tasks)).sample((count,))
        near = drawn + self.options.nearness * (
            torch.distributions.Dirichlet(torch.ones(self.num_tasks)).sample((count,)) - drawn
        )
        return self.options.spread * spread_loss(self.embed(drawn), self.embed(near), self.options.spread_temperature)


def spread_loss(embeddings: Tensor, near: Tensor, temperature: float) -> Tensor:
    """−mean_i log ( exp(cos(e_i, e'_i)/τ) / Σ_j exp(cos(e_i, e'_j)/τ) ): neighbours alike, distant λ's apart.

    Args:
        embeddings: e_i of K preferences [K, h].
        near: e'_i of a preference near each of them [K, h].
        temperature: τ.
    """
    ours, theirs = (nn.functional.normalize(one, dim=1) for one in (embeddings, near))
    similar = ours @ theirs.t() / temperature
    return nn.functional.cross_entropy(similar, torch.arange(len(similar), device=similar.device))


@conditionings.register("hyperlora")
@dataclass(frozen=True)
class HyperLoRA(Conditioning):
    """A hypernetwork from λ to one low-rank adapter per linear and convolution layer (HyperPALoRA, 2025).

    λ → an embedding of a few numbers → every layer's factors, by a linear head of its own. W(λ) is then no affine
    function of λ, and W(λ) = W at the start, as B's heads are zero. The contrastive loss keeps embeddings of
    neighbouring preferences alike and those of distant ones apart; the paper's abstract tells that much, and the form
    here is InfoNCE.

    Attributes:
        rank: r.
        alpha: α; adapters are scaled by α/r.
        hidden: width of the hypernetwork.
        embedding: h, numbers that it makes of λ.
        adapter_lr_scale: learning rate of the adapters over the base's; 0 means T.
        adapters_only: freeze everything else.
        bounded: grouped convolutions get no more adapter than weight.
        spread: factor on the contrastive loss; 0 for none.
        spread_points: preferences that are drawn for it in a step.
        spread_temperature: τ.
        nearness: how far a neighbour is moved towards another preference, in [0, 1].
    """

    controllable: ClassVar[bool] = True

    rank: Annotated[int, Range(1, 4096)] = 4
    alpha: Annotated[float, Range(0, 1e6, open_low=True)] = 4.0
    hidden: Annotated[int, Range(1, 65536)] = 32
    embedding: Annotated[int, Range(1, 4096)] = 8
    adapter_lr_scale: Annotated[float, Range(0, 1e4)] = 1.0
    adapters_only: bool = False
    bounded: bool = True
    spread: NotNegative = 0.01
    spread_points: CountOrNone = 8
    spread_temperature: Positive = 0.2
    nearness: Annotated[float, Range(0, 1)] = 0.1

    def __post_init__(self) -> None:
        check_ranges(self)

    def condition(self, network: nn.Module, num_tasks: int) -> HyperAdapterModel:
        """Insert adapters into ``network`` in place and wrap it with a hypernetwork."""
        like = next((p for p in network.parameters() if p.is_floating_point()), None)
        model = HyperAdapterModel(network, num_tasks, self)
        if like is not None:
            model.hypernetwork.to(like.device, like.dtype)
        how = (self.embedding + 1, self.rank, self.alpha, "kernel", model.active)
        for layer in insert_adapters(network, *how, bounded=self.bounded):
            layer.unswap_()
            if is_opaque(layer):
                raise UserError("hyperlora adds to the weights of layers, and a quantised one cannot be added to.")
            swap(layer, HyperAdapter)
        with torch.no_grad():
            for tied in model.groups():
                tied[0].adapter_a[1:].mul_(1 / math.sqrt(self.embedding))
        if self.adapters_only:
            model.train_adapters_only()
        return model
