"""Pictures that people send: decoded safely, kept in memory for a while, never written to disk."""

from __future__ import annotations

import io
import secrets
import threading
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from app.settings import MAX_UPLOAD_BYTES
from palora_core.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = ("png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff")
MAX_PIXELS = 40_000_000
MIN_SIDE = 8
# Networks here see at most a few hundred pixels; more would only fill memory.
KEPT_SIDE = 1024
MOST_KEPT = 1024


def decode_image(data: bytes) -> np.ndarray:
    """An RGB uint8 picture [H, W, 3] from the bytes of an image file, upright, at most ``KEPT_SIDE`` on a side.

    Grey, 16-bit, palette, CMYK and transparent (over white) pictures are converted; of an animation the first frame
    is used.

    Raises:
        UserError: not an image, damaged, too large or too small.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        limit = MAX_UPLOAD_BYTES // 2**20
        raise UserError(f"The file has {len(data) / 2**20:.0f} MB, the limit is {limit} MB; send a smaller picture.")
    try:
        with warnings.catch_warnings():
            # Pillow only warns between one and two times its own limit; ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.draft("RGB", (KEPT_SIDE, KEPT_SIDE))  # JPEG only: decode at a fraction of the size
            _check_size(image)
            image.thumbnail((4 * KEPT_SIDE, 4 * KEPT_SIDE), Image.Resampling.BOX)
            rgb = _as_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise UserError("This file is not a picture that can be read; send a PNG, JPEG or WebP file.") from None
    except Image.DecompressionBombError:
        raise UserError("The picture is far too large to be decoded safely; scale it down and send it again.") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("The picture is damaged or cut off and cannot be decoded; save it again and retry.") from None
    rgb.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    return np.array(rgb)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UserError(
            f"The picture has {width} × {height} pixels, more than the {MAX_PIXELS // 10**6} million that are decoded "
            "here; scale it down and send it again."
        )
    if min(width, height) < MIN_SIDE:
        raise UserError(f"The picture has {width} × {height} pixels; each side must have at least {MIN_SIDE}.")


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _from_wide_grey(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_wide_grey(image: Image.Image) -> Image.Image:
    """16-bit grey scaled by its nominal range (Pillow's own conversion clips at 255), floats by their extent."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F":
        values = np.nan_to_num(values)
        low, high = values.min(), values.max()
        values = (values - low) / (high - low or 1.0) * 255
    elif values.max(initial=0) > 255 or image.mode.startswith("I;16"):
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8)).convert("RGB")


@dataclass
class _Kept:
    pixels: np.ndarray
    name: str
    used: float


class UploadStore:
    """Decoded pictures by unguessable token; the longest unused ones go when there are too many, all expire.

    Args:
        capacity: bytes of pixels in all.
        lifetime: seconds since the last use.
    """

    def __init__(self, capacity: int = 96 * 2**20, lifetime: float = 3600.0) -> None:
        self.capacity = capacity
        self.lifetime = lifetime
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, pixels: np.ndarray, name: str = "") -> str:
        """Keep a picture [H, W, 3]; returns its token."""
        token = f"upload-{secrets.token_urlsafe(16)}"
        with self._lock:
            self._kept[token] = _Kept(pixels, name, time.monotonic())
            self._expire()
            while len(self._kept) > 1 and (len(self._kept) > MOST_KEPT or self._bytes() > self.capacity):
                self._kept.popitem(last=False)
        return token

    def get(self, token: str) -> np.ndarray:
        """The picture [H, W, 3] of a token.

        Raises:
            UserError: unknown or expired.
        """
        with self._lock:
            self._expire()
            item = self._kept.get(token)
            if item is None:
                raise UserError("Your picture is no longer in the server's memory; upload it again.")
            item.used = time.monotonic()
            self._kept.move_to_end(token)
            return item.pixels

    def _bytes(self) -> int:
        return sum(item.pixels.nbytes for item in self._kept.values())

    def __contains__(self, token: str) -> bool:
        with self._lock:
            self._expire()
            return token in self._kept

    def _expire(self) -> None:
        limit = time.monotonic() - self.lifetime
        for token in [token for token, item in self._kept.items() if item.used < limit]:
            del self._kept[token]
