"""Merged or branches: the one place that decides how a layer computes W(λ) x.

Both ways give the same function; they differ in time and memory.

* ``merged``: W(λ) = W + α/r · Σ_t λ_t B_t A_t is made, and the layer runs on it. Costs out·in·T·r however few tokens
  there are, holds one weight per layer and λ for backward, and gives W's dense gradient along the way.
* ``branches``: y = W x + α/r · B(λ ⊙ A x). Costs T·r·(in + out) per token, keeps T·r numbers per token, and asks for
  no gradient of W. λ may be one per sample.

So, where nobody says otherwise (``compute="auto"``):

1. A layer whose form cannot be split (``layer.obstacle`` says why) is merged. One with a quantised weight runs as
   branches.
2. λ per sample [B, T]: branches, or an error that names the layers that cannot.
3. W is trained: merged, since its dense gradient is needed anyway, and serves the adapters too.
4. W is frozen and something else is trained: branches.
5. Nothing is differentiated: branches for few tokens, N·(in + out) ≤ in·out, merged for many. Where W is a trained one,
   only for an eighth as many, as when text is generated word by word: else answers are those of merge(λ) to the bit.
   (A compiled pass does not know N: branches where W is frozen.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from palora_core.adapters.layer import LowRankLayer

COMPUTE = ("auto", "merged", "branches")
FEWER = 8  # see 5.


def as_branches(layer: LowRankLayer, preference: Tensor, x: Tensor, tokens: int) -> bool:
    """Whether a layer that can run as branches does so in this pass, for ``tokens`` items of input in ``x``."""
    how, weight = layer.active.compute, layer.base_weight
    if preference.dim() > 1:
        return True
    if how != "auto":
        return how == "branches"
    if torch.is_grad_enabled():
        if weight.requires_grad:
            return False
        if any(tensor.requires_grad for tensor in (x, layer.adapter_a, layer.adapter_b, preference)):
            return True
    if torch.compiler.is_compiling():
        return not weight.requires_grad
    (_, rows, _), columns = layer.adapter_b.shape, layer.adapter_a.shape[-1]
    margin = FEWER if weight.requires_grad else 1
    return margin * tokens * (rows + columns) <= rows * columns


def are_merged_leaves(tied: Sequence[LowRankLayer]) -> bool:
    """Whether a training step makes W(λ) of these layers, which share one weight, a leaf per λ.

    Otherwise their adapters are the leaves themselves.
    """
    how = tied[0].active.compute
    able = all(layer.obstacle is None for layer in tied)
    return not able or how == "merged" or (how == "auto" and tied[0].base_weight.requires_grad)
