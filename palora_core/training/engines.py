"""Which engine makes a step's gradients, and why."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from palora_core.balancing.base import Balancer
from palora_core.batches import Caller
from palora_core.conditioning.base import ParetoModel
from palora_core.objectives import Objective
from palora_core.training import stacked
from palora_core.training.engine import Engine, Sequential


def choose_engine(
    name: str,
    model: ParetoModel,
    objectives: Sequence[Objective],
    balancer: Balancer,
    dtype: torch.dtype,
    device: torch.device,
    caller: Caller | None = None,
    sources: int = 1,
) -> tuple[Engine, str]:
    """The engine ``name`` and, in words, why it is this one.

    ``"auto"`` stacks small networks on a GPU, where launches cost more than arithmetic, and nothing else. Whatever
    cannot be stacked runs sequentially; the words say why.
    """
    caller = caller or Caller(model.network)
    one_by_one = Sequential(model, objectives, balancer, dtype, caller)
    if name == "sequential":
        return one_by_one, "sequential: as asked for"
    obstacle = stacked.obstacle(model, balancer, sources)
    if obstacle is not None:
        return one_by_one, f"sequential: the stacked engine is not for this run, since {obstacle}"
    at_once = stacked.Stacked(model, objectives, balancer, dtype, caller)
    if name == "stacked":
        return at_once, "stacked: as asked for"
    if device.type != "cuda":
        return one_by_one, "sequential: faster than stacking on this device"
    count = sum(p.numel() for p in model.network.parameters())
    if count > stacked.SMALL:
        return one_by_one, f"sequential: {count:,} parameters fill a GPU with one preference"
    return at_once, "stacked: a small network on a GPU"
