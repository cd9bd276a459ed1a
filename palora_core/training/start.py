"""Weights to start from: model folders, state_dict files of a whole network, or of a backbone (torchvision, timm)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from palora_core import checkpoint
from palora_core.errors import UserError

# What torchvision and timm call the layers that are specific to the data set a backbone was trained on.
CLASSIFIERS = ("fc.", "classifier.", "aux_classifier.", "head.", "heads.")
# Where a backbone's own names begin in the checkpoint, and in our networks.
CHECKPOINT_PREFIXES = ("", "module.", "backbone.", "features.")
OUR_PREFIXES = ("", "trunk.", "trunk.features.")
COUNTERS = "num_batches_tracked"  # older files lack them, and nothing depends on them
# timm's names of a vision transformer → torchvision's.
TIMM_VIT = (
    *((r"^cls_token$", "class_token"), (r"^pos_embed$", "encoder.pos_embedding")),
    *((r"^patch_embed\.proj\.", "conv_proj."), (r"^norm\.", "encoder.ln.")),
    (r"^blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
    *((r"\.norm(\d)\.", r".ln_\1."), (r"\.attn\.qkv\.(\w+)$", r".self_attention.in_proj_\1")),
    *((r"\.attn\.proj\.", ".self_attention.out_proj."), (r"\.mlp\.fc1\.", ".mlp.0."), (r"\.mlp\.fc2\.", ".mlp.3.")),
)


def load_start(network: nn.Module, source: Path) -> list[str]:
    """Load the weights of ``source`` into ``network``.

    Args:
        network: the network to load into.
        source: a model folder (merged at the centre), or a ``.safetensors`` / ``.pt`` / ``.pth`` state_dict file with
            the names of the network itself or those of its backbone in torchvision or timm.

    Returns:
        The names of the network's parameters that ``source`` does not hold: heads, where it is a backbone.

    Raises:
        UserError: nothing there, damaged, or weights of another network.
    """
    state = read_start(source)
    places = match(_shapes(network), _shapes(state), source)
    network.load_state_dict({name: state[theirs] for name, theirs in places.items()}, strict=False)
    return [name for name, _ in network.named_parameters() if name not in places]


def read_start(source: Path) -> Mapping[str, Tensor]:
    """The plain state_dict of a model folder, merged at the centre, or of a file."""
    if source.is_dir():
        model, _ = checkpoint.load(source)
        return model.merge(torch.full((model.num_tasks,), 1 / model.num_tasks)).state_dict()
    if not source.is_file():
        raise UserError(f"There is no checkpoint {source}; give a model folder or a state_dict file.")
    return checkpoint.read_weights(source) if source.suffix == ".safetensors" else _read_state_dict(source)


def new_parts(network: nn.Module, source: Path) -> list[str]:
    """The parts of ``network`` (``heads``, ``trunk.fine`` …) that ``source`` does not hold; nothing is loaded."""
    places = match(_shapes(network), _shapes(read_start(source)), source)
    missing = [name for name, _ in network.named_parameters() if name not in places]
    parts = ("heads" if name.startswith("heads.") else ".".join(name.split(".")[:2]) for name in missing)
    return list(dict.fromkeys(parts))


Shapes = dict[str, tuple[int, ...]]


def match(own: Shapes, theirs: Shapes, source: Path | str = "The checkpoint") -> dict[str, str]:
    """Our tensors' names → theirs; whole networks by name, backbones by name or by order and shapes.

    A backbone may lack tensors of ours, heads above all; but whatever it holds beside its classifier must have a place
    here, so that a checkpoint of another architecture is never loaded in part.

    Raises:
        UserError: they do not fit.
    """
    if own.keys() == theirs.keys():
        wrong = next((name for name in own if own[name] != theirs[name]), None)
        if wrong is None:
            return {name: name for name in own}
        raise _misfit(source, wrong, f"is {list(theirs[wrong])} there and {list(own[wrong])} here")
    if any(name.startswith("trunk.") for name in theirs):  # one of ours, of other tasks or options
        raise _misfit(source, sorted(own.keys() ^ theirs.keys())[0], "is not in both")
    for translated in _translations(theirs):
        for prefix in OUR_PREFIXES:
            if all(prefix + name in own for name in translated):
                return _checked(own, theirs, {prefix + name: origin for name, origin in translated.items()}, source)
    ordered = _by_order(own, theirs)
    if ordered:
        return ordered
    name = next((name for name in theirs if not name.startswith(CLASSIFIERS)), "nothing")
    raise _misfit(source, name, "has no place here")


def _translations(theirs: Iterable[str]) -> Iterable[dict[str, str]]:
    """Ways to read the names of a backbone: (its own names → those in the file), classifiers and counters left out."""
    for prefix in CHECKPOINT_PREFIXES:
        names = {name.removeprefix(prefix): name for name in theirs if not _left_out(name.removeprefix(prefix))}
        if names:
            yield names
            yield {_renamed(name): origin for name, origin in names.items()}


def _left_out(name: str) -> bool:
    return name.startswith(CLASSIFIERS) or name.endswith(COUNTERS)


def _renamed(name: str) -> str:
    for pattern, replacement in TIMM_VIT:
        name = re.sub(pattern, replacement, name)
    return name


def _by_order(own: Shapes, theirs: Shapes) -> dict[str, str] | None:
    """Backbones whose tensors follow each other with the same shapes are one architecture under other names."""
    names = [name for name in theirs if not _left_out(name)]
    for prefix in reversed(OUR_PREFIXES):
        places = [name for name in own if name.startswith(prefix) and not name.endswith(COUNTERS)]
        if len(names) > 1 and [own[name] for name in places] == [theirs[name] for name in names]:
            return dict(zip(places, names))
    return None


def _checked(own: Shapes, theirs: Shapes, places: dict[str, str], source: Path | str) -> dict[str, str]:
    for name, origin in places.items():
        if own[name] != theirs[origin]:
            raise _misfit(source, origin, f"is {list(theirs[origin])} there and {list(own[name])} here")
    return places


def _misfit(source: Path | str, name: str, how: str) -> UserError:
    return UserError(
        f"{source} holds the weights of another network ({name!r} {how}); choose the benchmark and the network options "
        "(backbone, width …) that it was trained with."
    )


def _shapes(tensors: nn.Module | Mapping[str, Tensor]) -> Shapes:
    state = tensors.state_dict() if isinstance(tensors, nn.Module) else tensors
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports damage and refused pickles in many ways
        raise UserError(f"{path} is damaged or not a plain state_dict ({type(error).__name__}).") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} is not a plain state_dict of tensors.")
    bad = [name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise UserError(f"{path} holds NaN or infinite values in {bad[0]!r}; use an earlier checkpoint.")
    return state
