"""How depth and normals of a rooms model hold on real frames that it was not trained on, against constant answers.

    python scripts/real_rooms.py trained_models/rooms --data DATA

The frames are those that ``prepare rooms`` made; the last of the walk (``--split test``) are never trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from palora_core.benchmarks._sensor import frames, places
from palora_core.benchmarks.rooms import Rooms
from palora_core.checkpoint import load
from palora_core.config import from_dict
from palora_core.serving import LiveNetwork
from palora_core.tasks.normals import angles_between

LEAST = 0.3  # share of a frame's pixels that must have a depth
NEAREST = 0.1  # metres


def relative_error(depth: torch.Tensor, predicted: torch.Tensor) -> float:
    """Mean |prediction - depth| / depth after scaling to the true median, over known pixels of one frame."""
    known = depth > 0
    scaled = predicted[known] * depth[known].median() / predicted[known].median()
    return float(((scaled - depth[known]).abs() / depth[known].clamp(min=NEAREST)).mean())


def angle(normals: torch.Tensor, predicted: torch.Tensor) -> float:
    """Mean angle in degrees between known normals [3, H, W] and predicted ones of one frame."""
    known = normals.norm(dim=0) > 0.5
    return float(angles_between(normals[None], predicted[None])[0][known].mean())


def main() -> None:
    """Print one line per λ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    arguments = parser.parse_args()
    model, card = load(arguments.model)
    bench: Rooms = from_dict(Rooms, card["benchmark"]["options"])
    made = frames(arguments.data, bench.height, bench.image_width)
    part = made.split(places(len(made.images))[arguments.split], bench.convert)
    x, targets = part.batch(torch.arange(len(part)))
    kept = (targets["depth"] > 0).float().mean((1, 2, 3)) >= LEAST
    depths, normals = targets["depth"][kept][:, 0], targets["normals"][kept]
    x = x[kept]
    mean = [F.normalize(n[:, n.norm(dim=0) > 0.5].mean(1), dim=0).view(3, 1, 1).expand_as(n) for n in normals]
    flat = np.mean([relative_error(d, torch.ones_like(d)) for d in depths])
    one = np.mean([angle(n, m) for n, m in zip(normals, mean)])
    print(f"{len(x)} frames; a constant: abs-rel {flat:.3f}, one direction: {one:.1f} degrees")
    live = LiveNetwork(model.eval(), x[:2])
    for weights in (*torch.eye(3), torch.full((3,), 1 / 3)):
        found = [live(one_frame[None], weights) for one_frame in x]
        error = np.mean([relative_error(d, f["depth"][0, 0]) for d, f in zip(depths, found)])
        degrees = np.mean([angle(n, f["normals"][0]) for n, f in zip(normals, found)])
        shown = ", ".join(f"{weight:.2f}" for weight in weights.tolist())
        print(f"({shown}): abs-rel {error:.3f} = {error / flat:.2f} of the constant's, normals {degrees:.1f} degrees")


if __name__ == "__main__":
    main()
