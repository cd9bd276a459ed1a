"""Whose tensor is whose: names in a checkpoint, as wrappers and other libraries have them, and those of a network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from palora_core.errors import UserError, quoted

Shapes = Mapping[str, tuple[int, ...]]
Reading = dict[str, str]  # a checkpoint's names without what wrappers put in front of them → as they are in it

HEADS = "heads."
# What torchvision and timm call the layers that are specific to the data set a backbone was trained on.
CLASSIFIERS = ("fc.", "classifier.", "aux_classifier.", "head.", HEADS)
# Parts of names that torch.compile, FSDP and activation checkpointing put in, at any place.
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# What DDP, Lightning, moving averages and people's own wrappers put in front, in any order.
LEADING = ("module", "model", "network", "net", "backbone", "encoder", "features")
DEPTH = 5  # of them before each other
# Where a backbone's own names begin in our networks.
OUR_PREFIXES = ("", "trunk.", "trunk.features.")
COUNTERS = ("num_batches_tracked", "n_averaged")  # older files lack them, and nothing depends on them
# timm's names of a vision transformer → torchvision's.
TIMM_VIT = (
    *((r"^cls_token$", "class_token"), (r"^pos_embed$", "encoder.pos_embedding")),
    *((r"^patch_embed\.proj\.", "conv_proj."), (r"^norm\.", "encoder.ln.")),
    (r"^blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
    *((r"\.norm(\d)\.", r".ln_\1."), (r"\.attn\.qkv\.(\w+)$", r".self_attention.in_proj_\1")),
    *((r"\.attn\.proj\.", ".self_attention.out_proj."), (r"\.mlp\.fc1\.", ".mlp.0."), (r"\.mlp\.fc2\.", ".mlp.3.")),
)


def match(own: Shapes, theirs: Shapes, source: Path | str = "The checkpoint") -> dict[str, str]:
    """Our tensors' names → theirs; a trunk by its names or those of a backbone, or by order and shapes; heads by name.

    A checkpoint may lack heads of ours, and a backbone other tensors too; but whatever it holds beside its classifier
    must have a place here, so that a checkpoint of another architecture is never loaded in part.

    Raises:
        UserError: they do not fit.
    """
    readings = list(_readings(theirs))
    trunk = _whole(own, theirs, readings, source)
    ours = next((reading for reading in readings if any(name.startswith("trunk.") for name in reading)), None)
    if not trunk and ours is not None:  # one of ours, of other options
        different = sorted(name for name in own.keys() ^ ours.keys() if not _left_out(name))
        raise misfit(source, different[0] if different else "nothing", "is not in both")
    trunk = trunk or _backbone(own, theirs, readings, source) or _by_order(own, theirs)
    if not trunk:
        name = next((name for name in theirs if not name.startswith(CLASSIFIERS)), "nothing")
        raise misfit(source, name, "has no place here")
    return {**trunk, **_heads(own, theirs, readings, source)}


def misfit(source: Path | str, name: str, how: str) -> UserError:
    """The sentence on a checkpoint of another network."""
    return UserError(
        f"{source} holds the weights of another network ({quoted(name)} {how}); choose the benchmark and the network "
        "options (backbone, width …) that it was trained with."
    )


def is_counter(name: str) -> bool:
    """Whether a tensor only counts batches."""
    return name.endswith(COUNTERS)


def _readings(names: Iterable[str]) -> Iterator[Reading]:
    """The names as they are, then with more and more of what wrappers put in front of them taken away."""
    waiting = [({".".join(p for p in name.split(".") if p not in WRAPPERS): name for name in names}, 0)]
    for reading, depth in waiting:  # it grows on the way
        yield reading
        for first in LEADING if depth < DEPTH else ():
            start = f"{first}."
            inner = {name.removeprefix(start): origin for name, origin in reading.items() if name.startswith(start)}
            if inner:
                waiting.append((inner, depth + 1))


def _whole(own: Shapes, theirs: Shapes, readings: list[Reading], source: Path | str) -> Reading | None:
    """A network with the names of ours, whatever its heads are."""
    trunk = [name for name in own if not name.startswith(HEADS) and not is_counter(name)]
    for reading in readings:
        if trunk and all(name in reading for name in trunk):
            odd = next((n for n in reading if n not in own and not _left_out(n)), None)
            if odd is not None:
                raise misfit(source, reading[odd], "has no place here")
            counters = [n for n in own if is_counter(n) and n in reading and not n.startswith(HEADS)]
            return _checked(own, theirs, {name: reading[name] for name in [*trunk, *counters]}, source)
    return None


def _backbone(own: Shapes, theirs: Shapes, readings: list[Reading], source: Path | str) -> Reading | None:
    """A backbone with torchvision's or timm's names."""
    for reading in readings:
        names = {name: origin for name, origin in reading.items() if not _left_out(name)}
        for translated in (names, {_renamed(name): origin for name, origin in names.items()}):
            for prefix in OUR_PREFIXES:
                if translated and all(prefix + name in own for name in translated):
                    return _checked(own, theirs, {prefix + n: origin for n, origin in translated.items()}, source)
    return None


def _by_order(own: Shapes, theirs: Shapes) -> Reading | None:
    """Backbones whose tensors follow each other with the same kinds and shapes are one network under other names.

    Not where their numbers do not rise in that order (sorted by text, 10 comes before 2): layers of one shape would be
    mistaken for each other.
    """
    names = [name for name in theirs if not _left_out(name)]
    layers = [name.rpartition(".")[0] for name in names]
    rising = all(_numbers(a) <= _numbers(b) for a, b in pairwise(layers) if _skeleton(a) == _skeleton(b))
    for prefix in reversed(OUR_PREFIXES):
        places = [name for name in own if name.startswith(prefix) and not _left_out(name)]
        shapes = [own[name] for name in places] == [theirs[name] for name in names]
        kinds = [name.rpartition(".")[2] for name in places] == [name.rpartition(".")[2] for name in names]
        if len(names) > 1 and shapes and kinds and rising:
            return dict(zip(places, names))
    return None


def _heads(own: Shapes, theirs: Shapes, readings: list[Reading], source: Path | str) -> Reading:
    """Our heads that the checkpoint has under their names; each whole or not at all."""
    for reading in readings:
        shared = [name for name in own if name.startswith(HEADS) and name in reading]
        if shared:
            heads = {_head(name) for name in shared}
            half = [
                n for n in own if n.startswith(HEADS) and _head(n) in heads and n not in reading and not is_counter(n)
            ]
            if half:
                raise misfit(source, half[0], "is not there")
            return _checked(own, theirs, {name: reading[name] for name in shared}, source)
    return {}


def _head(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _left_out(name: str) -> bool:
    return name.startswith(CLASSIFIERS) or is_counter(name)


def _renamed(name: str) -> str:
    for pattern, replacement in TIMM_VIT:
        name = re.sub(pattern, replacement, name)
    return name


def _skeleton(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _checked(own: Shapes, theirs: Shapes, places: Reading, source: Path | str) -> Reading:
    for name, origin in places.items():
        if own[name] != theirs[origin]:
            raise misfit(source, origin, f"is {list(theirs[origin])} there and {list(own[name])} here")
    return places
