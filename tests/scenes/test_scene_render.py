import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from palora_core import scenes
from palora_core.scenes import KINDS, ROOM_CLASSES, STREET_CLASSES, SceneError, render, sheet
from palora_core.scenes.catalog import CLASSES, FLAT, PALETTES, SKY, SPLITS
from palora_core.scenes.catalog import KINDS as CATALOG_KINDS
from palora_core.scenes.dice import Dice
from palora_core.scenes.room_picture import _shoot

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH, COUNT = 32, 48, 14


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[dict[str, np.ndarray]]]:
    return {kind: [render(kind, 0, index, HEIGHT, WIDTH) for index in range(COUNT)] for kind in KINDS}


def fingerprint(scene: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(scene[name].tobytes() for name in sorted(scene))).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_types(rendered, kind):
    expected = {"image": (np.uint8, (3,)), "label": (np.int8, ()), "depth": (np.float32, ())}
    expected["normal"] = (np.float32, (3,))
    for scene in rendered[kind]:
        assert scene.keys() == expected.keys()
        for name, (dtype, channels) in expected.items():
            assert scene[name].dtype == dtype
            assert scene[name].shape == (HEIGHT, WIDTH, *channels)
            assert scene[name].flags.c_contiguous


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_classes_or_void_and_most_classes_appear(rendered, kind):
    seen = np.unique(np.stack([scene["label"] for scene in rendered[kind]]))
    assert seen.min() >= -1
    assert seen.max() < len(CLASSES[kind])
    assert len(seen[seen >= 0]) >= {"rooms": 11, "streets": 7}[kind]
    assert np.mean([len(np.unique(scene["label"])) for scene in rendered[kind]]) >= 5


@pytest.mark.parametrize(("kind", "nearest", "farthest"), [("rooms", 0.3, 9.0), ("streets", 1 / 250, 1.0)])
def test_depth_is_positive_and_in_range_where_it_is_known(rendered, kind, nearest, farthest):
    for scene in rendered[kind]:
        known = scene["depth"] > 0
        assert np.isfinite(scene["depth"]).all()
        assert (scene["depth"] >= 0).all()
        assert 0.3 < known.mean() <= 1
        assert scene["depth"][known].min() >= nearest * 0.999
        assert scene["depth"][known].max() <= farthest


def test_sky_has_no_depth_and_the_road_gets_nearer_downwards(rendered):
    for scene in rendered["streets"]:
        assert not scene["depth"][scene["label"] == SKY].any()
        for column in range(0, WIDTH, 6):
            on_ground = (scene["label"][:, column] == FLAT) & (scene["depth"][:, column] > 0)
            down = scene["depth"][on_ground, column]
            assert (np.diff(down) >= -1e-4).all()


def test_pictures_use_the_whole_range_and_differ(rendered):
    for kind in KINDS:
        images = np.stack([scene["image"] for scene in rendered[kind]]).astype(float)
        assert np.median(images.std(axis=(1, 2, 3))) > 25
        assert 50 < images.mean() < 190
        assert np.abs(images[1:] - images[:-1]).mean(axis=(1, 2, 3)).min() > 10


def test_normals_have_unit_length_where_depth_is_known_and_are_zero_elsewhere(rendered):
    for scene in (*rendered["rooms"], *rendered["streets"]):
        length = np.linalg.norm(scene["normal"], axis=-1)
        known = scene["depth"] > 0
        assert np.abs(length[known] - 1).max() < 1e-5
        assert not length[~known].any()


def test_normals_face_the_camera_and_agree_with_the_depth(rendered):
    cosines = []
    for index, scene in enumerate(rendered["rooms"]):
        focal = _shoot(Dice(CATALOG_KINDS.index("rooms"), 0, index, 0)).focal * WIDTH
        v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.75  # of a pixel's rays, depth and normal belong to the last
        ray = np.stack([(u - WIDTH / 2) / focal, (v - HEIGHT / 2) / focal, np.ones_like(u)], axis=-1)
        known = scene["depth"] > 0
        assert ((ray * scene["normal"]).sum(-1)[known] < 1e-4).all()
        point = ray * scene["depth"][..., None]
        across, down = point[1:-1, 2:] - point[1:-1, :-2], point[2:, 1:-1] - point[:-2, 1:-1]
        measured = np.cross(across, down)
        measured /= np.maximum(np.linalg.norm(measured, axis=-1, keepdims=True), 1e-12)
        # Flat: the pixel and its four neighbours have the same normal and all have depth.
        normal = scene["normal"]
        neighbours = [normal[:-2, 1:-1], normal[2:, 1:-1], normal[1:-1, :-2], normal[1:-1, 2:]]
        flat = np.all([(normal[1:-1, 1:-1] * n).sum(-1) > 0.9999 for n in neighbours], axis=0)
        cosines.append(np.abs((measured * normal[1:-1, 1:-1]).sum(-1))[flat])
    cosines = np.concatenate(cosines)
    assert len(cosines) > 2000
    assert np.median(cosines) > 0.9999
    assert np.mean(cosines > 0.99) > 0.9  # the rest: steps between parallel faces


def test_nothing_stands_right_in_front_of_a_room_camera(rendered):
    nearest = [scene["depth"][scene["depth"] > 0].min() for scene in rendered["rooms"]]
    assert np.median(nearest) > 0.75


def test_no_vehicle_fills_the_view():
    shares = [(render("streets", 5, index, 16, 32)["label"] == 6).mean() for index in range(40)]
    assert max(shares) < 0.75


def test_another_process_with_other_threads_gives_the_same_bytes(rendered):
    code = f"""
import hashlib
from palora_core.scenes import render
for kind in ("rooms", "streets"):
    for index in (0, 3, 7):
        scene = render(kind, 0, index, {HEIGHT}, {WIDTH})
        print(hashlib.sha256(b"".join(scene[name].tobytes() for name in sorted(scene))).hexdigest())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "5", "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [fingerprint(rendered[kind][index]) for kind in KINDS for index in (0, 3, 7)]


def test_importing_and_rendering_needs_no_torch():
    code = "import sys; from palora_core.scenes import render; render('rooms', 0, 0, 16, 16); "
    code += "print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.parametrize("kind", KINDS)
def test_kind_seed_index_and_split_each_give_other_scenes(kind):
    size = (16, 24)
    variants = [render(kind, seed, index, *size) for seed in (0, 1) for index in (0, 1)]
    variants += [render(kind, 0, 0, *size, split=split) for split in SPLITS[1:]]
    assert len({fingerprint(scene) for scene in variants}) == len(variants)
    assert fingerprint(render(kind, 0, 0, *size, split="train")) == fingerprint(variants[0])


@pytest.mark.parametrize("size", [(16, 16), (17, 90), (33, 47)])
@pytest.mark.parametrize("kind", KINDS)
def test_any_size_will_do(kind, size):
    scene = render(kind, 2, 1, *size)
    assert scene["image"].shape == (*size, 3)
    assert scene["label"].shape == scene["depth"].shape == size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gardens", 0, 0, 32, 48), "no kind of scene named 'gardens'; the kinds are rooms, streets"),
        (("rooms", -1, 0, 32, 48), "seed must be at least 0, found -1"),
        (("rooms", 0, -2, 32, 48), "index must be at least 0, found -2"),
        (("rooms", 0, 0, 8, 48), "at least 16 pixels, found 8 × 48"),
        (("rooms", 0, 0, 32, 48, "extra"), "no split named 'extra'; the splits are train, val, test"),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(SceneError, match=message):
        render(*arguments)
    assert issubclass(SceneError, ValueError)


def test_streets_vary_in_light_and_colour():
    images = np.stack([render("streets", 3, index, 16, 32)["image"] for index in range(40)]).astype(float)
    brightness = images.mean(axis=(1, 2, 3))
    assert brightness.min() < 95  # nights
    assert brightness.max() > 120  # and days
    tint = images.mean(axis=(1, 2)) / brightness[:, None]
    assert tint.std(axis=0).min() > 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_contact_sheet(kind):
    parts = 4
    picture = sheet(kind, 3, 16, 24, columns=2)
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * 16, 2 * parts * 24, 3)
    assert (picture[:16, :24] == render(kind, 0, 0, 16, 24)["image"]).all()
    assert not picture[16:, parts * 24 :].any()
    assert picture[16:, : parts * 24].any()


def test_public_names_and_classes():
    assert set(scenes.__all__) == {
        *("CLASSES", "GENERATOR_VERSION", "KINDS", "ROOM_CLASSES", "STREET_CLASSES", "SceneArrays", "SceneError"),
        *("ensure", "render", "sheet", "verify"),
    }
    assert isinstance(scenes.GENERATOR_VERSION, int)
    assert (len(ROOM_CLASSES), len(STREET_CLASSES)) == (13, 7)
    assert all(len(PALETTES[kind]) == len(CLASSES[kind]) + 1 for kind in KINDS)
    assert all(len(np.unique(PALETTES[kind], axis=0)) == len(PALETTES[kind]) for kind in KINDS)
