"""Making rendered pictures look like photographs, and seeing a scene with a camera that is turned a little.

What a network learns from a renderer holds on photographs as far as it cannot lean on what only the renderer does:
clean colours, even sharpness, a camera that stands upright.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from palora_core.data import Targets

FOCAL = 0.95  # in widths of the picture, of the camera that is turned; those of our scenes are about there
TURNS = (0.10, 0.14, 0.10)  # deviations of yaw, pitch and roll
CLOSER = 0.35  # largest zoom beyond 1
JPEG = (25, 90)


def photo_like(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures [B, 3, H, W] in [0, 1] with the faults of cameras: light, colours, lens, sensor, file."""
    x = _lit(pictures, generator)
    x = _textured(x, generator)
    x = torch.stack([_soft(one, generator) for one in x])
    noise = _uniform(x, generator, 0, 0.05) * (_uniform(x, generator, 0, 1) < 0.7)
    x = x + noise * torch.randn(x.shape, generator=generator)
    kept = torch.rand(len(x), generator=generator) < 0.5
    quality = torch.randint(*JPEG, (len(x),), generator=generator).tolist()
    x = x.clamp(0, 1)
    return torch.stack([one if keep else _jpeg(one, q) for one, keep, q in zip(x, kept.tolist(), quality)])


def turned(pictures: Tensor, targets: Targets, generator: torch.Generator) -> tuple[Tensor, Targets]:
    """The same scenes [B, …] through a camera turned about its centre and zoomed in; what it does not see is unknown.

    Exact for a pinhole camera of focal length ``FOCAL``: directions and normals turn with it, a point's depth becomes
    its distance along the new axis. Zooming in changes no distance.
    """
    size = pictures.shape[-2], pictures.shape[-1]
    rotation = _rotations(len(pictures), generator)
    zoom = 1 + CLOSER * torch.rand(len(pictures), 1, 1, generator=generator)
    rays = _rays(size, zoom)  # [B, N, 3] in the turned camera
    before = rays @ rotation  # rows times R: Rᵀ of each
    forward = before[..., 2:].clamp_min(0.1)
    place = before[..., :2] / forward * (2 * FOCAL) * torch.tensor([1.0, size[1] / size[0]])
    grid = place.view(len(pictures), *size, 2)
    seen = (grid.abs() < 1).all(-1)
    image = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    found: Targets = {}
    for name, target in targets.items():
        planes = target.unsqueeze(1).float() if target.dim() == 3 else target
        moved = F.grid_sample(planes, grid, mode="nearest", padding_mode="border", align_corners=False)
        if name == "segmentation":
            found[name] = torch.where(seen, moved[:, 0].round().long(), -1)
        elif name == "depth":
            along = 1 / forward.view(len(pictures), 1, *size)
            found[name] = torch.where(seen.unsqueeze(1), moved * along, 0)
        else:
            found[name] = torch.where(seen.unsqueeze(1), torch.einsum("bij,bjhw->bihw", rotation, moved), 0)
    return image, found


def _rotations(count: int, generator: torch.Generator) -> Tensor:
    """Rotations [B, 3, 3] from the old camera's frame to the new one's."""
    yaw, pitch, roll = (torch.randn(count, 3, generator=generator).clamp(-2, 2) * torch.tensor(TURNS)).unbind(1)
    return _about(yaw, 0, 2) @ _about(pitch, 1, 2) @ _about(roll, 0, 1)


def _about(angle: Tensor, first: int, second: int) -> Tensor:
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, first, second], matrix[:, second, first] = -angle.sin(), angle.sin()
    return matrix


def _rays(size: tuple[int, int], zoom: Tensor) -> Tensor:
    height, width = size
    columns = (torch.arange(width) + 0.5 - width / 2) / (FOCAL * width)
    rows = (torch.arange(height) + 0.5 - height / 2) / (FOCAL * width)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    plane = torch.stack([x, y], -1).view(1, -1, 2) / zoom
    return torch.cat([plane, torch.ones(len(zoom), height * width, 1)], -1)


def _uniform(like: Tensor, generator: torch.Generator, low: float, high: float, channels: int = 1) -> Tensor:
    return low + (high - low) * torch.rand(len(like), channels, 1, 1, generator=generator)


def _normal(like: Tensor, generator: torch.Generator, deviation: float, channels: int = 1) -> Tensor:
    return deviation * torch.randn(len(like), channels, 1, 1, generator=generator)


def _lit(x: Tensor, generator: torch.Generator) -> Tensor:
    """Exposure, contrast, colour cast, saturation (a fifth is grey) and vignette."""
    x = x.clamp_min(1e-3) ** _normal(x, generator, 0.22).exp()
    x = x * (_normal(x, generator, 0.2) + _normal(x, generator, 0.08, 3)).exp()
    grey = x.mean(1, keepdim=True)
    colourful = _uniform(x, generator, 0.2, 1.4) * (_uniform(x, generator, 0, 1) > 0.15)
    x = grey + (x - grey) * colourful
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * _uniform(x, generator, 0.6, 1.4) + _normal(x, generator, 0.04)
    down = torch.linspace(-1, 1, x.shape[-2]).view(1, 1, -1, 1)
    right = torch.linspace(-1, 1, x.shape[-1]).view(1, 1, 1, -1)
    side = _normal(x, generator, 0.15) * down + _normal(x, generator, 0.15) * right
    return x * (1 - _uniform(x, generator, 0, 0.25) * (down**2 + right**2) + side)


def _textured(x: Tensor, generator: torch.Generator) -> Tensor:
    """Stains and weaves that the renderer's materials lack: noise of one size over half of the pictures."""
    cells = int(torch.randint(4, 64, (), generator=generator))
    noise = torch.randn(len(x), 1, cells, cells * 4 // 3, generator=generator)
    spread = F.interpolate(noise, x.shape[-2:], mode="bilinear", align_corners=False)
    return x * (1 + spread * _uniform(x, generator, 0, 0.15) * (_uniform(x, generator, 0, 1) < 0.5))


def _soft(one: Tensor, generator: torch.Generator) -> Tensor:
    """A picture [3, H, W] of fewer pixels, brought back to its size, two times in three."""
    share = float(torch.rand((), generator=generator))
    if share > 0.66:
        return one
    less = [max(8, round(side * (0.45 + 0.8 * share))) for side in one.shape[-2:]]
    few = F.interpolate(one[None], less, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(few, one.shape[-2:], mode="bilinear", align_corners=False)[0]


def _jpeg(one: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    pixels = (one * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).float() / 255
