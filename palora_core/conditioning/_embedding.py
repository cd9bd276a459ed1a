"""λ beside the tokens: what additional inputs of the first layer are where that is a table of embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core.active import ActivePreference
from palora_core.swapping import SwappedLayer, swap

WIDTH = 64  # of the perceptron between λ and the vector


class ShiftedEmbedding(SwappedLayer):
    """Mixin for an embedding whose vectors are all moved by one, which a small perceptron makes of λ.

    A table has no further inputs, and a prefix of tokens for λ would move positions and be lost where a text is gone
    on with from a cache. The perceptron starts at zero. Outside of a forward pass of the model nothing is added.
    """

    prefix: ClassVar[str] = "Shifted"

    active: ActivePreference
    weight: Tensor
    embedding: nn.Sequential

    def forward(self, tokens: Tensor) -> Tensor:
        """The embedding's own vectors, and λ's."""
        preference = self.active.preference
        found: Tensor = super().forward(tokens)
        return found if preference is None else found + self.shift(preference).to(found.dtype)

    def shift(self, preference: Tensor) -> Tensor:
        """λ [T] as a vector [width]."""
        moved: Tensor = self.embedding(preference.to(next(self.embedding.parameters())))
        return moved

    def plain_(self, preference: Tensor) -> None:
        """Fix λ, in place: every row of the weight is moved, which a head that was tied to it is not."""
        moved = self.weight + self.shift(preference).to(self.weight)
        self._modules.pop("embedding")
        self.__dict__.pop("active")
        self.unswap_()
        self.weight = nn.Parameter(moved, requires_grad=self.weight.requires_grad)


def shift_(layer: nn.Embedding, num_tasks: int, active: ActivePreference) -> None:
    """Let ``layer`` add λ's vector, in place."""
    shifted = swap(layer, ShiftedEmbedding)
    shifted.active = active
    like: dict[str, Any] = {
        "device": layer.weight.device,
        "dtype": torch.promote_types(layer.weight.dtype, torch.float32),
    }
    last = nn.Linear(WIDTH, layer.embedding_dim, bias=False, **like)
    nn.init.zeros_(last.weight)
    shifted.embedding = nn.Sequential(nn.Linear(num_tasks, WIDTH, **like), nn.Tanh(), last)
