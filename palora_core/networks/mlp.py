"""Multi-layer perceptron for tables: SARCOS (7 regressions) and Census (2 classifications)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import nn

from palora_core.networks.base import MultiTaskNetwork, networks


@networks.register("mlp")
def mlp(outputs: Mapping[str, int], inputs: int, hidden: Sequence[int] = (256,)) -> MultiTaskNetwork:
    """Linear layers with ReLU after each, then one linear head per task.

    21 inputs, three hidden layers of 256 and 7 heads of 1 make 139,015 parameters (SARCOS); 468 inputs, one hidden
    layer and two heads of 2 make 121,092 (Census).

    Args:
        outputs: task name → number of outputs.
        inputs: number of features of a row.
        hidden: width of every hidden layer.
    """
    widths = [inputs, *hidden]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    heads = {task: nn.Linear(widths[-1], count) for task, count in outputs.items()}
    return MultiTaskNetwork(nn.Sequential(*layers), heads)
