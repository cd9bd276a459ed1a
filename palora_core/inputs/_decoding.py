"""Picture files that people send, decoded safely."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from palora_core.errors import UserError
from palora_core.inputs.base import MOST_BYTES

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 40_000_000
MIN_SIDE = 8
# Networks here see at most a few hundred pixels; more would only fill memory.
KEPT_SIDE = 1024


def decode_picture(data: bytes) -> np.ndarray:
    """An RGB uint8 picture [H, W, 3] from the bytes of an image file, upright, at most ``KEPT_SIDE`` on a side.

    Grey, 16-bit, palette, CMYK and transparent (over white) pictures are converted; of an animation the first frame
    is used.

    Raises:
        UserError: not an image, damaged, too large or too small.
    """
    if len(data) > MOST_BYTES:
        limit = MOST_BYTES // 2**20
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
