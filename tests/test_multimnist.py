"""MultiMNIST: the same images for the same seed, from the bundled subset or from idx files."""

import gzip
import struct

import numpy as np
import pytest
import torch

from palora_core.benchmarks._mnist import read_digits, read_idx
from palora_core.benchmarks.base import benchmarks
from palora_core.errors import UserError
from palora_core.training.setup import configure


def multimnist(**options):
    return benchmarks.get("multimnist")(**{"train_images": 60, "test_images": 20, **options})


def write_mnist(root, name="MNIST", count=30, zipped=False):
    """A tiny data set in the idx format."""
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            file = folder / f"{part}-{kind}-ubyte{'.gz' if zipped else ''}"
            file.write_bytes(gzip.compress(data) if zipped else data)
    return folder


def test_splits_have_the_sizes_asked_for(tmp_path):
    splits = multimnist().load(tmp_path)
    assert {name: len(split) for name, split in splits.items()} == {"train": 60, "val": 20, "test": 20}
    x, targets = splits["train"].batch(torch.arange(5))
    assert x.shape == (5, 1, 28, 28)
    assert x.dtype == torch.float32
    assert set(targets) == {"top_left", "bottom_right"}
    assert all(target.dtype == torch.int64 and target.max() < 10 for target in targets.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    first, again, other = (multimnist(data_seed=seed).load(tmp_path)["train"] for seed in (0, 0, 1))
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_nothing_is_written_below_the_data_root(tmp_path):
    multimnist().load(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_both_digits_are_in_the_image(tmp_path):
    x = multimnist(train_images=400).load(tmp_path)["train"].inputs.mean((0, 1))
    assert x[:14, :14].mean() > 0.1
    assert x[14:, 14:].mean() > 0.1
    assert x[:6, 22:].mean() < 0.05  # the corners that no digit reaches
    assert x[22:, :6].mean() < 0.05


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_below_the_data_root_come_first(tmp_path, zipped):
    write_mnist(tmp_path, zipped=zipped)
    digits = read_digits(tmp_path, "MNIST", "train")
    assert len(digits.images) == 30
    assert "bundled" not in digits.source
    assert len(multimnist().load(tmp_path)["train"]) == 60


def test_the_bundled_subset():
    train, test = read_digits("nowhere", "MNIST", "train"), read_digits("nowhere", "MNIST", "test")
    assert len(train.images) >= 10_000
    assert len(test.images) >= 2_000
    for digits in (train, test):
        assert digits.images.shape[1:] == (28, 28)
        assert np.bincount(digits.labels, minlength=10).min() > len(digits.labels) / 15


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("keep", [0, 3, 15, 1000])
def test_truncated_files_are_one_sentence(tmp_path, zipped, keep):
    folder = write_mnist(tmp_path, zipped=zipped)
    file = next(folder.glob("train-images*"))
    file.write_bytes(file.read_bytes()[:keep])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"train-images.*copy it again"):
        multimnist().load(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_foreign_and_inconsistent_files_are_one_sentence(tmp_path):
    folder = write_mnist(tmp_path)
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    with pytest.raises(UserError, match="not an idx file of 3 dimensions"):
        read_idx(labels, 3)
    labels.write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 7) + bytes(7))
    with pytest.raises(UserError, match="for 7 labels"):
        multimnist().load(tmp_path)
    labels.unlink()
    with pytest.raises(UserError, match="has no train-labels"):
        multimnist().load(tmp_path)
    images.with_suffix(".gz").write_bytes(b"not gzip")
    with pytest.raises(UserError, match="not a gzip file"):
        read_idx(images.with_suffix(".gz"), 3)


def test_a_data_set_without_a_subset_says_how_to_get_it(tmp_path):
    with pytest.raises(UserError, match=r"FashionMNIST is not in .* prepare fashionmnist"):
        read_digits(tmp_path, "FashionMNIST", "train")


@pytest.mark.parametrize("name", ["train_images", "test_images", "data_seed"])
def test_negative_options_are_refused(name):
    with pytest.raises(UserError, match=name):
        configure("multimnist", "palora", {name: "-1"})


@pytest.mark.parametrize("shape", [(28, 28, 3), (200, 100, 3), (1, 1, 3), (3000, 20, 3)])
def test_any_picture_becomes_an_input(shape):
    bench = multimnist()
    x = bench.input_kind.to_input(np.full(shape, 255, np.uint8))
    assert x.shape == (1, 1, 28, 28)
    assert x.max() < 1e-5  # a bright border means dark ink: inverted
    assert bench.input_kind.to_shown(x[0]).shape == (28, 28, 3)
