"""Small pictures, encoded without loss, and numbers as colours of a ramp."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.pictures import palettes

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


def draw_input(image: np.ndarray) -> Picture:
    """The input picture [H, W, 3]."""
    return Picture(np.asarray(image, dtype=np.uint8))


def with_unknown(stops: tuple[str, ...]) -> np.ndarray:
    """The palette [256, 3] of a ramp, grey for what is unknown behind it."""
    return np.vstack([palettes.ramp(stops, _RAMP_LEVELS), [palettes.rgb(palettes.UNKNOWN)]]).astype(np.uint8)


ERRORS = with_unknown(palettes.MAGMA)


def ramped(values: Tensor, low: float, high: float, palette: np.ndarray) -> Picture:
    """Values [H, W] in the colours of :func:`with_unknown` from ``low`` to ``high``; what is no number is grey."""
    scaled = ((values - low) / ((high - low) or 1.0)).clamp(0, 1) * (_RAMP_LEVELS - 1)
    indices = torch.where(torch.isfinite(scaled), scaled.round(), _UNKNOWN_INDEX).to(torch.uint8)
    return Picture(indices.numpy(), palette)
