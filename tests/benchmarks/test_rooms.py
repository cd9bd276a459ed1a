"""Rooms with real frames: what is prepared, how it is split and mixed, and that a turned camera sees the same scene."""

import numpy as np
import pytest
import torch
from PIL import Image

from palora_core.benchmarks import _photos, _sensor
from palora_core.benchmarks.rooms import Rooms
from palora_core.errors import UserError
from palora_core.preparation.rooms import Rooms as Preparer

FOCAL, ROWS, COLUMNS = 30.0, 24, 36
SMALL = {"height": 32, "image_width": 32, "train_images": 4, "val_images": 2, "test_images": 2}


def plane(normal, distance, height, width, focal):
    """Depth [H, W] of the plane normal · X = distance."""
    v, u = np.mgrid[:height, :width] + 0.5
    rays = np.stack([(u - width / 2) / focal, (v - height / 2) / focal, np.ones_like(u)], -1)
    return distance / (rays @ np.asarray(normal))


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A source folder with ten frames of a slanted wall; K.txt is that of twice their size."""
    folder = tmp_path_factory.mktemp("walk")
    for name in ("images", "depth"):
        (folder / name).mkdir()
    depth = plane((0.3, 0.2, 1.0), 2.0, ROWS, COLUMNS, FOCAL)
    depth[:4] = 0
    for number in range(10):
        pixels = np.full((ROWS, COLUMNS, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:03d}.png")
        Image.fromarray((1000 * depth).round().astype(np.uint16)).save(folder / "depth" / f"{number:03d}.png")
    np.savetxt(folder / "K.txt", [[2 * FOCAL, 0, COLUMNS], [0, 2 * FOCAL, ROWS], [0, 0, 1]])
    return folder


@pytest.fixture(scope="module")
def data(walk, tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    Preparer().prepare(walk, root)
    return root


def test_frames_have_their_depth_and_the_normals_of_their_surface(data):
    frames = _sensor.frames(data, 24, 32)
    assert frames.images.shape == (10, 24, 32, 3) and frames.depths.dtype == np.float16
    assert (frames.depths[:, :4] == 0).all() and (frames.depths[:, 4:] > 1).all()
    known = np.linalg.norm(frames.normals[0].astype(float), axis=-1) > 0
    assert known[6:-1, 2:-2].all() and not known[:5].any()
    expected = -np.array([0.3, 0.2, 1.0]) / np.linalg.norm([0.3, 0.2, 1.0])
    cosines = frames.normals[0][known].astype(float) / 127 @ expected
    assert cosines.min() > 0.99


def test_an_edge_between_two_surfaces_has_no_normal():
    depth = np.full((24, 32), 1.0, np.float32)
    depth[:, 16:] = 2.0
    known = np.linalg.norm(_sensor.central_normals(depth, 30.0), axis=-1) > 0
    assert known[5, 10] and known[5, 20] and not known[5, 15:17].any()


def test_frames_are_split_by_time():
    parts = _sensor.places(373)
    assert parts == {"train": slice(0, 270), "val": slice(270, 300), "test": slice(300, 373)}
    with pytest.raises(UserError, match=r"2 frames cannot be divided"):
        _sensor.places(2)


def test_half_of_every_batch_is_real_and_has_no_classes_and_no_test_frame(data):
    bench = Rooms(**SMALL, real_frames=True)
    splits = bench.load(data)
    assert len(splits["train"]) == 8 and len(splits["test"]) == 2
    x, targets = splits["train"].batch(torch.arange(8))
    real = (targets["segmentation"] == -1).flatten(1).all(1)
    assert real.tolist() == [False, True] * 4 or real.tolist() == [False] * 4 + [True] * 4
    brightest = x[real].amax()
    assert brightest <= 20 * 6 / 255 + 1e-6  # ten frames: seven train, one validates, two are the test
    assert (targets["depth"][real] > 0).any() and (targets["normals"][real] != 0).any()
    assert len(splits["train"].batch(torch.tensor([1]))[0]) == len(splits["train"].batch(torch.tensor([2]))[0]) == 1


def test_without_the_frames_it_says_how_to_prepare_them(tmp_path):
    with pytest.raises(UserError, match=r"prepare rooms --source"):
        Rooms(**SMALL, real_frames=True).load(tmp_path)
    assert len(Rooms(**SMALL).load(tmp_path)["train"]) == 4


def test_a_camera_matrix_of_other_pictures_is_refused(walk, tmp_path):
    (tmp_path / "images").symlink_to(walk / "images")
    (tmp_path / "depth").symlink_to(walk / "depth")
    np.savetxt(tmp_path / "K.txt", [[50, 0, 47.0], [0, 50, 20], [0, 0, 1]])
    with pytest.raises(UserError, match=r"K.txt has its principal point at 47, and pictures are 36 wide"):
        Preparer().plan(tmp_path)
    (tmp_path / "K.txt").unlink()
    with pytest.raises(UserError, match=r"has no images, depth or K.txt"):
        Preparer().plan(tmp_path)


def test_through_a_turned_camera_a_plane_stays_a_plane_with_its_normal():
    height, width = 48, 64
    normal = np.array([0.2, -0.3, 1.0]) / np.linalg.norm([0.2, -0.3, 1.0])
    depth = torch.from_numpy(plane(normal, 2.0, height, width, _photos.FOCAL * width)).float()
    facing = torch.from_numpy(-normal).float().view(1, 3, 1, 1).expand(3, 3, height, width).contiguous()
    targets = {
        "segmentation": torch.ones(3, height, width, dtype=torch.long),
        "depth": depth.expand(3, 1, height, width),
        "normals": facing,
    }
    generator = torch.Generator().manual_seed(4)
    image, found = _photos.turned(torch.rand(3, 3, height, width), targets, generator)
    assert image.shape == (3, 3, height, width) and found["segmentation"].dtype == torch.long
    for item in range(3):
        known = found["depth"][item, 0] > 0
        assert torch.equal(known, found["segmentation"][item] == 1) and 0.3 < known.float().mean() <= 1
        turned = found["normals"][item][:, known]
        assert (turned - turned[:, :1]).abs().max() < 1e-5 and (turned[:, 0] + torch.tensor(normal)).abs().max() > 0.01
        # Inverse depth of a plane is linear in the picture, and its slopes are the normal's.
        v, u = (torch.nonzero(known).float() + 0.5).T
        system = torch.stack([u - width / 2, v - height / 2, torch.ones_like(u)], 1)
        slopes = torch.linalg.lstsq(system, 1 / found["depth"][item, 0][known][:, None]).solution[:, 0]
        slopes[:2] *= _photos.FOCAL * width
        zooms = (turned[:2, 0] / turned[2, 0]) / (slopes[:2] / slopes[2])
        assert (zooms > 0.97).all() and (zooms < 1.03 + _photos.CLOSER).all() and (zooms[0] - zooms[1]).abs() < 0.05
        # The plane's distance from the camera's centre does not change.
        assert slopes[2] * 2.0 == pytest.approx(-turned[2, 0].item(), rel=0.03)


def test_photographs_faults_are_a_function_of_the_generator_and_stay_pictures():
    pictures = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    first, again, other = (_photos.photo_like(pictures, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == pictures.shape and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again) and (first - other).abs().mean() > 0.02


def test_augmented_items_keep_their_form(data):
    bench = Rooms(**SMALL, real_frames=True, photo_like=True, backbone="mobilenet", pretrained=True, depth_loss="log")
    x, targets = bench.augment(bench.load(data)["train"].batch(torch.arange(4)), torch.Generator().manual_seed(0))
    assert x.shape == (4, 3, 32, 32) and targets["depth"].shape == (4, 1, 32, 32)
    assert targets["segmentation"].min() >= -1 and torch.isfinite(x).all()
