"""Multi-task networks: a trunk that all tasks share and one head per task."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from palora_core.registry import Registry

networks: Registry = Registry("network", package="palora_core.networks")


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
