"""Rooms with real frames: what is prepared, how it is split and mixed, and that a turned camera sees the same scene."""

import numpy as np
import pytest
import releases
import torch

from palora_core.benchmarks import _photos, _sensor
from palora_core.benchmarks.real_rooms import RealRooms
from palora_core.benchmarks.rooms import Rooms
from palora_core.errors import UserError
from palora_core.preparation.real_rooms import RealRooms as Preparer
from scripts import real_rooms as script

SMALL = {"height": 32, "image_width": 32, "train_images": 4, "val_images": 2, "test_images": 2}


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return releases.real_rooms(tmp_path_factory.mktemp("walk"))


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


def test_real_items_are_a_share_of_all_and_have_no_classes_and_no_test_frame(data):
    splits = RealRooms(**SMALL).load(data)
    assert len(splits["train"]) == 11 and len(splits["test"]) == 2  # four generated ones are 3/8
    x, targets = splits["train"].batch(torch.arange(11))
    real = (targets["segmentation"] == -1).flatten(1).all(1)
    assert real.tolist() == [False] * 5 + [True] * 6
    shown = splits["train"].real.batch(torch.arange(7))[0]
    assert len(splits["train"].real) == 7  # ten frames: one validates, two are the test
    assert all(any(torch.equal(one, other) for other in shown) for one in x[real])
    assert (targets["depth"][real] > 0).any() and (targets["normals"][real] != 0).any()


def test_frames_that_validated_can_be_trained_on_and_those_of_the_test_cannot(data):
    splits = RealRooms(**SMALL, held_out=False).load(data)
    shown = splits["train"].real.batch(torch.arange(8))[0]
    assert len(splits["train"].real) == 8 and len(splits["val"]) == 2  # ten frames; two are the test
    brightest = RealRooms(**SMALL).input_kind.restored(shown).amax()
    assert brightest == pytest.approx(20 * 7 / 255)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.625, 0.9])
def test_every_item_of_both_kinds_has_its_turn(share):
    class Numbered:
        def __init__(self, first, count):
            self.first, self.count = first, count

        def __len__(self):
            return self.count

        def batch(self, indices):
            return indices + self.first, {"kind": torch.full_like(indices, self.first)}

    mixed = _sensor.Interleaved(Numbered(0, 90), Numbered(1000, 7), share)
    x, targets = mixed.batch(torch.arange(len(mixed)))
    real = targets["kind"] == 1000
    assert real.double().mean().item() == pytest.approx(share, abs=0.01)
    assert sorted(set(x[~real].tolist())) == list(range(90)) and set(x[real].tolist()) == set(range(1000, 1007))
    one_by_one = [mixed.batch(torch.tensor([index]))[0].item() for index in range(len(mixed))]
    assert sorted(one_by_one) == sorted(x.tolist())


def test_without_the_frames_it_says_how_to_prepare_them(tmp_path):
    with pytest.raises(UserError, match=r"prepare real_rooms --source"):
        RealRooms(**SMALL).load(tmp_path)
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
    depth = torch.from_numpy(releases.plane(normal, 2.0, height, width, _photos.FOCAL * width)).float()
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


def test_half_of_the_items_get_photographs_faults_and_all_keep_their_form(data):
    bench = RealRooms(**SMALL)
    x, targets = bench.load(data)["train"].batch(torch.arange(8))
    plain, _ = RealRooms(**SMALL, photo_like=False).augment((x, targets), torch.Generator().manual_seed(0))
    before = x.clone(), {name: target.clone() for name, target in targets.items()}
    found, moved = bench.augment((x, targets), torch.Generator().manual_seed(0))
    assert torch.equal(x, before[0]) and all(torch.equal(targets[name], before[1][name]) for name in targets)
    assert found.shape == x.shape and torch.isfinite(found).all() and moved["segmentation"].min() >= -1
    assert {n: t.shape for n, t in moved.items()} == {n: t.shape for n, t in targets.items()}
    changed = sum(not torch.allclose(a, b, atol=1e-5) for a, b in zip(found, plain))
    assert 4 <= changed <= 8


def test_fixed_statistics_are_those_of_imagenet_only():
    assert RealRooms(**SMALL).network[1]["norm"] == "fixed"
    with pytest.raises(
        UserError,
        match=r"norm=fixed keeps ImageNet's statistics; set backbone=mobilenet and pretrained=true, or norm=b",
    ):
        _ = Rooms(**SMALL, norm="fixed", backbone="mobilenet").network


def test_a_folder_of_pictures_gives_their_depths_and_focal_lengths(tmp_path):
    depth = releases.plane((0.3, 0.2, 1.0), 2.0, 24, 36, 30.0)
    releases.write_png(tmp_path / "a_depth_mm.png", (1000 * depth).round().astype(np.uint16))
    releases.write_png(tmp_path / "a_rgb.png", np.full((24, 36, 3), 7, np.uint8))
    disparity = (900 / (1000 * depth) * 100 - 3).astype(np.float32)
    disparity[0, 0] = np.inf
    np.savez(tmp_path / "b_disp.npz", disparity)
    with pytest.raises(UserError, match=r"no b_left.png beside it"):
        list(script.pictures_of(tmp_path, 30.0, (900.0, 100.0, 3.0)))
    releases.write_png(tmp_path / "b_left.png", np.full((24, 36, 3), 9, np.uint8))
    (a, first, millimetres, focal), (b, second, measured, length) = script.pictures_of(
        tmp_path, 30.0, (900.0, 100.0, 3.0)
    )
    assert (a, b) == ("a", "b") and (first == 7).all() and (second == 9).all() and (focal, length) == (30.0, 900.0)
    np.testing.assert_allclose(millimetres, 1000 * depth, atol=0.6)
    assert measured[0, 0] == 0
    np.testing.assert_allclose(measured[1:], 1000 * depth[1:], rtol=1e-4)
    releases.write_png(tmp_path / "b_left.png", np.full((24, 30, 3), 9, np.uint8))
    with pytest.raises(UserError, match=r"b_left.png is .* pixels and its depth map"):
        list(script.pictures_of(tmp_path, 30.0, (900.0, 100.0, 3.0)))


def test_figures_of_real_pictures_are_against_constant_answers(capsys):
    depths = torch.from_numpy(releases.plane((0.3, 0.2, 1.0), 2.0, 24, 36, 30.0)).float()[None]
    normals = torch.randn(1, 3, 24, 36, generator=torch.Generator().manual_seed(0))
    normals = torch.nn.functional.normalize(normals, dim=1)
    normals[..., :4] = 0

    def live(x, weights):
        return {"depth": 3 * depths[None], "normals": normals if weights[2] == 1 else -normals}

    script.measure(live, torch.zeros(1, 3, 24, 36), depths, normals)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 frames; a constant: abs-rel 0.") and len(lines) == 5
    assert "(0.00, 0.00, 1.00): abs-rel 0.000 = 0.00 of the constant's, normals 0.0 degrees" in lines
    assert "(0.00, 1.00, 0.00): abs-rel 0.000 = 0.00 of the constant's, normals 180.0 degrees" in lines
