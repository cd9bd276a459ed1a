import io

import numpy as np
import pytest
import torch
from PIL import Image

from app.kinds import view_of
from app.pictures import drawing, palettes
from app.pictures.drawing import Picture
from palora_core.tasks import Classification, Depth, Normals, Regression, Segmentation

SEG = Segmentation("segmentation", 5)
SEGMENTATION, NORMALS = view_of(SEG), view_of(Normals("normals"))


def depth_view(low: float, high: float, inverse: bool = False):
    """Of depths in metres, with these ends of the colours."""
    view = view_of(Depth("depth", unit="m", inverse=inverse))
    view.extent = (low, high)
    return view


DEPTH = depth_view(1.0, 5.0)


def decoded(picture: Picture) -> np.ndarray:
    data, _ = picture.encode()
    return np.array(Image.open(io.BytesIO(data)).convert("RGBA"))


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels.clamp(min=0), 5).permute(2, 0, 1).float()


def test_labels_come_back_exactly_from_the_file():
    labels = torch.randint(0, 5, (32, 48))
    rgba = decoded(SEGMENTATION.draw(one_hot(labels)))
    colours = np.array([palettes.rgb(c) for c in palettes.class_colours(5)])
    assert (rgba[..., :3] == colours[labels.numpy()]).all() and (rgba[..., 3] == 255).all()


def test_unlabelled_pixels_are_clear():
    labels = torch.zeros(8, 8, dtype=torch.long)
    labels[:4] = -1
    alpha = decoded(SEGMENTATION.draw_target(labels))[..., 3]
    assert (alpha[:4] == 0).all() and (alpha[4:] == 255).all()


def test_depth_uses_the_whole_ramp_and_clips():
    depth = torch.tensor([[1.0, 5.0, 0.0, 9.0, 3.0]])[None]
    picture = DEPTH.draw(depth)
    assert picture.pixels.tolist() == [[0, 254, 0, 254, 127]]


@pytest.mark.parametrize("unknown", [0.0, float("nan")])
def test_unknown_depth_is_grey(unknown):
    truth = torch.tensor([[[2.0, unknown]]])
    rgb = decoded(DEPTH.draw_target(truth))
    assert tuple(rgb[0, 1, :3]) == palettes.rgb(palettes.UNKNOWN)


def test_ramps_are_perceptually_ordered():
    """Lightness grows all along, so the pictures can be read without colour."""
    for stops in (palettes.VIRIDIS, palettes.MAGMA):
        lightness = palettes.ramp(stops) @ np.array([0.299, 0.587, 0.114])
        assert (np.diff(lightness) > -0.5).all() and lightness[-1] - lightness[0] > 120


def test_class_colours_are_distinct_beyond_the_list():
    colours = palettes.class_colours(28)
    assert len(set(colours)) == 28


def test_classes_have_the_colours_that_people_expect_and_stay_apart():
    from palora_core.benchmarks.cityscapes import NINETEEN, SEVEN
    from palora_core.benchmarks.nyuv2 import FORTY, THIRTEEN

    for names in (SEVEN, NINETEEN, THIRTEEN, FORTY, ("a", "b", "sky")):
        colours = palettes.colours_of(names)
        assert len(set(colours)) == len(names)
    for names in (SEVEN, THIRTEEN):
        values = np.array([palettes.rgb(colour) for colour in palettes.colours_of(names)], float)
        gaps = np.linalg.norm(values[:, None] - values[None], axis=-1) + 1e3 * np.eye(len(names))
        assert gaps.min() > 45, names
    red, green, blue = np.array([palettes.rgb(colour) for colour in palettes.colours_of(SEVEN)]).T
    sky, nature, road = (SEVEN.index(name) for name in ("sky", "nature", "flat"))
    assert blue[sky] > green[sky] > red[sky] and green[nature] > max(red[nature], blue[nature])
    assert max(red[road], green[road], blue[road]) - min(red[road], green[road], blue[road]) < 16


def test_near_is_bright_in_metres_and_in_inverse_depth():
    """The same scene, measured both ways: what is near is bright in both."""
    distance = torch.tensor([[[1.0, 2.0, 4.0]]])
    both = ((distance, depth_view(1.0, 4.0)), (1 / distance, depth_view(0.25, 1.0, inverse=True)))
    for depth, view in both:
        picture = view.draw(depth)
        lightness = picture.to_rgb()[0].astype(float) @ [0.299, 0.587, 0.114]
        assert lightness[0] > lightness[1] > lightness[2]
        legend = view.legend()
        bright = max((0, -1), key=lambda end: sum(palettes.rgb(legend["ramp"][end])))
        assert legend["ends"][bright] == "near"


def test_normals_as_rgb():
    up = torch.tensor([0.0, 0.0, 2.0]).view(3, 1, 1)
    assert decoded(NORMALS.draw(up))[0, 0, :3].tolist() == [128, 128, 255]


def test_errors():
    labels = torch.tensor([[0, 1, -1]])
    wrong = SEGMENTATION.draw_error(one_hot(torch.tensor([[0, 0, 0]])), labels)
    assert wrong.pixels.tolist() == [[0, 1, 2]]
    depth = DEPTH.draw_error(torch.tensor([[[2.0, 3.0, 4.0]]]), torch.tensor([[[2.0, 4.0, 0.0]]]))
    assert depth.pixels.tolist() == [[0, 254, 255]]
    x, y = torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.tensor([0.0, 1, 0]).view(3, 1, 1)
    angle = NORMALS.draw_error(torch.cat([x, x], 2), torch.cat([x, y], 2))
    assert angle.pixels.tolist() == [[0, 254]]


def test_values():
    shown = view_of(Classification("digit", 3)).values(torch.tensor([0.0, 5.0, 0.0]))
    assert shown["top"] == 1 and sum(shown["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert view_of(Classification("digit", 3)).target_values(torch.tensor(-1)) == {"top": None}
    assert view_of(Regression("r", scale=10.0)).values(torch.tensor([0.5])) == {"numbers": [5.0]}
    assert view_of(Regression("r")).target_values(torch.tensor(float("nan"))) == {"numbers": [None]}


@pytest.mark.parametrize(
    "picture",
    [
        SEGMENTATION.draw_target(torch.randint(-1, 5, (6, 9))),
        SEGMENTATION.draw(torch.randn(5, 6, 9)),
        SEGMENTATION.draw_error(torch.randn(5, 6, 9), torch.randint(-1, 5, (6, 9))),
        DEPTH.draw_target(torch.tensor([[[1.0, 0.0, 5.0], [2.0, 3.0, float("nan")]]])),
        NORMALS.draw(torch.randn(3, 6, 9)),
        drawing.draw_input(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)),
    ],
)
def test_bare_pixels_are_those_of_the_file(picture):
    data, count = picture.bare()
    height, width = picture.pixels.shape[:2]
    if count:
        colours = np.frombuffer(data[: 4 * count], np.uint8).reshape(count, 4)
        found = colours[np.frombuffer(data[4 * count :], np.uint8)].reshape(height, width, 4)
    else:
        found = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    wanted = decoded(picture)
    seen = wanted[..., 3] > 0  # the colour of what is clear is nobody's business
    assert (found[seen][:, :3] == wanted[seen][:, :3]).all()
    assert (found[..., 3:] == wanted[..., 3:]).all() if count else seen.all()
    again = Picture.from_bare(data, count, height, width)
    assert (decoded(again) == wanted).all() and again.clear == picture.clear


def test_large_pictures_are_files():
    limit = drawing.BARE_BYTES
    assert Picture(np.zeros((1, limit), np.uint8), np.zeros((2, 3), np.uint8)).bare() is not None
    assert Picture(np.zeros((1, limit + 1), np.uint8), np.zeros((2, 3), np.uint8)).bare() is None


def test_large_pictures_are_not_lossless():
    pixels = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)
    data, mime = Picture(pixels).encode()
    assert mime == "image/webp" and len(data) < pixels.nbytes / 2


def test_legends():
    assert SEGMENTATION.legend()["classes"] == [f"class {i}" for i in range(5)]
    named = view_of(Segmentation("s", 2, classes=("sky", "road"))).legend()
    assert named["classes"] == ["sky", "road"] and named["colours"] == palettes.colours_of(["sky", "road"])
    assert view_of(SEG, {"classes": list("abcde")}).legend()["classes"] == list("abcde"), "as the card says"
    assert view_of(SEG, {"classes": ["a"]}).legend()["classes"][0] == "class 0", "not all of them"
    assert DEPTH.legend()["range"] == [1.0, 5.0] and DEPTH.legend()["unit"] == "m"
    assert view_of(Depth("d"), {"unit": "cm"}).legend()["unit"] == "cm"
    assert view_of(Classification("c", 2)).legend()["classes"] == ["0", "1"]
