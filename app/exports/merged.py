"""The network at one λ as a file: plain weights under the names of the network that was put in."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from safetensors.torch import save

from app.library.loading import LoadedModel


def merged_safetensors(loaded: LoadedModel, preference: Sequence[float]) -> bytes:
    """Weights of ``merge(λ)``; the metadata say which network, which λ [T] and which model they come from."""
    network = loaded.model.merge(torch.tensor(list(preference)))
    state = {name: tensor.detach().contiguous().clone() for name, tensor in network.state_dict().items()}
    metadata = {
        "format": "pt",
        "preference": json.dumps([round(float(v), 6) for v in preference]),
        "tasks": json.dumps([task.name for task in loaded.tasks]),
        "network": json.dumps(loaded.card["network"]),
        "model": str(loaded.card.get("name") or loaded.entry.id),
        "model_sha256": loaded.card["weights_sha256"],
    }
    return save(state, metadata)
