"""Predictions, ground truth and errors of every kind of task as small pictures (or numbers), encoded without loss."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.pictures import palettes
from palora_core.tasks import Task

# Errors at and beyond these ends of their scales look alike: a quarter of the range of depth, 60 degrees.
DEPTH_ERROR_SHARE = 0.25
ANGLE_ERROR_LIMIT = 60.0
# Above this many pixels a lossless picture costs more to send than its exactness is worth.
LOSSLESS_PIXELS = 300_000

# Up to this many bytes pixels are sent as they are: to pack and unpack a file costs more than it saves on the way.
BARE_BYTES = 65_536

_RAMP_LEVELS = 255
_UNKNOWN_INDEX = 255


@dataclass(frozen=True)
class Picture:
    """uint8 pixels: RGB [H, W, 3], or indices [H, W] into a palette.

    Attributes:
        pixels: see above.
        palette: colours [N, 3] for indices.
        clear: indices that are fully transparent.
    """

    pixels: np.ndarray
    palette: np.ndarray | None = None
    clear: tuple[int, ...] = ()

    def encode(self) -> tuple[bytes, str]:
        """The file's bytes and its media type. Palette pictures become PNG (0.2 ms at 96 × 128), RGB becomes WebP."""
        buffer = io.BytesIO()
        if self.palette is None:
            lossless = self.pixels.shape[0] * self.pixels.shape[1] <= LOSSLESS_PIXELS
            image = Image.fromarray(np.ascontiguousarray(self.pixels))
            image.save(buffer, "WEBP", lossless=lossless, quality=0 if lossless else 85, method=0)
            return buffer.getvalue(), "image/webp"
        image = Image.fromarray(np.ascontiguousarray(self.pixels))
        image.putpalette(self.palette.tobytes(), "RGB")
        options = {"transparency": self._alpha().tobytes()} if self.clear else {}
        image.save(buffer, "PNG", compress_level=1, **options)
        return buffer.getvalue(), "image/png"

    def bare(self) -> tuple[bytes, int] | None:
        """(RGB, 0), or (N RGBA colours and then the indices, N); None for a picture that is better sent as a file."""
        if self.pixels.nbytes > BARE_BYTES:
            return None
        if self.palette is None:
            return self.pixels.tobytes(), 0
        colours = np.column_stack([self.palette, self._alpha()])
        return colours.tobytes() + self.pixels.tobytes(), len(colours)

    @classmethod
    def from_bare(cls, data: bytes, colours: int, height: int, width: int) -> Picture:
        """The inverse of :meth:`bare`."""
        values = np.frombuffer(data, np.uint8)
        if not colours:
            return cls(values.reshape(height, width, 3))
        palette = values[: 4 * colours].reshape(colours, 4)
        clear = tuple(np.flatnonzero(palette[:, 3] == 0).tolist())
        return cls(values[4 * colours :].reshape(height, width), np.ascontiguousarray(palette[:, :3]), clear)

    def _alpha(self) -> np.ndarray:
        """Opacity [N] of the palette's colours."""
        assert self.palette is not None
        alpha = np.full(len(self.palette), 255, np.uint8)
        alpha[list(self.clear)] = 0
        return alpha

    def to_rgb(self) -> np.ndarray:
        """The colours [H, W, 3]."""
        return self.pixels if self.palette is None else self.palette[self.pixels]


# Depth is bright where it is near, whether it is measured as distance or as its inverse.
DISTANCE, INVERSE = palettes.VIRIDIS[::-1], palettes.VIRIDIS


def _with_unknown(stops: tuple[str, ...]) -> np.ndarray:
    return np.vstack([palettes.ramp(stops, _RAMP_LEVELS), [palettes.rgb(palettes.UNKNOWN)]]).astype(np.uint8)


_DISTANCE, _INVERSE, _MAGMA = (_with_unknown(stops) for stops in (DISTANCE, INVERSE, palettes.MAGMA))
# correct (clear), wrong, unknown (clear)
_MISTAKES = np.array([(0, 0, 0), palettes.rgb(palettes.WRONG), (0, 0, 0)], dtype=np.uint8)


@dataclass(frozen=True)
class Style:
    """What drawing a task needs to know besides the task.

    Attributes:
        low: of the depth colours.
        high: of the depth colours.
        inverse: whether depth is given as its inverse, so that large is near.
        colours: of the classes; () for those of the list.
    """

    low: float = 0.0
    high: float = 1.0
    inverse: bool = False
    colours: tuple[str, ...] = ()


def draw_prediction(task: Task, prediction: Tensor, style: Style) -> Picture:
    """A picture of one prediction [C, H, W] of a pictured task."""
    if task.kind == "segmentation":
        return _labels(_classes(prediction), task, style)
    if task.kind == "depth":
        return _ramp(prediction[0], style.low, style.high, _INVERSE if style.inverse else _DISTANCE)
    return _normals(prediction)


def draw_truth(task: Task, target: Tensor, style: Style) -> Picture:
    """A picture of the ground truth of one item; unknown pixels are clear or grey."""
    if task.kind == "segmentation":
        return _labels(target.squeeze(0) if target.dim() == 3 else target, task, style)
    if task.kind == "depth":
        return _ramp(_known_depth(target), style.low, style.high, _INVERSE if style.inverse else _DISTANCE)
    return _normals(target)


def draw_error(task: Task, prediction: Tensor, target: Tensor, style: Style) -> Picture:
    """Where, and by how much, one prediction [C, H, W] is wrong."""
    if task.kind == "segmentation":
        labels = target.squeeze(0) if target.dim() == 3 else target
        wrong = (_classes(prediction) != labels).to(torch.uint8)
        wrong[labels == getattr(task, "ignore_index", -1)] = 2
        return Picture(wrong.numpy(), _MISTAKES, clear=(0, 2))
    if task.kind == "depth":
        error = (prediction[0].float() - _known_depth(target)).abs()
        return _ramp(error, 0.0, DEPTH_ERROR_SHARE * (style.high - style.low), _MAGMA)
    return _ramp(_angles(prediction, target), 0.0, ANGLE_ERROR_LIMIT, _MAGMA)


def draw_input(image: np.ndarray) -> Picture:
    """The input picture [H, W, 3]."""
    return Picture(np.asarray(image, dtype=np.uint8))


def values(task: Task, prediction: Tensor) -> dict[str, Any]:
    """What is shown of a task without a picture: class probabilities, or the number."""
    if task.kind == "classification":
        probabilities = prediction.float().softmax(-1)
        return {"probabilities": [round(p, 4) for p in probabilities.tolist()], "top": int(probabilities.argmax())}
    scale = float(getattr(task, "scale", 1.0))
    return {"numbers": [round(v * scale, 5) for v in prediction.float().reshape(-1).tolist()]}


def true_values(task: Task, target: Tensor) -> dict[str, Any]:
    """The ground truth in the form of :func:`values`."""
    if task.kind == "classification":
        label = int(target.reshape(-1)[0])
        return {"top": label if label != getattr(task, "ignore_index", -1) else None}
    scale = float(getattr(task, "scale", 1.0))
    numbers = [v * scale for v in target.float().reshape(-1).tolist()]
    return {"numbers": [round(v, 5) if v == v else None for v in numbers]}


def legend(task: Task, style: Style, names: Mapping[str, Any]) -> dict[str, Any]:
    """How to read the pictures of a task: classes with colours, or the ends of a colour ramp.

    Args:
        task: the task.
        style: ends of the depth colours.
        names: ``classes`` (list of class names) and ``unit`` where known.
    """
    unit = str(names.get("unit") or "")
    if task.kind in ("segmentation", "classification"):
        count = task.out_channels
        known = list(names.get("classes") or [])
        classes = [str(known[i]) if i < len(known) else f"class {i}" for i in range(count)]
        if task.kind == "classification" and not known:
            classes = [str(i) for i in range(count)]
        return {"classes": classes, "colours": _class_colours(count, style), "wrong": palettes.WRONG}
    if task.kind == "depth":
        limit = DEPTH_ERROR_SHARE * (style.high - style.low)
        return {
            "ramp": list(INVERSE if style.inverse else DISTANCE),
            "range": [style.low, style.high],
            "ends": ["far", "near"] if style.inverse else ["near", "far"],
            "unit": unit,
            "error": {"ramp": list(palettes.MAGMA), "range": [0.0, limit], "unit": unit},
        }
    if task.kind == "normals":
        return {"error": {"ramp": list(palettes.MAGMA), "range": [0.0, ANGLE_ERROR_LIMIT], "unit": "°"}}
    return {"unit": unit or str(getattr(task, "unit", ""))}


def _labels(labels: Tensor, task: Task, style: Style) -> Picture:
    palette = _class_palette(task.out_channels, style)
    void = task.out_channels
    known = (labels >= 0) & (labels < void) & (labels != getattr(task, "ignore_index", -1))
    return Picture(torch.where(known, labels, void).to(torch.uint8).numpy(), palette, clear=(void,))


def _class_colours(count: int, style: Style) -> list[str]:
    return list(style.colours) if len(style.colours) == count else palettes.class_colours(count)


@lru_cache
def _class_palette(count: int, style: Style) -> np.ndarray:
    """Colours [count + 1, 3] of the classes and of void; looked up for every frame."""
    return np.array([palettes.rgb(c) for c in _class_colours(count, style)] + [(0, 0, 0)], dtype=np.uint8)


def _classes(scores: Tensor) -> Tensor:
    """The best class [H, W] of scores [C, H, W]; argmax is five times slower over an outer axis."""
    return scores.max(0).indices


def _known_depth(target: Tensor) -> Tensor:
    """Depth [H, W] from [H, W] or [1, H, W], NaN where it is unknown."""
    depth = target.reshape(target.shape[-2:]).float()
    return torch.where(torch.isfinite(depth) & (depth != 0), depth, torch.nan)


def _ramp(values: Tensor, low: float, high: float, palette: np.ndarray) -> Picture:
    scaled = ((values - low) / ((high - low) or 1.0)).clamp(0, 1) * (_RAMP_LEVELS - 1)
    indices = torch.where(torch.isfinite(scaled), scaled.round(), _UNKNOWN_INDEX).to(torch.uint8)
    return Picture(indices.numpy(), palette)


def _normals(vectors: Tensor) -> Picture:
    """Unit vectors [3, H, W] as RGB: each component from [−1, 1] to [0, 255]; unknown ones are grey."""
    vectors = vectors.float()
    length = _length(vectors)
    known = torch.isfinite(length) & (length > 0)
    unit = torch.where(known, vectors / length.clamp(min=1e-6), 0)
    return Picture(((unit + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy())


def _angles(prediction: Tensor, target: Tensor) -> Tensor:
    ours = torch.nn.functional.normalize(prediction.float(), dim=0)
    length = _length(target.float())
    theirs = target.float() / length.clamp(min=1e-6)
    angle = torch.rad2deg(torch.acos((ours * theirs).sum(0).clamp(-1, 1)))
    return torch.where(torch.isfinite(length) & (length > 0), angle, torch.nan)


def _length(vectors: Tensor) -> Tensor:
    """Lengths [H, W] of vectors [3, H, W]; linalg.vector_norm takes five times as long over a short dimension."""
    return vectors.square().sum(0).sqrt()
