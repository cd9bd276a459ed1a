"""The form of a model's inputs in its card: told, checked, and enough to make some."""

import json

import pytest
import torch

from palora_core.batches import tensors
from palora_core.errors import UserError
from palora_core.storage.examples import check_example, described, made
from palora_core.storage.samples import example_of

INPUTS = [
    torch.rand(3, 1, 40) - 0.5,
    torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8),
    {"ids": torch.randint(0, 50, (2, 7)), "mask": torch.ones(2, 7, dtype=torch.bool), "use_cache": False},
    (torch.rand(2, 4), [torch.rand(2, 1, dtype=torch.float64), None]),
    torch.zeros(5),
]


@pytest.mark.parametrize("inputs", INPUTS)
def test_made_inputs_have_the_form_that_was_told(inputs):
    told = check_example(json.loads(json.dumps(described(inputs), allow_nan=False)))
    again = made(told, 5)
    assert all(torch.equal(a, b) for a, b in zip(tensors(again), tensors(made(told, 5)))), "the same at every call"
    for given, one in zip(tensors(inputs), tensors(again), strict=True):
        assert (one.dtype, one.shape) == (given.dtype, (5, *given.shape[1:]))
        assert one.min() >= given.min() and one.max() <= given.max()
    assert not isinstance(inputs, dict) or again["use_cache"] is False


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"shape": [5, 10**6], "dtype": "float32"}, r"4,000,000 numbers"),
        ({"items": [{"shape": [3 * 10**6], "dtype": "uint8"}] * 2}, r"4,000,000 numbers"),
        ({"items": [{"value": 1}] * 100}, r"more than 64 parts"),
        ({"items": [{"items": [{"items": [{"items": [{"items": [{"value": 1}]}]}]}]}]}, r"too deep"),
        ({"shape": [3], "dtype": "complex64"}, r"format of its example is 'complex64'; expected one of float16"),
        ({"shape": [3], "dtype": "int8", "low": 2, "high": 1}, r"the smaller number first"),
        ({"shape": [3], "dtype": "int8", "low": 1e99}, r"range of its example"),
        ({"shape": [0.5], "dtype": "int8"}, r"shape of its example"),
        ([], r"its example"),
    ],
)
def test_a_form_that_nobody_could_make_is_refused(told, sentence):
    with pytest.raises(UserError, match=sentence):
        check_example(told)


def test_an_input_is_a_sample_or_made_up_or_a_sentence(tmp_path):
    assert example_of(tmp_path, {"example": described(INPUTS[0])}, None).shape == (1, 1, 40)
    with pytest.raises(UserError, match=r"samples"):
        example_of(tmp_path, {}, None)
