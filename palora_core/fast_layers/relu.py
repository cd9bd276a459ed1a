"""ReLUs that read bfloat16 on a CPU as integers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.swapping import SwappedLayer

MINUS_INFINITY = -128  # 0xFF80, bfloat16's −∞ read as an integer


def half_relu(x: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0) in bfloat16 by its bits: as integers, negative numbers are below 0 and the others stay what they are.

    A CPU computes bfloat16 in single precision and back, five times slower than the integers' threshold. NaN stays NaN
    with either sign: those with the sign bit are the integers from −127 to −1, just above −∞.
    """
    bits = x.view(torch.int16)
    if inplace:
        torch.threshold_(bits, MINUS_INFINITY, 0)
        return x
    return torch.threshold(bits, MINUS_INFINITY, 0).view(torch.bfloat16)


class _HalfReLU(torch.autograd.Function):
    """:func:`half_relu` with its gradient by the bits too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inplace: bool) -> Tensor:
        output = half_relu(x, inplace)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), (output,) = gradients, ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates once more, and integers have no gradient
            return torch.where(output > 0, gradient, 0), None
        bits = torch.ops.aten.threshold_backward(gradient.view(torch.int16), output.view(torch.int16), 0)
        return bits.view(torch.bfloat16), None


class FastReLU(SwappedLayer):
    """``nn.ReLU`` that reads bfloat16 on a CPU as integers."""

    prefix: ClassVar[str] = "Fast"
    inplace: bool

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        # Functions that change their input have no rule for vmap, which the stacked engine uses, nor for tracing.
        watched = torch._C._are_functorch_transforms_active() or torch.jit.is_tracing()
        if watched or x.dtype != torch.bfloat16 or x.device.type != "cpu":
            return F.relu(x, self.inplace)
        return _HalfReLU.apply(x, self.inplace)
