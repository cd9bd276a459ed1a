"""Batches of any shape: every nesting moves, slices, counts and is handed over as it is."""

import collections
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from palora_core import batches
from palora_core.errors import UserError

Pair = collections.namedtuple("Pair", "first second")


@dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple


class Encoding(collections.UserDict):
    """What tokenizers return: a mapping that is no dict."""


def tensor(*shape, dtype=torch.float32):
    return torch.arange(torch.Size(shape).numel(), dtype=dtype).reshape(shape)


TREES = {
    "tensor": tensor(4, 2),
    "dict": {"ids": tensor(4, 3, dtype=torch.long), "mask": tensor(4, 3)},
    "nested": [{"a": tensor(4, 1)}, (tensor(4), "text", 3)],
    "named tuple": Pair(tensor(4, 2), {"x": tensor(4)}),
    "dataclass": Output(tensor(4, 2), (tensor(4, 1),)),
    "mapping": Encoding(ids=tensor(4, 3, dtype=torch.long)),
    "mapping in a dataclass": Output(tensor(4, 2), (Encoding(a=tensor(4)),)),
}
every_tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())


@every_tree
def test_rows_cut_every_tensor_and_keep_what_is_between(tree):
    assert batches.count(tree) == 4
    part = batches.rows(tree, slice(1, 3))
    for whole, cut in zip(batches.tensors(tree), batches.tensors(part), strict=True):
        assert torch.equal(cut, whole[1:3])
    assert type(part) in (type(tree), dict)


@every_tree
def test_integers_stay_integers(tree):
    for before, after in zip(
        batches.tensors(tree), batches.tensors(batches.floating(tree, torch.bfloat16)), strict=True
    ):
        assert after.dtype == (torch.bfloat16 if before.is_floating_point() else before.dtype)


@every_tree
def test_bytes_are_those_of_the_tensors(tree):
    assert batches.nbytes(tree) == sum(t.numel() * t.element_size() for t in batches.tensors(tree)) > 0


def test_what_is_not_per_item_is_kept_whole():
    tree = {"x": tensor(4, 2), "weight": tensor(7), "scale": torch.tensor(2.0)}
    part = batches.rows(tree, slice(0, 2))
    assert len(part["x"]) == 2 and len(part["weight"]) == 7 and part["scale"] == 2


def test_pairs_mappings_and_lone_tensors_are_batches():
    x, y = tensor(2), tensor(2)
    assert batches.as_batch([x, y]) == (x, y)
    mapping = {"ids": x, "labels": y}
    assert batches.as_batch(mapping) == (mapping, mapping)
    assert batches.as_batch(x) == (x, {})
    with pytest.raises(UserError, match=r"tuple of 3 parts; expected \(inputs, targets\)"):
        batches.as_batch((x, y, y))


class Masked(nn.Module):
    def forward(self, ids, mask=None):
        return ids.sum() + (0 if mask is None else mask.sum())


class Two(nn.Module):
    def forward(self, left, right):
        return left - right


class One(nn.Module):
    def forward(self, batch):
        return sum(t.sum() for t in batches.tensors(batch))


@pytest.mark.parametrize(
    ("network", "inputs", "how", "value"),
    [
        (Masked(), {"ids": tensor(3), "mask": tensor(3), "labels": tensor(9)}, "keywords", 6),
        (Masked(), tensor(3), "one", 3),
        (Two(), (tensor(3) + 1, tensor(3)), "unpacked", torch.ones(3)),
        (One(), {"ids": tensor(3)}, "one", 3),
        (One(), (tensor(3), tensor(3)), "one", 6),
    ],
)
def test_inputs_reach_forward_as_its_signature_asks(network, inputs, how, value):
    caller = batches.Caller(network)
    assert caller.how(inputs) == how
    assert torch.equal(caller(network, inputs), torch.as_tensor(value) * 1.0)


def test_another_way_of_passing_is_refused():
    with pytest.raises(UserError, match="passing must be one of auto, one"):
        batches.Caller(One(), "stars")


def test_a_batch_without_items_says_what_it_is():
    with pytest.raises(UserError, match=r"no tensor with items.*dict of a float"):
        batches.count({"a": 1.0})
