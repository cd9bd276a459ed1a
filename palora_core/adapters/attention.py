"""torch's attention with adapters on its packed projection, as branches: queries, keys and values in one product."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.adapters.branches import fitting, scales_of
from palora_core.adapters.compute import as_branches
from palora_core.adapters.layer import LowRankLayer
from palora_core.adapters.product import product


def can_branch(module: nn.Module) -> bool:
    """Whether a module is torch's attention with one packed projection and nothing appended to keys and values."""
    if not isinstance(module, nn.MultiheadAttention):
        return False
    plain = getattr(type(module), "plain_class", type(module))
    appended = module.bias_k is not None or module.add_zero_attn
    return plain.forward is nn.MultiheadAttention.forward and module._qkv_same_embed_dim and not appended


def branched_attention(
    attention: Any,
    packed: LowRankLayer,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None] | None:
    """What ``attention(query, key, value, …)`` gives, with the arguments of torch; None where it is to be merged."""
    active = packed.active.now
    if active is None or query.dim() != 3 or query.is_nested or (is_causal and attn_mask is None):
        return None
    leaf = active.tensors is not None and (id(packed), "weight") in active.tensors
    if leaf or not as_branches(packed, active.preference, query, query.numel() // query.shape[-1]):
        return None
    same = query is key, key is value
    if not attention.batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    heads = [
        x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for x in _projected(attention, packed, active.preference, (query, key, value), same)
    ]
    mask = _mask(attention, heads[0], heads[1], key_padding_mask, attn_mask)
    found, weights = _attended(
        heads[0], heads[1], heads[2], mask, attention.dropout if attention.training else 0.0, need_weights
    )
    y = attention.out_proj(found.transpose(1, 2).flatten(2))
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)
    return y if attention.batch_first else y.transpose(0, 1), weights


def _projected(
    attention: Any, packed: LowRankLayer, preference: Tensor, inputs: tuple[Tensor, ...], same: tuple[bool, bool]
) -> list[Tensor]:
    """Queries, keys and values [B, tokens, E]; those of one input at once."""
    size, found = attention.embed_dim, list[Tensor]()
    groups = {(True, True): [3], (False, True): [1, 2], (True, False): [2, 1]}.get(same, [1, 1, 1])
    start = 0
    for count in groups:
        x, rows = inputs[start], slice(start * size, (start + count) * size)
        bias = None if attention.in_proj_bias is None else attention.in_proj_bias[rows]
        scales = fitting(scales_of(packed, preference, x), x)
        up = packed.adapter_b[:, rows].transpose(1, 2)
        found += product(x, packed.base_weight[rows], bias, packed.adapter_a, up, scales).chunk(count, -1)
        start += count
    return found


def _mask(
    attention: Any, query: Tensor, key: Tensor, key_padding_mask: Tensor | None, attn_mask: Tensor | None
) -> Tensor | None:
    """Both masks as one that is added to the scores, [B | 1, H | 1, L, S]."""
    total: Tensor | None = None
    batch, heads, length, _ = query.shape
    if attn_mask is not None:
        shape = (1, 1, length, key.shape[2]) if attn_mask.dim() == 2 else (batch, heads, length, key.shape[2])
        total = _added(attn_mask, query.dtype).view(shape)
    if key_padding_mask is not None:
        padding = _added(key_padding_mask, query.dtype).view(batch, 1, 1, -1)
        total = padding if total is None else total + padding
    return total


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -math.inf)


def _attended(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, need_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """The values' mixtures [B, H, L, E/H], and, if asked for, with which weights [B, H, L, S]."""
    if not need_weights:
        return F.scaled_dot_product_attention(query, key, value, mask, dropout), None
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    weights = F.dropout(torch.softmax(scores if mask is None else scores + mask, -1), dropout)
    return weights @ value, weights
