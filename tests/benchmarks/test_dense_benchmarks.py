"""CityScapes and NYUv2: values, splits and augmentation."""

import numpy as np
import pytest
import releases
import torch
from scipy.io import savemat

from palora_core.benchmarks._dense import divide
from palora_core.benchmarks.cityscapes import NINETEEN, SEVEN, CityScapes
from palora_core.benchmarks.nyuv2 import FORTY, THIRTEEN, NYUv2
from palora_core.errors import UserError
from palora_core.preparation import _nyuv2_tables as tables
from palora_core.preparation import cityscapes, nyuv2
from palora_core.preparation._normals import normals_from_depth

# Names of the label ids 0 … 33 in the official label definitions, with their categories.
OFFICIAL = """
unlabeled:void, ego vehicle:void, rectification border:void, out of roi:void, static:void, dynamic:void, ground:void,
road:flat, sidewalk:flat, parking:flat, rail track:flat, building:construction, wall:construction, fence:construction,
guard rail:construction, bridge:construction, tunnel:construction, pole:object, polegroup:object, traffic light:object,
traffic sign:object, vegetation:nature, terrain:nature, sky:sky, person:human, rider:human, car:vehicle, truck:vehicle,
bus:vehicle, caravan:vehicle, trailer:vehicle, train:vehicle, motorcycle:vehicle, bicycle:vehicle
"""


def test_label_ids_become_the_official_categories_and_classes():
    pairs = [entry.strip().split(":") for entry in OFFICIAL.replace("\n", " ").split(",")]
    assert len(pairs) == 34
    for label, (name, category) in enumerate(pairs):
        assert cityscapes.CATEGORIES[label] == (SEVEN.index(category) if category != "void" else -1), name
        assert cityscapes.CLASSES[label] == (NINETEEN.index(name) if name in NINETEEN else -1), name


def test_disparity_becomes_inverse_depth_in_the_scale_of_mtan():
    stored = np.array([0, 1, 257, 32257], np.uint16)
    np.testing.assert_allclose(cityscapes.inverse_depth(stored), [0, 0, 1 / 256, 0.4921875], rtol=1e-6)


def test_the_official_cityscapes_keeps_its_values(tmp_path):
    releases.cityscapes(tmp_path / "raw")
    cityscapes.CityScapes().prepare(tmp_path / "raw", tmp_path)
    splits = CityScapes().load(tmp_path)
    assert {name: len(split) for name, split in splits.items()} == {"train": 3, "val": 1, "test": 2}
    x, targets = splits["test"].batch(torch.arange(2))
    from PIL import Image

    raw = tmp_path / "raw"
    frame = "val/lindau/lindau_000001_000019"
    picture = np.asarray(Image.open(raw / f"leftImg8bit/{frame}_leftImg8bit.png"))
    np.testing.assert_allclose(x[1].permute(1, 2, 0).numpy(), picture[4::8, 4::8] / 255, atol=1e-6)
    ids = np.asarray(Image.open(raw / f"gtFine/{frame}_gtFine_labelIds.png"))[4::8, 4::8]
    assert np.array_equal(targets["segmentation"][1].numpy(), cityscapes.CATEGORIES[ids])
    stored = np.asarray(Image.open(raw / f"disparity/{frame}_disparity.png"))[4::8, 4::8].astype(float)
    np.testing.assert_allclose(targets["depth"][1, 0].numpy(), np.maximum(stored - 1, 0) / 65536, rtol=1e-5)
    assert (targets["depth"][:, :, :8] == 0).all()


def test_splits_are_those_of_the_papers_code():
    generator = torch.Generator().manual_seed(42)
    expected = torch.utils.data.random_split(range(2975), [2500, 475], generator)
    first, second = divide(2975, 2975, 475, 42)
    assert first.tolist() == list(expected[0].indices)
    assert second.tolist() == list(expected[1].indices)
    first, second = divide(795, 795, 95, 795)
    assert (len(first), len(second)) == (700, 95)


def test_the_tables_of_nyuv2():
    test = tables.test_images()
    assert len(test) == 654
    assert len(set(range(1449)) - set(test.tolist())) == 795
    forty = tables.to_40()
    assert forty.shape == (895,)
    assert np.bincount(forty, minlength=41)[:38].tolist() == [1] * 38  # none, and 37 classes of one label each
    names = [FORTY.index(name) + 1 for name in ("wall", "floor", "bed", "sofa", "books", "television", "pillow")]
    assert [THIRTEEN[tables.to_13()[k] - 1] for k in names] == [
        "wall",
        "floor",
        "bed",
        "sofa",
        "books",
        "tv",
        "objects",
    ]


def test_the_official_nyuv2_is_turned_and_mapped(tmp_path):
    releases.nyuv2(tmp_path / "raw")
    savemat(tmp_path / "raw/splits.mat", {"trainNdxs": [[5], [2], [3]], "testNdxs": [[1], [4]]})
    nyuv2.NYUv2().prepare(tmp_path / "raw", tmp_path)
    splits = NYUv2(num_classes=40).load(tmp_path)
    x, targets = splits["test"].batch(torch.tensor([1]))
    import h5py

    with h5py.File(tmp_path / "raw/nyu_depth_v2_labeled.mat") as file:
        labels, depth, image = file["labels"][3].T, file["depths"][3].T, file["images"][3].transpose(2, 1, 0)
    rows, columns = ((np.arange(288) + 0.5) / 0.6).astype(int), ((np.arange(384) + 0.5) / 0.6).astype(int)
    wanted = tables.to_40()[labels[rows][:, columns]] - 1
    assert np.array_equal(targets["segmentation"][0].numpy(), wanted)
    assert np.array_equal(targets["depth"][0, 0].numpy(), depth[rows][:, columns])
    assert -1 <= float(x.min()) < -0.5
    middle = x[0].permute(1, 2, 0).numpy()[5, 5]
    np.testing.assert_allclose((middle + 1) / 2, image[8, 8] / 255, atol=1e-6)
    lengths = targets["normals"].norm(dim=1)
    assert torch.allclose(lengths[lengths > 0], torch.ones(1), atol=1e-5)


def test_normals_of_planes_are_exact():
    height, width = 60, 80
    fx, fy, cx, cy = 70.0, 72.0, 41.0, 29.0
    normal = np.array([0.3, -0.4, -np.sqrt(0.75)])
    y, x = np.mgrid[:height, :width]
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], -1)
    depth = -2.0 / (rays @ normal)
    assert (depth > 0).all()
    depth[10:14, 20:30] = 0
    found = normals_from_depth(depth.astype(np.float32), (fx, fy, cx, cy))
    known = depth > 0
    np.testing.assert_allclose(found[known], np.broadcast_to(normal, found[known].shape), atol=1e-3)
    assert (found[~known] == 0).all()
    alone = np.zeros_like(depth)
    alone[30] = 1.0  # known pixels on one line leave the plane free
    assert (normals_from_depth(alone, (fx, fy, cx, cy)) == 0).all()


def batch(bench, count: int = 16):
    rows, columns = bench.size
    ramp = torch.linspace(0.1, 0.9, columns).expand(count, 3, rows, columns).clone()
    labels = torch.zeros(count, rows, columns, dtype=torch.int64)
    labels[..., columns // 2 :] = 1
    targets = {"segmentation": labels, "depth": torch.full((count, 1, rows, columns), 2.0)}
    if len(bench.tasks) == 3:
        normals = torch.zeros(count, 3, rows, columns)
        normals[:, 0], normals[:, 2] = 0.6, -0.8
        targets["normals"] = normals
    return ramp, targets


@pytest.mark.parametrize("bench", [CityScapes(), NYUv2()], ids=["cityscapes", "nyuv2"])
def test_augmentation_zooms_divides_depth_flips_and_turns_normals(bench):
    x, targets = batch(bench)
    first = bench.augment((x, targets), torch.Generator().manual_seed(3))
    again = bench.augment((x, targets), torch.Generator().manual_seed(3))
    assert torch.equal(first[0], again[0])
    assert first[0].shape == x.shape
    scales, flips = set(), set()
    for index in range(len(x)):
        depth = first[1]["depth"][index]
        assert depth.unique().numel() == 1
        scales.add(round(2 / float(depth[0, 0, 0]), 3))
        row = first[0][index, 0, 0]
        flipped = bool(row[0] > row[-1])
        flips.add(flipped)
        labels = first[1]["segmentation"][index, 0]
        assert set(labels.unique().tolist()) <= {0, 1}
        if labels.unique().numel() == 2:
            assert bool(labels[0] > labels[-1]) == flipped
        if "normals" in targets:
            assert first[1]["normals"][index, 0].unique().tolist() == pytest.approx([-0.6 if flipped else 0.6])
    assert scales == {1.0, 1.2, 1.5}
    assert flips == {True, False}
    assert first[1]["segmentation"].dtype == torch.int64
    plain = type(bench)(augmentation=False)
    assert plain.augment((x, targets), torch.Generator()) is not None
    assert torch.equal(plain.augment((x, targets), torch.Generator())[0], x)


@pytest.mark.parametrize("bench", [CityScapes(), NYUv2()], ids=["cityscapes", "nyuv2"])
def test_a_photo_of_any_shape_becomes_an_input_and_a_picture_again(bench):
    photo = np.random.default_rng(0).integers(0, 256, (50, 333, 3), np.uint8)
    x = bench.input_kind.to_input(photo)
    assert tuple(x.shape) == (1, 3, *bench.size)
    assert bench.input_kind.to_shown(x[0]).shape == (*bench.size, 3)


def test_nineteen_classes_need_their_labels(tmp_path):
    folders = {"image": "image", "label_7": "7", "depth": "depth"}
    releases.mtan(tmp_path / "raw", (128, 256), folders)
    cityscapes.CityScapes().prepare(tmp_path / "raw", tmp_path)
    assert len(CityScapes().load(tmp_path)["val"]) == 1
    with pytest.raises(UserError, match="label_19"):
        CityScapes(num_classes=19).load(tmp_path)


@pytest.mark.parametrize("name", ["cityscapes", "nyuv2", "rooms", "streets", "utkface", "celeba"])
def test_pictures_have_imagenets_form_where_the_network_starts_from_its_weights(name):
    from palora_core.benchmarks.base import benchmarks

    picture = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    plain, pretrained = (benchmarks.get(name)(backbone="mobilenet", pretrained=p) for p in (False, True))
    assert pretrained.network[1]["pretrained"] is True
    plain, pretrained = plain.input_kind, pretrained.input_kind
    x = pretrained.to_input(picture)
    expected = torch.from_numpy(plain.to_shown(plain.to_input(picture)[0])).permute(2, 0, 1) / 255
    for channel, (mean, deviation) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))):
        torch.testing.assert_close(x[0, channel] * deviation + mean, expected[channel], atol=0.003, rtol=0)
    assert np.abs(pretrained.to_shown(x[0]).astype(int) - plain.to_shown(plain.to_input(picture)[0])).max() <= 1
