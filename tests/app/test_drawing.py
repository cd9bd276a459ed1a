import io

import numpy as np
import pytest
import torch
from PIL import Image

from app.pictures import drawing, palettes
from app.pictures.drawing import Picture, Style
from palora_core.tasks import Classification, Depth, Normals, Regression, Segmentation

SEG = Segmentation("segmentation", 5)
STYLE = Style(1.0, 5.0)


def decoded(picture: Picture) -> np.ndarray:
    data, _ = picture.encode()
    return np.array(Image.open(io.BytesIO(data)).convert("RGBA"))


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels.clamp(min=0), 5).permute(2, 0, 1).float()


def test_labels_come_back_exactly_from_the_file():
    labels = torch.randint(0, 5, (32, 48))
    rgba = decoded(drawing.draw_prediction(SEG, one_hot(labels), STYLE))
    colours = np.array([palettes.rgb(c) for c in palettes.class_colours(5)])
    assert (rgba[..., :3] == colours[labels.numpy()]).all() and (rgba[..., 3] == 255).all()


def test_unlabelled_pixels_are_clear():
    labels = torch.zeros(8, 8, dtype=torch.long)
    labels[:4] = -1
    alpha = decoded(drawing.draw_truth(SEG, labels, STYLE))[..., 3]
    assert (alpha[:4] == 0).all() and (alpha[4:] == 255).all()


def test_depth_uses_the_whole_ramp_and_clips():
    depth = torch.tensor([[1.0, 5.0, 0.0, 9.0, 3.0]])[None]
    picture = drawing.draw_prediction(Depth("depth"), depth, STYLE)
    assert picture.pixels.tolist() == [[0, 254, 0, 254, 127]]


@pytest.mark.parametrize("unknown", [0.0, float("nan")])
def test_unknown_depth_is_grey(unknown):
    truth = torch.tensor([[[2.0, unknown]]])
    rgb = decoded(drawing.draw_truth(Depth("depth"), truth, STYLE))
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
    both = ((distance, Style(1.0, 4.0)), (1 / distance, Style(0.25, 1.0, inverse=True)))
    for depth, style in both:
        picture = drawing.draw_prediction(Depth("depth"), depth, style)
        lightness = picture.to_rgb()[0].astype(float) @ [0.299, 0.587, 0.114]
        assert lightness[0] > lightness[1] > lightness[2]
        legend = drawing.legend(Depth("depth"), style, {"unit": "m"})
        bright = max((0, -1), key=lambda end: sum(palettes.rgb(legend["ramp"][end])))
        assert legend["ends"][bright] == "near"


def test_normals_as_rgb():
    up = torch.tensor([0.0, 0.0, 2.0]).view(3, 1, 1)
    assert decoded(drawing.draw_prediction(Normals("normals"), up, STYLE))[0, 0, :3].tolist() == [128, 128, 255]


def test_errors():
    labels = torch.tensor([[0, 1, -1]])
    wrong = drawing.draw_error(SEG, one_hot(torch.tensor([[0, 0, 0]])), labels, STYLE)
    assert wrong.pixels.tolist() == [[0, 1, 2]]
    depth = drawing.draw_error(
        Depth("depth"), torch.tensor([[[2.0, 3.0, 4.0]]]), torch.tensor([[[2.0, 4.0, 0.0]]]), STYLE
    )
    assert depth.pixels.tolist() == [[0, 254, 255]]
    x, y = torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.tensor([0.0, 1, 0]).view(3, 1, 1)
    angle = drawing.draw_error(Normals("normals"), torch.cat([x, x], 2), torch.cat([x, y], 2), STYLE)
    assert angle.pixels.tolist() == [[0, 254]]


def test_values():
    shown = drawing.values(Classification("digit", 3), torch.tensor([0.0, 5.0, 0.0]))
    assert shown["top"] == 1 and sum(shown["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert drawing.true_values(Classification("digit", 3), torch.tensor(-1)) == {"top": None}
    assert drawing.values(Regression("r", scale=10.0), torch.tensor([0.5])) == {"numbers": [5.0]}
    assert drawing.true_values(Regression("r"), torch.tensor(float("nan"))) == {"numbers": [None]}


@pytest.mark.parametrize(
    "picture",
    [
        drawing.draw_truth(SEG, torch.randint(-1, 5, (6, 9)), STYLE),
        drawing.draw_prediction(SEG, torch.randn(5, 6, 9), STYLE),
        drawing.draw_error(SEG, torch.randn(5, 6, 9), torch.randint(-1, 5, (6, 9)), STYLE),
        drawing.draw_truth(Depth("depth"), torch.tensor([[[1.0, 0.0, 5.0], [2.0, 3.0, float("nan")]]]), STYLE),
        drawing.draw_prediction(Normals("normals"), torch.randn(3, 6, 9), STYLE),
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
    assert drawing.legend(SEG, STYLE, {"classes": ["floor"]})["classes"] == [
        "floor",
        *(f"class {i}" for i in range(1, 5)),
    ]
    assert drawing.legend(Depth("d"), STYLE, {"unit": "m"})["range"] == [1.0, 5.0]
    assert drawing.legend(Classification("c", 2), STYLE, {})["classes"] == ["0", "1"]
