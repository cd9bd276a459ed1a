"""Weights to start from: what of a network comes from a checkpoint, what of that is left, and what is drawn anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from palora_core.errors import UserError, quoted, shortened
from palora_core.training.start_files import read_start
from palora_core.training.start_names import HEADS, Shapes, is_counter, match

LEAST_SHARE = 0.5  # of the trunk's weights, for a start to be one
IMAGENET_HEAD = "heads.head."  # of torchvision's vision transformers
MOST_NAMES = 50  # of what is left out, in a card


@dataclass(frozen=True)
class Start:
    """What a network starts with.

    Attributes:
        matched: the network's tensors → those of the checkpoint that they were loaded from.
        left_out: the checkpoint's tensors that have no place in the network, and moving averages beside them.
        new: the network's parameters that the checkpoint does not hold: they are as they were drawn.
        share: how much of the network's weights comes from the checkpoint, in [0, 1].
    """

    matched: dict[str, str]
    left_out: tuple[str, ...]
    new: tuple[str, ...]
    share: float

    @property
    def new_parts(self) -> list[str]:
        """The modules that are drawn anew: ``heads`` (all of them) or ``heads.age``, ``trunk.fine`` …"""
        heads = any(name.startswith(HEADS) for name in self.matched)
        parts = ("heads" if n.startswith(HEADS) and not heads else ".".join(n.split(".")[:2]) for n in self.new)
        return list(dict.fromkeys(parts))

    def sentence(self) -> str:
        """For people: what was taken, left out and drawn anew."""
        said = f"{len(self.matched)} tensors taken, {100 * self.share:.4g} % of the network's weights"
        said += f"; left out: {shortened(', '.join(self.left_out), 200) or 'nothing'}"
        return f"{said}; drawn anew: {shortened(', '.join(self.new_parts), 200) or 'nothing'}"

    def to_json(self) -> dict[str, Any]:
        """For the card."""
        return {
            "taken": len(self.matched),
            "share": round(self.share, 6),
            "left_out": list(self.left_out[:MOST_NAMES]),
            "left_out_count": len(self.left_out),
            "new": self.new_parts,
            "sentence": self.sentence(),
        }


def load_start(network: nn.Module, source: Path, partly: bool = False) -> Start:
    """Load the weights of ``source`` into ``network``.

    Args:
        network: the network to load into.
        source: a model folder (merged at the centre), or a ``.safetensors`` / ``.pt`` / ``.pth`` file with the names of
            the network itself or those of its backbone in torchvision or timm, whatever wrappers put around them.
        partly: take what fits, also where that is little or heads may have been meant under other names.

    Raises:
        UserError: nothing there, damaged, weights of another network, or (unless ``partly``) heads that may be meant
            for ours but are not called so, or less than half of the trunk.
    """
    state, beside = read_start(source)
    start = _started(network, state, beside, source, partly)
    network.load_state_dict({name: state[theirs] for name, theirs in start.matched.items()}, strict=False)
    return start


def look_at_start(network: nn.Module, source: Path, partly: bool = False) -> Start:
    """What :func:`load_start` would do; nothing is loaded, so ``network`` may be on the meta device."""
    return _started(network, *read_start(source), source, partly)


def _started(network: nn.Module, state: dict[str, Tensor], beside: Sequence[str], source: Path, partly: bool) -> Start:
    own, theirs = _shapes(network.state_dict()), _shapes(state)
    unused = getattr(getattr(network, "trunk", None), "unused", ())
    places = {name: shape for name, shape in theirs.items() if not any(f".{part}" in f".{name}" for part in unused)}
    matched = match(own, places, source)
    used = set(matched.values())
    left_out = [name for name in theirs if name not in used and not is_counter(name)]
    parameters = [name for name, _ in network.named_parameters()]
    new = [name for name in parameters if name not in matched]
    if not partly:
        _refuse_foreign_heads(own, theirs, new, left_out, source)
        _refuse_little(own, [name for name in parameters if not name.startswith(HEADS)], matched, source)
    share = _count(own, [name for name in parameters if name in matched]) / max(1, _count(own, parameters))
    return Start(matched, (*left_out, *beside), tuple(new), share)


def _refuse_foreign_heads(own: Shapes, theirs: Shapes, new: Sequence[str], left: Sequence[str], source: Path) -> None:
    """Heads are matched by name alone: refuse those that could be meant for ours, or are there for other tasks only."""
    ours = [name for name in new if name.startswith(HEADS)]
    shapes = {own[name]: name for name in ours if len(own[name]) > 1}
    for name in left:
        of_tasks = f".{HEADS}" in f".{name}" and IMAGENET_HEAD not in name
        if theirs[name] in shapes or (ours and of_tasks):
            meant = shapes.get(theirs[name], ours[0])
            raise UserError(
                f"{source} has no {quoted(meant)}, but {quoted(name)}, which may be meant for it, and heads are "
                "matched by their names alone. Rename it in the file, or give --set start_partly=true to leave it out "
                "and train a new head."
            )


def _refuse_little(own: Shapes, trunk: Sequence[str], matched: dict[str, str], source: Path) -> None:
    share = _count(own, [name for name in trunk if name in matched]) / max(1, _count(own, trunk))
    if share < LEAST_SHARE:
        raise UserError(
            f"{source} holds only {100 * share:.2g} % of the weights that the tasks share; choose the benchmark and "
            "the network options that it was trained with, or give --set start_partly=true to draw the others anew."
        )


def _count(shapes: Shapes, names: Sequence[str]) -> int:
    return sum(math.prod(shapes[name]) for name in names)


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
