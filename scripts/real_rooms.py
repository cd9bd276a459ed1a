"""How depth and normals of a rooms model hold on real pictures that it was not trained on, against constant answers.

    python scripts/real_rooms.py trained_models/rooms --data DATA
    python scripts/real_rooms.py trained_models/rooms --pictures FOLDER

The frames of DATA are those that ``prepare real_rooms`` made; the last of the walk (``--split test``) are never trained
on. FOLDER holds places that were never seen at all: ``NAME_rgb.png`` with ``NAME_depth_mm.png`` (16 bit, millimetres,
0 unknown; ``--focal`` is the camera's, in pixels), and ``NAME_left.png`` with ``NAME_disp.npz`` (disparity in pixels,
not finite where unknown; ``--stereo`` has focal length, baseline and offset of the principal points). The defaults are
a Kinect's and those of Middlebury's motorcycle.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from palora_core.benchmarks._sensor import Frames, frames, places, resized
from palora_core.benchmarks.real_rooms import RealRooms
from palora_core.checkpoint import load
from palora_core.config import from_dict
from palora_core.errors import UserError
from palora_core.serving import LiveNetwork
from palora_core.tasks.normals import angles_between

LEAST = 0.3  # share of a frame's pixels that must have a depth
NEAREST = 0.1  # metres
KINECT = 525.0
MOTORCYCLE = (994.978, 193.001, 31.086)


def relative_error(depth: Tensor, predicted: Tensor) -> float:
    """Mean |prediction - depth| / depth after scaling to the true median, over known pixels of one frame."""
    known = depth > 0
    scaled = predicted[known] * depth[known].median() / predicted[known].median()
    return float(((scaled - depth[known]).abs() / depth[known].clamp(min=NEAREST)).mean())


def angle(normals: Tensor, predicted: Tensor) -> float:
    """Mean angle in degrees between known normals [3, H, W] and predicted ones of one frame."""
    known = normals.norm(dim=0) > 0.5
    return float(angles_between(normals[None], predicted[None])[0][known].mean())


def pictures_of(
    folder: Path, focal: float, stereo: tuple[float, float, float]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, float]]:
    """Name, picture [H, W, 3], depth in millimetres [H, W] and focal length of every pair of files."""
    for path in sorted(folder.glob("*_depth_mm.png")):
        millimetres = np.asarray(Image.open(path)).astype(np.float32)
        picture = _picture(path.with_name(path.name.replace("_depth_mm", "_rgb")), millimetres)
        yield path.name.removesuffix("_depth_mm.png"), picture, millimetres, focal
    for path in sorted(folder.glob("*_disp.npz")):
        with np.load(path) as file:
            disparity = file[file.files[0]]
        known = np.isfinite(disparity) & (disparity > 0)
        millimetres = np.where(known, stereo[0] * stereo[1] / (np.where(known, disparity, 1) + stereo[2]), 0)
        picture = _picture(path.with_name(path.name.replace("_disp.npz", "_left.png")), millimetres)
        yield path.name.removesuffix("_disp.npz"), picture, millimetres.astype(np.float32), stereo[0]


def _picture(path: Path, depth: np.ndarray) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"There is a depth map and no {path.name} beside it in {path.parent}.")
    picture = np.asarray(Image.open(path).convert("RGB"))
    if picture.shape[:2] != depth.shape:
        raise UserError(f"{path.name} is {picture.shape[:2]} pixels and its depth map {depth.shape}; make them equal.")
    return picture


def sets(arguments: argparse.Namespace, bench: RealRooms) -> Iterator[tuple[str, Frames]]:
    """What is measured together: the frames of a walk, or one picture after another; name and frames."""
    size = bench.height, bench.image_width
    if arguments.pictures is None:
        walk = frames(arguments.data, *size)
        rows = places(len(walk.images))[arguments.split]
        yield arguments.split, Frames(walk.images[rows], walk.depths[rows], walk.normals[rows])
        return
    empty = True
    for name, *pair in pictures_of(arguments.pictures, arguments.focal, tuple(arguments.stereo)):
        empty = False
        yield name, Frames(*(array[None] for array in resized(*pair, size)))
    if empty:
        raise UserError(f"{arguments.pictures} holds no *_depth_mm.png and no *_disp.npz.")


def items(made: Frames, bench: RealRooms) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs [N, 3, H, W], depths [N, H, W] and normals [N, 3, H, W] of the frames that have enough depth."""
    part = made.split(slice(None), bench.convert)
    x, targets = part.batch(torch.arange(len(part)))
    kept = (targets["depth"] > 0).float().mean((1, 2, 3)) >= LEAST
    return x[kept], targets["depth"][kept][:, 0], targets["normals"][kept]


def measure(live: LiveNetwork, x: Tensor, depths: Tensor, normals: Tensor) -> None:
    """Print one line per λ."""
    mean = [F.normalize(n[:, n.norm(dim=0) > 0.5].mean(1), dim=0).view(3, 1, 1).expand_as(n) for n in normals]
    flat = np.mean([relative_error(d, torch.ones_like(d)) for d in depths])
    one = np.mean([angle(n, m) for n, m in zip(normals, mean)])
    print(f"{len(x)} frames; a constant: abs-rel {flat:.3f}, one direction: {one:.1f} degrees")
    for weights in (*torch.eye(3), torch.full((3,), 1 / 3)):
        found = [live(one_frame[None], weights) for one_frame in x]
        error = np.mean([relative_error(d, f["depth"][0, 0]) for d, f in zip(depths, found)])
        degrees = np.mean([angle(n, f["normals"][0]) for n, f in zip(normals, found)])
        shown = ", ".join(f"{weight:.2f}" for weight in weights.tolist())
        print(f"({shown}): abs-rel {error:.3f} = {error / flat:.2f} of the constant's, normals {degrees:.1f} degrees")


def main() -> None:
    """Measure on the walk's frames, or on a folder of pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--pictures", type=Path, help="a folder of places that were never seen, in place of the walk")
    parser.add_argument("--focal", type=float, default=KINECT)
    parser.add_argument("--stereo", type=float, nargs=3, default=MOTORCYCLE, metavar=("FOCAL", "BASELINE", "OFFSET"))
    arguments = parser.parse_args()
    try:
        model, card = load(arguments.model)
        if card["benchmark"]["name"] != "real_rooms":
            raise UserError(f"{arguments.model} was trained on {card['benchmark']['name']}; expected real_rooms.")
        bench, live = from_dict(RealRooms, card["benchmark"]["options"]), None
        for name, made in sets(arguments, bench):
            x, depths, normals = items(made, bench)
            live = live or LiveNetwork(model.eval(), x[:1])
            print(f"-- {name}")
            measure(live, x, depths, normals)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
