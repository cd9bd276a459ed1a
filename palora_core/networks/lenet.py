"""LeNet with one head per digit, as in the MultiMNIST experiments of the paper."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from palora_core.networks.base import MultiTaskNetwork, networks

UNITS = 50  # of the paper's layers between convolutions and classes


@networks.register("lenet")
def lenet(outputs: Mapping[str, int], batch_norm: bool = False, shared: int = UNITS) -> MultiTaskNetwork:
    """LeNet for 1 × 28 × 28 images; 27,450 parameters for two heads of 10 classes.

    With few ``shared`` units the tasks compete for them: the trunk ends in a bottleneck without a ReLU, which would
    waste the little it can say.

    Args:
        outputs: task name → number of classes.
        batch_norm: add a BatchNorm after each convolution (not in the paper; for studies of its statistics).
        shared: units at the end of the trunk; the paper's network has 50.
    """

    def norm(channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels)] if batch_norm else []

    trunk = nn.Sequential(
        *(nn.Conv2d(1, 10, 5), *norm(10), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(10, 20, 5), *norm(20), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(320, shared), *([nn.ReLU()] if shared >= UNITS else [])),
    )
    heads = {
        task: nn.Sequential(nn.Linear(shared, UNITS), nn.ReLU(), nn.Linear(UNITS, classes))
        for task, classes in outputs.items()
    }
    return MultiTaskNetwork(trunk, heads)
