"""y = W x + B(s ⊙ A x) as one operation: W + B diag(s) A is never made, nor is a gradient of a frozen W.

Written with the stacked factors of T tasks, A [T, r, in] and B as [T, r, out], so that both are two skinny matrix
products, whatever T is. For backward x and A x are kept (what LoRA keeps): dx = Wᵀ dy + Aᵀ(s ⊙ Bᵀ dy) needs no more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from palora_core.machine import full_precision


def product(x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scales: Tensor) -> Tensor:
    """W x + bias + Bᵀ(s ⊙ (A x)) [..., out], in autocast's format where it is on.

    Args:
        x: [..., in].
        weight: W [out, in], of any layout.
        bias: [out] or None.
        down: A [T, r, in].
        up: B [T, r, out].
        scales: s [T·r], or [B, 1, …, T·r], which fits x's leading axes.
    """
    dtype = _autocast_dtype(x)
    own = {tensor.dtype for tensor in (x, weight, down, up) if dtype is None}
    if len(own) > 1 or _is_watched():
        return branch(F.linear(x, weight, bias), x, down, up, scales)
    dtype = dtype or x.dtype
    x, scales = x.to(dtype), scales.to(dtype)
    tensors = (x, weight, bias, down, up, scales)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        y: Tensor = _Product.apply(*tensors)
        return y
    return _forward(*tensors)[0]


def branch(y: Tensor, x: Tensor, down: Tensor, up: Tensor, scales: Tensor) -> Tensor:
    """``y`` and, computed in the factors' format, the adapters' share: y + Bᵀ(s ⊙ (A x)); for any way to make y."""
    inner = F.linear(x.to(down.dtype), _matrix(down)) * scales
    return y + F.linear(inner, _matrix(up).t()).to(y.dtype)


def _autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast rounds ``x`` to; None where it does not."""
    device = x.device.type
    if x.dtype == torch.float64 or not torch.amp.is_autocast_available(device):
        return None
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _is_watched() -> bool:
    """Whether somebody looks at the single operations: a compiler, vmap and the like, forward-mode derivatives."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return traced or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _matrix(factor: Tensor) -> Tensor:
    """A factor of all tasks, [T, r, n], as [T·r, n]."""
    return factor.reshape(-1, factor.shape[-1])


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scales: Tensor
) -> tuple[Tensor, Tensor]:
    """The result, and A x [..., T·r]."""
    own = None if bias is None else bias.to(x.dtype)
    y = F.linear(x, weight.to(x.dtype), own)
    inner = F.linear(x, _matrix(down).to(x.dtype))
    rows = (inner * scales).reshape(-1, inner.shape[-1])
    y.view(len(rows), -1).addmm_(rows, _matrix(up).to(x.dtype))
    return y, inner


class _Product(torch.autograd.Function):
    """:func:`product` of tensors in x's format, or, for parameters, to be rounded to it."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Tensor:
        x, weight, bias, down, up, scales = tensors
        y, inner = _forward(*tensors)
        needed = ctx.needs_input_grad[4] or ctx.needs_input_grad[5]
        ctx.save_for_backward(x, weight, down, up, scales, inner if needed else None)
        ctx.bias = None if bias is None else bias.dtype
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up, scales, inner = ctx.saved_tensors
        need, (gradient,) = ctx.needs_input_grad, gradients
        with full_precision(x):  # in x's format, whatever autocast says here
            a, b = (_matrix(factor).to(x.dtype) for factor in (down, up))
            if torch.is_grad_enabled():  # somebody differentiates once more, and A x has to have a graph
                inner = F.linear(x, a)
            before = gradient @ b.t()
            scaled = before * scales
            dx = _sum(gradient @ weight.to(x.dtype), scaled, a) if need[0] else None
            rows, columns = _matrix(x), _matrix(gradient)
            dw = (columns.t() @ rows).to(weight.dtype) if need[1] else None
            bias = columns.sum(0).to(ctx.bias) if need[2] else None
            da = (_matrix(scaled).t() @ rows).view(down.shape).to(down.dtype) if need[3] else None
            db = (_matrix(inner * scales).t() @ columns).view(up.shape).to(up.dtype) if need[4] else None
            ds = (before * inner).sum_to_size(scales.shape) if need[5] else None
        return dx, dw, bias, da, db, ds


def _sum(whole: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """whole + left @ right, in place where no graph is made."""
    if torch.is_grad_enabled():
        return whole + left @ right
    whole.view(-1, whole.shape[-1]).addmm_(_matrix(left), right)
    return whole
