import io

import numpy as np
import pytest
from PIL import Image

from app.pictures import uploads
from app.pictures.uploads import UploadStore, decode_image
from palora_core.errors import UserError


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width=60, height=40) -> np.ndarray:
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(kind):
    pixels = decode_image(encoded(Image.fromarray(gradient()).convert("RGB"), kind))
    assert pixels.shape == (40, 60, 3) and pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "RGB", "I;16", "I"])
def test_modes(mode):
    if mode == "I;16":
        image = Image.fromarray(gradient().astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(gradient().astype(np.int32) * 257)
    else:
        image = Image.fromarray(gradient()).convert(mode)
    pixels = decode_image(encoded(image, "TIFF" if mode in ("CMYK", "I") else "PNG"))
    assert pixels.shape == (40, 60, 3)
    assert pixels[:, -3:].mean() - pixels[:, :3].mean() > 150, "the gradient is still there, not clipped away"


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (decode_image(encoded(image)) == 255).all()


def test_exif_rotation():
    image = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    assert decode_image(encoded(image, "JPEG", exif=exif)).shape[:2] == (60, 40)


def test_large_pictures_are_reduced():
    assert max(decode_image(encoded(Image.new("RGB", (3000, 2000)))).shape) == uploads.KEPT_SIDE
    assert decode_image(encoded(Image.new("L", (8000, 8000)), "JPEG")).shape[0] <= uploads.KEPT_SIDE


def test_extreme_shapes():
    assert decode_image(encoded(Image.new("RGB", (5000, 9)))).shape[1] == uploads.KEPT_SIDE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a picture"),
        (b"hello, I am a text", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (encoded(Image.new("RGB", (64, 64), "red"))[:60], "damaged"),
        (encoded(Image.effect_noise((200, 200), 50), "JPEG")[:900], "damaged"),
        (encoded(Image.new("1", (8000, 8000))), "8000 × 8000"),
        (encoded(Image.new("1", (20000, 20000))), "far too large"),
        (encoded(Image.new("RGB", (2, 300))), "at least 8"),
        (b"\x89PNG" + b"0" * (uploads.MAX_UPLOAD_BYTES + 1), "MB"),
    ],
    ids=["empty", "text", "svg", "cut png", "cut jpeg", "8000", "bomb", "thin", "bytes"],
)
def test_bad_files_get_one_sentence(data, words):
    with pytest.raises(UserError) as caught:
        decode_image(data)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_store_forgets():
    store = UploadStore(capacity=3 * 300, lifetime=1000)
    tokens = [store.put(np.zeros((10, 10, 3), np.uint8)) for _ in range(5)]
    assert [token in store for token in tokens] == [False, False, True, True, True]
    assert len(set(tokens)) == 5 and all(len(token) > 24 for token in tokens)
    with pytest.raises(UserError, match="upload it again"):
        store.get(tokens[0])
    store.lifetime = -1
    assert tokens[4] not in store
