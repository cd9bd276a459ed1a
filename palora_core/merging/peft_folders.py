"""PEFT's LoRA folders (``adapter_config.json``, ``adapter_model.safetensors``) read without PEFT.

A configuration says how its tensors are used, and PEFT has many variants. What changes the function and is not known
here is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from palora_core import checkpoint
from palora_core.errors import UserError, quoted
from palora_core.storage.reading import SMALL, is_folder, read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
# Variants that make another function of the same tensors, or of more of them: they have to be off.
VARIANTS = (
    *("use_dora", "use_qalora", "use_bdlora", "lora_bias", "layer_replication", "alora_invocation_tokens"),
    *("trainable_token_indices", "target_parameters", "megatron_config", "arrow_config", "kasa_config"),
    *("monteclora_config", "velora_config"),
)
# Starts that change the base's weights as well, which the file of the adapter does not hold.
CHANGING = ("pissa", "olora", "loftq", "corda", "lora_ga")
FACTORS = {
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_embedding_A": "embedding_down",
    "lora_embedding_B": "embedding_up",
}


@dataclass(frozen=True)
class LoRA:
    """One adapter folder.

    Attributes:
        name: the folder's name, for messages.
        factors: layer's name → its tensors, by ``"down"`` (A) and ``"up"`` (B), or those of an embedding.
        scales: layer's name → α/r, or α/√r.
        whole: parameters that were saved as a whole (``modules_to_save``, biases), by their names in the base.
    """

    name: str
    factors: Mapping[str, Mapping[str, Tensor]]
    scales: Mapping[str, float]
    whole: Mapping[str, Tensor]


def read_lora(folder: Path) -> LoRA:
    """Read a folder that PEFT saved.

    Raises:
        UserError: it is none, is damaged, or of a variant that cannot be mixed.
    """
    name = folder.name
    if not is_folder(folder) or not (folder / CONFIG).is_file():
        raise UserError(f"There is no adapter folder {folder}; expected a folder with {CONFIG}, as PEFT saves it.")
    config = read_json(folder / CONFIG, "adapter configuration", SMALL)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG} is damaged; copy it again.")
    check_config(config, name)
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{name} has no {WEIGHTS}; other formats are pickles and never loaded, save it as safetensors.")
    factors, whole = _sorted(checkpoint.read_weights(folder / WEIGHTS), name)
    scales = {layer: _scale(config, layer, tensors, name) for layer, tensors in factors.items()}
    return LoRA(name, factors, scales, whole)


def check_config(config: Mapping[str, Any], name: str) -> None:
    """Refuse what is no LoRA, or one of a variant that is another function.

    Raises:
        UserError: naming the option.
    """
    if config.get("peft_type") != "LORA":
        raise UserError(
            f"{name} is of PEFT's type {quoted(str(config.get('peft_type')))}; only LORA can be mixed by λ."
        )
    on = [option for option in VARIANTS if config.get(option)]
    if on:
        raise UserError(
            f"{name} has {on[0]}={quoted(str(config[on[0]]))}, with which an adapter is no sum of B A on the weights; "
            "only plain LoRA can be mixed by λ."
        )
    start = str(config.get("init_lora_weights", True)).lower()
    if start.startswith(CHANGING):
        raise UserError(
            f"{name} was begun with init_lora_weights={quoted(start)}, which changes the base's weights, too; convert "
            "it to plain LoRA when saving (PEFT: path_initial_model_for_weight_conversion)."
        )


def _sorted(state: Mapping[str, Tensor], name: str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """The factors by layer, and the parameters that are there as a whole."""
    factors: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for full, tensor in state.items():
        if not full.startswith(PREFIX):
            raise UserError(f"{name} holds {quoted(full)}, which is not named as PEFT does ({PREFIX}…); save it anew.")
        key = full.removeprefix(PREFIX)
        kind = next((kind for kind in FACTORS if key.endswith(f".{kind}")), None)
        if kind is not None:
            factors.setdefault(key.removesuffix(f".{kind}"), {})[FACTORS[kind]] = tensor
        elif ".original_module." in key:
            continue  # the base's own, beside what was trained in its place
        elif ".lora_" in key:
            raise UserError(f"{name} holds {quoted(full)}, a part of LoRA that cannot be mixed by λ.")
        else:
            plain = key.replace(".base_layer.", ".").replace(".modules_to_save.", ".")
            if plain not in whole or ".modules_to_save." in key:
                whole[plain] = tensor
    for layer, tensors in factors.items():
        if set(tensors) not in ({"down", "up"}, {"embedding_down", "embedding_up"}):
            raise UserError(f"{name} lacks a half of the adapter of {quoted(layer)}; copy it again.")
    return factors, whole


def _scale(config: Mapping[str, Any], layer: str, tensors: Mapping[str, Tensor], name: str) -> float:
    rank = len(tensors.get("down", tensors.get("embedding_down")))  # type: ignore[arg-type]
    told = _by_pattern(config.get("rank_pattern"), layer, config.get("r"))
    alpha = _by_pattern(config.get("alpha_pattern"), layer, config.get("lora_alpha"))
    if told != rank:
        raise UserError(f"{name} says rank {told} for {quoted(layer)} and holds {rank}; copy the whole folder again.")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        raise UserError(f"{name} has no lora_alpha that is a number ({quoted(str(alpha))}); copy the folder again.")
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(patterns: Any, layer: str, default: Any) -> Any:
    """The value of the first pattern that fits a layer's name, as PEFT matches them.

    Raises:
        UserError: a pattern that is none, or that could take for ever.
    """
    for pattern, value in (patterns or {}).items():
        if not _is_harmless(str(pattern)):
            raise UserError(f"The pattern {quoted(str(pattern))} of ranks or alphas is too involved; name the layers.")
        try:
            if re.match(rf"(.*\.)?({pattern})$", layer):
                return value
        except re.error:
            raise UserError(
                f"The pattern {quoted(str(pattern))} of ranks or alphas is no regular expression."
            ) from None
    return default


def _is_harmless(pattern: str) -> bool:
    """Whether a pattern of a stranger is matched in bounded time: few repetitions, and none of a group."""
    return (
        len(pattern) <= 200 and not re.search(r"\)[*+?{]|\\[0-9]", pattern) and len(re.findall("[*+{]", pattern)) <= 4
    )
