"""PEFT's adapter folders mixed by λ, against PEFT itself."""

from __future__ import annotations

import copy
import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import palora_core as pc
from palora_core.errors import UserError
from palora_core.merging.peft_folders import _by_pattern, check_config

peft = pytest.importorskip("peft")
Conv1D = pytest.importorskip("transformers.pytorch_utils").Conv1D


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.first, self.second = nn.Embedding(11, 8), nn.Linear(8, 6), nn.Linear(6, 6)
        self.turned, self.conv, self.head = Conv1D(5, 6), nn.Conv1d(5, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, tokens):
        x = self.turned(self.second(self.first(self.words(tokens)).tanh()).tanh()).tanh()
        return self.head(self.conv(x.transpose(1, 2)).mean(2))


@pytest.fixture
def base():
    torch.manual_seed(0)
    return Net().eval()


def trained(base, folder, name, seed, **options):
    """An adapter with random weights, saved by PEFT; the model as PEFT has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(**options)
        model = peft.get_peft_model(copy.deepcopy(base), config, adapter_name=name)
        torch.manual_seed(seed)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_" in key or "modules_to_save" in key or (parameter.requires_grad and key.endswith("bias")):
                    parameter.normal_(0, 0.3)
        model.save_pretrained(folder)
    return model.eval()


FIRST = {"r": 2, "lora_alpha": 3, "target_modules": ["first", "turned", "words"], "fan_in_fan_out": True}
SECOND = {
    **{"r": 4, "lora_alpha": 5, "use_rslora": True, "target_modules": ["first", "second", "conv"]},
    **{"rank_pattern": {"second": 1, "con.": 3}, "alpha_pattern": {"first": 7}},
}


@pytest.fixture
def folders(base, tmp_path):
    trained(base, tmp_path, "a", 1, **FIRST)
    trained(base, tmp_path, "b", 2, **SECOND)
    return [tmp_path / "a", tmp_path / "b"]


TOKENS = torch.arange(10).view(2, 5)


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.detach().abs().max()))


def test_a_corner_is_the_base_with_that_adapter(base, folders):
    model = pc.from_loras(base, folders)
    for corner, folder in zip(torch.eye(2), folders):
        theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), folder).eval()
        assert_close(model(TOKENS, preference=corner), theirs(TOKENS))
        assert_close(model.merge(corner)(TOKENS), theirs(TOKENS))
    assert_close(model(TOKENS, preference=[0.0, 0.0]), base(TOKENS))
    assert {layer.rank for layer in model.report.layers.values()} == {1, 2, 3, 4}


@pytest.mark.parametrize("preference", [[0.5, 0.5], [0.2, 0.8], [0.9, 0.4]])
def test_inside_it_is_pefts_cat(base, tmp_path, preference):
    """Same layers, other ranks and scales: PEFT can concatenate those."""
    options = {"target_modules": ["first", "second", "turned"], "fan_in_fan_out": True}
    whole = trained(base, tmp_path, "a", 1, r=2, lora_alpha=3, **options)
    trained(base, tmp_path, "b", 2, r=5, lora_alpha=4, use_rslora=True, **options)
    whole.load_adapter(tmp_path / "b", "b")
    whole.add_weighted_adapter(["a", "b"], preference, "mixed", combination_type="cat")
    whole.set_adapter("mixed")
    model = pc.from_loras(base, [tmp_path / "a", tmp_path / "b"])
    assert_close(model(TOKENS, preference=preference), whole.eval()(TOKENS))
    alone = pc.from_loras(base, [tmp_path / "a"])
    assert_close(alone.merge([1.0])(TOKENS), model.merge([1.0, 0.0])(TOKENS))


def test_modules_and_biases_trained_as_a_whole_are_mixed(base, tmp_path):
    theirs = trained(base, tmp_path, "a", 1, r=2, target_modules=["first"], modules_to_save=["head"], bias="all")
    trained(base, tmp_path, "b", 2, r=2, target_modules=["second"])
    model = pc.from_loras(base, [tmp_path / "a", tmp_path / "b"])
    assert_close(model(TOKENS, preference=[1.0, 0.0]), theirs(TOKENS))
    half = model.merge([0.5, 0.5])
    whole = model.merge([1.0, 0.0])
    torch.testing.assert_close(half.head.weight, (whole.head.weight + base.head.weight) / 2)
    torch.testing.assert_close(half.conv.bias, (whole.conv.bias + base.conv.bias) / 2)


def test_only_adapters_train_on_and_it_is_saved_like_any_model(base, folders, tmp_path):
    model = pc.from_loras(base, folders)
    assert all("adapter_" in name for name, p in model.named_parameters() if p.requires_grad)
    pc.save(tmp_path / "whole", model)
    loaded, _ = pc.load(tmp_path / "whole", network=Net())
    assert_close(loaded(TOKENS, preference=[0.3, 0.7]), model(TOKENS, preference=[0.3, 0.7]))
    pc.save(tmp_path / "alone", model, adapters_only=True)
    loaded, _ = pc.load(tmp_path / "alone", network=base)
    assert_close(loaded(TOKENS, preference=[0.3, 0.7]), model(TOKENS, preference=[0.3, 0.7]))


def test_what_is_no_plain_lora_of_this_base_is_refused(base, folders, tmp_path):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.first, self.turned = nn.Embedding(11, 8), nn.Linear(9, 6), Conv1D(5, 6)

    with pytest.raises(UserError, match=r"a at 'first' has matrices for a weight of 6 × 8, and the base's is 6 × 9"):
        pc.from_loras(Other(), [folders[0]])
    with pytest.raises(UserError, match=r"b adapts '\w+', and the base has no such layer"):
        pc.from_loras(nn.Sequential(), [folders[1]])
    with pytest.raises(UserError, match=r"There is no adapter folder"):
        pc.from_loras(base, [tmp_path / "none"])
    config = json.loads((folders[0] / "adapter_config.json").read_text())
    changes = ({"use_dora": True}, {"peft_type": "IA3"}, {"init_lora_weights": "pissa_niter_4"}, {"lora_bias": True})
    for change, sentence in zip(changes, ("use_dora", "IA3", "changes the base's weights", "lora_bias")):
        with pytest.raises(UserError, match=sentence):
            check_config({**config, **change}, "mine")
    (folders[0] / "adapter_config.json").write_text(json.dumps({**config, "r": 3}))
    with pytest.raises(UserError, match=r"says rank 3 for '.*' and holds 2"):
        pc.from_loras(base, [folders[0]])
    path = folders[1] / "adapter_model.safetensors"
    state = load_file(path)
    save_file({name: tensor for name, tensor in state.items() if "second.lora_A" not in name}, path)
    with pytest.raises(UserError, match=r"lacks a half of the adapter of 'second'"):
        pc.from_loras(base, [folders[1]])
    path.rename(folders[1] / "adapter_model.bin")
    with pytest.raises(UserError, match=r"other formats are pickles"):
        pc.from_loras(base, [folders[1]])


@pytest.mark.parametrize("pattern", ["(a+)+b", "a" * 300, ".*.*.*.*.*x", "((a|b){2,})", "(unclosed"])
def test_patterns_of_strangers_are_matched_in_bounded_time(pattern):
    with pytest.raises(UserError, match=r"The pattern"):
        _by_pattern({pattern: 1}, "a" * 60, 2)
