"""Splits over arrays, and the samples that travel with a model."""

import numpy as np
import pytest
import torch

from palora_core.data import ArraySplit
from palora_core.errors import UserError
from palora_core.storage.samples import load_samples, save_samples


def split(kind=torch.from_numpy, convert=None):
    inputs = np.arange(24, dtype=np.float32).reshape(6, 1, 2, 2)
    return ArraySplit(kind(inputs), {"t": kind(np.arange(6))}, convert)


@pytest.mark.parametrize("kind", [torch.from_numpy, np.array])
def test_batches_gather_by_index_in_any_order(kind):
    x, targets = split(kind).batch(torch.tensor([4, 0, 4]))
    assert isinstance(x, torch.Tensor)
    assert x[:, 0, 0, 0].tolist() == [16.0, 0.0, 16.0]
    assert targets["t"].tolist() == [4, 0, 4]


def test_memory_mapped_arrays_work(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12, dtype=np.uint8).reshape(3, 4))
    mapped = ArraySplit(np.load(tmp_path / "x.npy", mmap_mode="r"), {})
    assert mapped.batch(torch.tensor([2]))[0].tolist() == [[8, 9, 10, 11]]
    assert len(mapped.head(2)) == 2


def test_conversion_is_applied_to_batches_and_not_to_stored_samples(tmp_path):
    doubled = split(convert=lambda x, targets: (x * 2, targets))
    assert doubled.batch(torch.tensor([1]))[0].sum() == 2 * (4 + 5 + 6 + 7)
    save_samples(tmp_path / "samples.npz", doubled, 3)
    stored = load_samples(tmp_path / "samples.npz", None)
    assert len(stored) == 3
    assert stored.batch(torch.tensor([1]))[0].sum() == 4 + 5 + 6 + 7
    again = load_samples(tmp_path / "samples.npz", doubled.convert)
    assert torch.equal(again.batch(torch.arange(3))[0], doubled.batch(torch.arange(3))[0])
    assert torch.equal(again.batch(torch.arange(3))[1]["t"], torch.arange(3))


def test_missing_and_damaged_samples_are_one_sentence(tmp_path):
    path = tmp_path / "samples.npz"
    with pytest.raises(UserError, match="no samples"):
        load_samples(path, None)
    save_samples(path, split(), 4)
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-30], whole.replace(b"inputs", b"outputz")):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            load_samples(path, None)


def test_pickled_objects_are_never_loaded(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, inputs=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="damaged"):
        load_samples(path, None)
