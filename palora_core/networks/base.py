"""Multi-task networks: a trunk that all tasks share and one head per task."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from palora_core.registry import Registry

networks: Registry = Registry("network", package="palora_core.networks")


def mark_whole(network: nn.Module) -> None:
    """Note that none of a network's tensors was drawn: its factory, asked again, gives the very same ones.

    Where only adapters are trained on such a network, they alone are saved.
    """
    network.is_whole_base = True  # type: ignore[assignment]


def is_whole(network: nn.Module) -> bool:
    """Whether :func:`mark_whole` was said of a network."""
    return bool(getattr(network, "is_whole_base", False))


class MultiTaskNetwork(nn.Module):
    """``trunk`` then every head of ``heads``; predictions come as a dict by task name.

    Args:
        trunk: inputs → shared features.
        heads: task name → module from the features to that task's prediction.
    """

    def __init__(self, trunk: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict(heads)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Predictions by task name for inputs [B, …]."""
        features = self.trunk(x)
        return {name: head(features) for name, head in self.heads.items()}
