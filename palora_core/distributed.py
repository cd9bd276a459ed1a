"""Training on several processes under ``torchrun``: plain collectives, no wrapper around the model.

Wrappers hook into ``backward`` and never see the gradients that gradient surgery takes with ``autograd.grad``: ranks
then drift apart without an error. Here each rank works on its rows of the global batch, and three things are agreed:

* loss values (:func:`join_losses`): every rank sees those of the whole batch, valid elements weighted alike however
  they are spread over the ranks, so weights that a balancer computes or learns from them are the same everywhere;
* task gradients that a balancer compares (``Step.task_gradients``), and each step's ``.grad`` with the running
  statistics of BatchNorm (:func:`average_`), so all ranks take the same step to the bit;
* decisions: a stop asked for on one rank stops all (:func:`any_rank`).

BatchNorm normalises by the statistics of a rank's own rows, as it does under the usual wrappers. All functions do
nothing in a single process. The run folder must be visible to all ranks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from palora_core.errors import UserError


def start(device: str = "auto") -> str:
    """Join the ranks of ``torchrun``, if it started this process; returns this rank's device.

    Gloo on a CPU; on GPUs NCCL, one GPU per rank (by its number on the machine).
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device
    cuda = torch.cuda.is_available() and (device == "auto" or device.startswith("cuda"))
    if cuda:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UserError(f"Rank {local} of this machine has no GPU of its own; start at most one rank per GPU.")
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    if not dist.is_initialized():
        # Generous: the others wait while one rank makes a data set.
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(hours=2))
    return device if cuda else "cpu"


def finish() -> None:
    """Leave the group, at the end of a process."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many ranks train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, 0 in a single one."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this process writes the files."""
    return rank() == 0


@contextmanager
def one_first() -> Iterator[None]:
    """A block that one rank of each machine passes before the others do (it makes the files that they then read)."""
    waits = world_size() > 1 and int(os.environ.get("LOCAL_RANK", "0")) > 0
    if waits:
        dist.barrier()
    yield
    if world_size() > 1 and not waits:
        dist.barrier()


def part(count: int) -> slice:
    """This rank's share of ``count`` things: consecutive, sizes equal up to one."""
    size, own = world_size(), rank()
    return slice(own * count // size, (own + 1) * count // size)


def gathered(items: Sequence[Any]) -> list[Any]:
    """The concatenation of all ranks' items, on every rank."""
    if world_size() == 1:
        return list(items)
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, list(items))
    return [item for items in parts for item in items]


def any_rank(flag: bool) -> bool:
    """Whether ``flag`` is true on any rank; all ranks must ask."""
    if world_size() == 1:
        return flag
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    found = torch.tensor(float(flag), device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


@torch.no_grad()
def broadcast_(tensors: Iterable[Tensor]) -> None:
    """Overwrite every tensor by that of rank 0."""
    if world_size() > 1:
        for tensor in tensors:
            values = tensor.detach().contiguous()
            dist.broadcast(values, 0)
            tensor.copy_(values)


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Overwrite every tensor by its mean over the ranks; one message per precision."""
    if world_size() == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        own = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in own])
        dist.all_reduce(flat)
        flat /= world_size()
        for tensor, values in zip(own, flat.split([tensor.numel() for tensor in own])):
            tensor.copy_(values.view(tensor.shape))


@torch.no_grad()
def average_gradients_(parameters: Sequence[Tensor]) -> None:
    """Overwrite every ``.grad`` by its mean over the ranks; one that only some ranks have counts as zero elsewhere."""
    if world_size() == 1 or not parameters:
        return
    found = torch.tensor([parameter.grad is not None for parameter in parameters], device=parameters[0].device).int()
    dist.all_reduce(found, dist.ReduceOp.MAX)
    trained = [parameter for parameter, anywhere in zip(parameters, found.tolist()) if anywhere]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    average_([parameter.grad for parameter in trained if parameter.grad is not None])


class _Joined(torch.autograd.Function):
    """The whole batch's loss by value; its gradient is that of this rank's sum, scaled so that ranks' means add up."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, value: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (scale,) = ctx.saved_tensors
        return gradients[0] * scale, None, None


def join_losses(totals: Sequence[Tensor], counts: Sequence[Tensor]) -> list[Tensor]:
    """Mean losses over the valid elements of all ranks, from each rank's sums and numbers of elements.

    The values are equal on all ranks. Their gradients differ, and their mean over the ranks is the gradient of the mean
    loss over the global batch: Σ_ranks ∂total / Σ_ranks count, also where a rank has few valid pixels, or none.
    """
    sums = torch.stack([torch.stack([t.detach().double(), c.double()]) for t, c in zip(totals, counts)])
    dist.all_reduce(sums)
    count = sums[:, 1].clamp(min=1)
    values, scales = sums[:, 0] / count, world_size() / count
    return [_Joined.apply(t, v.to(t), s.to(t)) for t, v, s in zip(totals, values, scales)]
