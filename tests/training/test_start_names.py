"""Checkpoints as people have them: wrapped, nested, reordered, renamed; weights in their places, or one sentence."""

from __future__ import annotations

import argparse
import itertools
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from palora_core.errors import UserError
from palora_core.networks.base import networks
from palora_core.training.start import Start, load_start, look_at_start

HEADS = {"age": 2, "education": 2}
State = dict[str, Tensor]


def network(seed: int, heads: dict[str, int] = HEADS, name: str = "mlp", **options) -> nn.Module:
    torch.manual_seed(seed)
    options = options or {"inputs": 8, "hidden": (6, 6, 6)}
    return networks.get(name)(outputs=heads, **options)


SOURCE = network(0).state_dict()
TAKEN = len(SOURCE)


def put(state: State, *words: str) -> State:
    """``state`` under wrappers, the outermost first."""
    return {".".join([*words, name]): tensor for name, tensor in state.items()}


def started(content, tmp_path: Path, partly: bool = False, ours: nn.Module | None = None) -> tuple[Start, nn.Module]:
    torch.save(content, tmp_path / "start.pt")
    ours = ours or network(9)
    return load_start(ours, tmp_path / "start.pt", partly), ours


def assert_all_taken(found: tuple[Start, nn.Module]) -> None:
    start, ours = found
    assert start.new == () and start.share == 1 and len(start.matched) == TAKEN
    assert all(torch.equal(tensor, SOURCE[name]) for name, tensor in ours.state_dict().items())


WORDS = ["module", "_orig_mod", "model", "network"]


@pytest.mark.parametrize("words", [w for count in range(4) for w in itertools.permutations(WORDS, count)])
def test_wrappers_in_any_order(tmp_path, words):
    assert_all_taken(started(put(SOURCE, *words), tmp_path))


def test_wrappers_inside_the_names(tmp_path):
    for word in ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"):
        inside = {
            name.replace("trunk.", f"trunk.{word}.").replace("heads.age", f"heads.age.{word}"): t
            for name, t in SOURCE.items()
        }
        assert_all_taken(started(inside, tmp_path))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("words", [(), ("module",), ("_orig_mod",), ("model", "_orig_mod")])
def test_heads_of_one_shape_are_told_apart_by_name_in_any_order(tmp_path, words, seed):
    names = list(SOURCE)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    assert_all_taken(started(put({names[i]: SOURCE[names[i]] for i in order}, *words), tmp_path))


@pytest.mark.parametrize(
    "nested",
    [
        lambda state: {"model": state},
        lambda state: {
            "state_dict": put(state, "model"),
            "epoch": 3,
            "pytorch-lightning_version": "2.0",
            "callbacks": {},
        },
        lambda state: {"model": {"state_dict": put(state, "module")}},
        lambda state: {"model_state_dict": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}},
        lambda state: {"ema": {"module": state}},
        lambda state: {"model_ema": put(state, "module") | {"n_averaged": torch.tensor(3)}},
        lambda state: put(state, "module") | {"n_averaged": torch.tensor(3)},
        lambda state: {"model": state, "epoch": np.float64(3), "best": np.float32(0.5), "step": np.int64(7)},
        lambda state: {"model": state, "flag": np.bool_(True), "history": np.arange(3), "loss": np.ones((2, 2))},
        lambda state: OrderedDict(state) | {"epoch": np.int64(2)},
    ],
)
def test_nests_and_numbers_beside_the_weights(tmp_path, nested):
    assert_all_taken(started(nested(SOURCE), tmp_path))


def test_the_weights_come_before_their_moving_average_and_that_is_said(tmp_path):
    average = {name: tensor + 1 for name, tensor in SOURCE.items()}
    start, _ = found = started({"model_ema": average, "model": SOURCE}, tmp_path)
    assert_all_taken(found)
    assert start.left_out == ("model_ema.*",)


def test_extra_tensors_beside_a_wrapped_network_are_left_out_by_name(tmp_path):
    start, _ = found = started(put(SOURCE, "model") | {"criterion.weight": torch.ones(3)}, tmp_path)
    assert_all_taken(found)
    assert start.left_out == ("criterion.weight",)
    assert "criterion.weight" in start.sentence() and "anew: nothing" in start.sentence()


def test_safetensors_sorted_by_name(tmp_path):
    save_file(put(SOURCE, "module"), tmp_path / "start.safetensors")
    ours = network(9)
    assert_all_taken((load_start(ours, tmp_path / "start.safetensors"), ours))


def test_a_renamed_trunk_keeps_the_heads_that_have_their_names(tmp_path):
    assert_all_taken(started({n.replace("trunk.", "backbone."): t for n, t in SOURCE.items()}, tmp_path))


def renamed(state: State, **names: str) -> State:
    return {re.sub(r"heads\.(\w+)", lambda m: f"heads.{names.get(m[1], m[1])}", n): t for n, t in state.items()}


@pytest.mark.parametrize(
    "state",
    [
        renamed(SOURCE, age="years", education="school"),  # none of ours
        renamed(SOURCE, age="years"),  # one of two, and a stranger of its shape
        {n.replace("heads.", "classifier."): t for n, t in SOURCE.items()},
        {n.replace("heads.", "decoder_"): t for n, t in put(SOURCE, "module").items()},
    ],
)
def test_heads_under_other_names_are_refused_unless_asked_for(tmp_path, state):
    if any("decoder_" in name for name in state):
        with pytest.raises(UserError, match="has no place here"):
            started(state, tmp_path)
        return
    with pytest.raises(UserError, match=r"has no 'heads\.\w+\.weight'.*matched by their names alone.*start_partly"):
        started(state, tmp_path)
    ours = network(9)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    start, ours = started(state, tmp_path, partly=True, ours=ours)
    new = set(start.new)
    assert new and all(name.startswith("heads.") for name in new)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, before[name] if name in new else SOURCE[name])


def test_one_head_of_two_is_drawn_anew_and_named(tmp_path):
    state = {name: tensor for name, tensor in SOURCE.items() if not name.startswith("heads.age")}
    start, _ = started(state, tmp_path)
    assert start.new_parts == ["heads.age"]
    assert start.to_json()["new"] == ["heads.age"] and 0.5 < start.share < 1


def test_a_further_head_is_left_out(tmp_path):
    start, _ = found = started(SOURCE | {"heads.third.weight": torch.ones(3, 6)}, tmp_path)
    assert_all_taken(found)
    assert start.left_out == ("heads.third.weight",)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: SOURCE | {"trunk.9.weight": torch.ones(3)}, "'trunk.9.weight' has no place"),
        (lambda: {n: t for n, t in SOURCE.items() if n != "trunk.0.bias"}, "'trunk.0.bias' is not in both"),
        (lambda: {n: t for n, t in SOURCE.items() if n != "heads.age.bias"}, "'heads.age.bias' is not there"),
        (lambda: SOURCE | {"heads.age.weight": torch.ones(5, 6)}, r"is \[5, 6\] there and \[2, 6\] here"),
        (lambda: put(SOURCE | {"trunk.0.weight": torch.ones(6, 9)}, "module"), r"is \[6, 9\] there and \[6, 8\] here"),
        (lambda: {"0.weight": SOURCE["trunk.0.weight"]}, r"holds only \d+ % of the weights that the tasks share"),
        (lambda: {"model": {"epoch": 3}}, "not a plain state_dict"),
        (lambda: {"model": SOURCE, "args": argparse.Namespace(a=1)}, r"Python objects.*argparse\.Namespace"),
        (lambda: {"model": network(0)}, "Python objects.*never loaded"),
        (lambda: SOURCE | {"heads.age.bias": torch.tensor([1.0, torch.nan])}, "NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_loads_nothing(tmp_path, state, message):
    ours = network(9)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(UserError, match=message):
        started(state(), tmp_path, ours=ours)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def test_by_order_only_where_order_says_which_layer_is_which(tmp_path):
    """Twelve layers of one shape: sorted by text, layer 10 would become layer 2."""
    sizes = {"inputs": 6, "hidden": (6,) * 12}
    deep = network(1, name="mlp", **sizes)
    trunk = [(n, t) for n, t in deep.state_dict().items() if n.startswith("trunk.")]
    numbered = {f"layer_{i // 2}.{name.rpartition('.')[2]}": t for i, (name, t) in enumerate(trunk)}
    start, ours = started(numbered, tmp_path, ours=network(9, **sizes))
    assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in trunk)
    assert start.new_parts == ["heads"]
    by_text = sorted(numbered, key=lambda n: (n.rpartition(".")[0], n.rpartition(".")[2] != "weight"))
    for order in (by_text, sorted(numbered)):
        with pytest.raises(UserError, match="another network"):
            started({name: numbered[name] for name in order}, tmp_path, ours=network(9, **sizes))


def test_looking_loads_nothing_and_needs_no_weights(tmp_path):
    torch.save(put(SOURCE, "module"), tmp_path / "start.pt")
    with torch.device("meta"):
        ours = network(9)
    assert look_at_start(ours, tmp_path / "start.pt").share == 1
