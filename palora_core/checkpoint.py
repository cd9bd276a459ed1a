"""Model folders: ``model.safetensors`` + ``card.json``; nothing in them is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from palora_core.conditioning.base import ParetoModel
from palora_core.config import method_from_dict
from palora_core.errors import UserError
from palora_core.files import read_json, sha256, write_atomically, write_json
from palora_core.networks.base import networks
from palora_core.normalisation import anchor_batch_norms

CARD_FORMAT = 1
WEIGHTS = "model.safetensors"
CARD = "card.json"
REQUIRED = ("format", "benchmark", "method", "network", "tasks", "weights_sha256")


def save(folder: Path | str, model: ParetoModel, card: Mapping[str, Any], weights: str = WEIGHTS) -> dict[str, Any]:
    """Write a model's weights and its card; each file is replaced atomically, the card last.

    Returns:
        The card as written, with ``format`` and ``weights_sha256``.
    """
    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(folder / weights, lambda path: save_file(state, path))
    written = {"format": CARD_FORMAT, **card, "weights_sha256": sha256(folder / weights)}
    write_json(folder / (CARD if weights == WEIGHTS else weights.replace(".safetensors", ".json")), written)
    return written


def load(folder: Path | str, weights: str = WEIGHTS) -> tuple[ParetoModel, dict[str, Any]]:
    """The model and the card of a folder, in evaluation mode on the CPU.

    Raises:
        UserError: no such folder, a damaged or foreign file, or a card that does not belong to the weights.
    """
    folder = Path(folder)
    card = read_card(folder, CARD if weights == WEIGHTS else weights.replace(".safetensors", ".json"))
    path = folder / weights
    if not path.is_file():
        raise UserError(f"{folder} has a card but no {weights}; copy the whole model folder, or train it again.")
    state = read_weights(path)
    if sha256(path) != card["weights_sha256"]:
        raise UserError(
            f"The card in {folder} does not belong to {path.name} (their hashes differ); restore both files from one "
            "copy of the model, or resume the run that wrote them."
        )
    model = build(card, state)
    return model.eval(), card


def read_card(folder: Path, name: str = CARD) -> dict[str, Any]:
    """The card of a model folder, checked for what every card has."""
    if not Path(folder).is_dir():
        raise UserError(f"There is no model folder {folder}.")
    card = read_json(Path(folder) / name, "model card")
    missing = [key for key in REQUIRED if not isinstance(card, dict) or key not in card]
    if missing:
        raise UserError(f"{Path(folder) / name} is not a PaLoRA model card: {missing[0]!r} is missing.")
    if card["format"] != CARD_FORMAT:
        raise UserError(
            f"{Path(folder) / name} has card format {card['format']!r}, this program reads {CARD_FORMAT}; update it."
        )
    return card


def build(card: Mapping[str, Any], state: Mapping[str, Tensor] | None = None) -> ParetoModel:
    """The model that a card describes, with the weights ``state`` if given, else with random ones."""
    try:
        options = dict(card["network"]["options"])
        if "pretrained" in options:
            options["pretrained"] = False  # a card's own weights replace ImageNet's, which the machine need not have
        network = networks.get(card["network"]["name"])(**options)
        method = method_from_dict(card["method"])
        num_tasks = len(card["tasks"])
        model = method.conditioning.condition(network, num_tasks)
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"The model card describes no network that can be built ({reason}); restore it.") from None
    if state is not None:
        load_weights(model, state)
    return model


def load_weights(model: ParetoModel, state: Mapping[str, Tensor]) -> None:
    """Load ``state`` strictly, statistics per preference included.

    Raises:
        UserError: names or shapes that do not fit the model.
    """
    if any(name.endswith(".anchor_mean") for name in state):
        anchor_batch_norms(model.network, model.num_tasks, model.active)
    own = model.state_dict()
    missing, foreign = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or foreign:
        what = f"misses {missing[0]!r}" if missing else f"has the unknown {foreign[0]!r}"
        raise UserError(f"The weights do not fit the network of the card: the file {what}; use the card it came with.")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise UserError(
                f"The weights do not fit the network of the card: {name} is {list(tensor.shape)}, expected "
                f"{list(own[name].shape)}; use the card it came with."
            )
    model.load_state_dict(dict(state))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The finite tensors of a safetensors file; UserError where it is damaged."""
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or not a safetensors file ({error}); copy it again.") from None
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if bad:
        raise UserError(f"{path} holds NaN or infinite values in {bad[0]!r}; use an earlier checkpoint.")
    return state
