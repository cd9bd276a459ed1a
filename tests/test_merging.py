"""Checkpoints of one network mixed by λ: corners are the checkpoints, everything of them is mixed, or it is said."""

from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.errors import UserError
from palora_core.merging.factors import exact_factors, low_rank_factors, relative_error


class Zoo(nn.Module):
    """All kinds of places: convolutions, groups, transposed, embeddings, attention, norms, a bare parameter, a tie."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.depthwise = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm, self.up = nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 4, 2, 2)
        self.words, self.attention = nn.Embedding(9, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.scale, self.token = nn.LayerNorm(8), nn.Parameter(torch.randn(1, 1, 8))
        self.recurrent, self.out = nn.GRU(8, 8, batch_first=True), nn.Linear(8, 9)
        self.out.weight = self.words.weight

    def forward(self, picture, words):
        features = self.up(self.norm(self.depthwise(self.conv(picture))).relu()).mean((2, 3))
        text = self.words(words) + self.token
        text = self.recurrent(self.scale(text + self.attention(text, text, text)[0]))[0]
        return features, self.out(text)


def moved(network, seed, size=0.1):
    """A copy with all parameters and statistics somewhere else."""
    torch.manual_seed(seed)
    other = copy.deepcopy(network).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(size * torch.randn_like(parameter))
        for module in other.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return other


@pytest.fixture
def zoo():
    torch.manual_seed(0)
    return Zoo().eval()


@pytest.fixture
def data():
    return torch.randn(2, 3, 8, 8), torch.randint(0, 9, (2, 5))


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pc.from_checkpoints(*args, **kwargs)


def close(one, other, tolerance=1e-5):
    for a, b in zip(one, other):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("with_base", [False, True])
def test_a_corner_is_its_checkpoint(zoo, data, with_base):
    parts = [moved(zoo, seed) for seed in (1, 2, 3)]
    model = quiet(parts, base=zoo if with_base else None)
    for corner, part in zip(torch.eye(3), parts):
        close(model(*data, preference=corner), part(*data))
        close(model.merge(corner)(*data), part(*data))
        for name, tensor in part.state_dict().items():
            if tensor.is_floating_point():
                torch.testing.assert_close(model.merge(corner).state_dict()[name], tensor, rtol=1e-5, atol=1e-6)
    assert model.report.error < 1e-7


def test_inside_every_parameter_is_the_weighted_sum(zoo):
    parts = [moved(zoo, seed) for seed in (1, 2)]
    model = quiet(parts, base=zoo, scale=1.0)
    preference = torch.tensor([0.3, 0.9])  # off the simplex too
    merged = dict(model.merge(preference).named_parameters())
    for name, start in zoo.named_parameters():
        steps = [dict(part.named_parameters())[name] - start for part in parts]
        torch.testing.assert_close(merged[name], start + 0.3 * steps[0] + 0.9 * steps[1], rtol=1e-5, atol=1e-6)
    assert merged.keys() == dict(zoo.named_parameters()).keys()


def test_a_merged_network_is_the_class_that_was_put_in(zoo):
    model = quiet([moved(zoo, 1), moved(zoo, 2)])
    plain = model.merge([0.5, 0.5])
    assert [type(module) for module in plain.modules()] == [type(module) for module in zoo.modules()]
    assert plain.state_dict().keys() == zoo.state_dict().keys()
    assert plain.out.weight is plain.words.weight


def test_saved_and_loaded_it_is_the_same(zoo, data, tmp_path):
    model = quiet([moved(zoo, 1), moved(zoo, 2)], base=zoo)
    pc.save(tmp_path, model)
    loaded, _ = pc.load(tmp_path, network=Zoo())
    preference = torch.tensor([0.2, 0.8])
    close(loaded(*data, preference=preference), model(*data, preference=preference), 0)
    again = copy.deepcopy(model)
    close(again(*data, preference=preference), model(*data, preference=preference), 0)


def test_served_it_is_the_same(zoo, data):
    model = quiet([moved(zoo, 1), moved(zoo, 2)], base=zoo)

    class Pictures(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, picture):
            return self.inner(picture, torch.arange(5)[None])[0]

    parts = [Pictures(moved(zoo, seed)) for seed in (1, 2)]
    model = quiet(parts)
    live = pc.LiveNetwork(model, data[0])
    for preference in ([0.1, 0.9], [0.7, 0.3], [1.5, -0.2]):
        torch.testing.assert_close(live(data[0], preference), model(data[0], preference), rtol=1e-4, atol=1e-5)


def test_statistics_are_mixed_and_said_or_measured(zoo, data):
    parts = [moved(zoo, 1), moved(zoo, 2)]
    with pytest.warns(UserWarning, match=r"1 BatchNorm layers .* batches="):
        model = pc.from_checkpoints(parts)
    assert model.report.statistics == "mixed"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = pc.from_checkpoints(parts, batches=[data])
    assert measured.report.statistics == "measured"
    own = copy.deepcopy(parts[0])
    own.norm.reset_running_stats()
    own.norm.momentum = None
    own.norm.train()
    own(*data)
    close([measured.merge([1.0, 0.0]).norm.running_var], [own.norm.running_var], 1e-4)
    with pytest.raises(UserError, match=r"scale=0.5 no λ .* batches="):
        pc.from_checkpoints(parts, scale=0.5)


def test_the_statistics_are_the_checkpoints_where_the_base_has_others(zoo):
    parts = [moved(zoo, 1), moved(zoo, 2)]
    parts[1].norm.load_state_dict(parts[0].norm.state_dict())
    model = quiet(parts, base=zoo)
    close([model.merge([0.0, 1.0]).norm.running_mean], [parts[0].norm.running_mean], 1e-6)


def test_ranks_follow_from_the_error_and_the_error_is_reached():
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20))
    parts = []
    for _ in range(2):
        part = copy.deepcopy(base)
        with torch.no_grad():
            part[0].weight += torch.randn(30, 3) @ torch.randn(3, 40) + 0.01 * torch.randn(30, 40)
            part[1].weight += torch.randn(20, 30)
        parts.append(part)
    model = pc.from_checkpoints(parts, base=base, error=0.05)
    first, second = model.report.layers.values()
    assert first.rank == 3
    assert 10 < second.rank <= 20
    for number, part in enumerate(parts):
        corner = model.merge(torch.eye(2)[number])
        for layer in (0, 1):
            step = part[layer].weight - base[layer].weight
            assert (corner[layer].weight - part[layer].weight).norm() <= 0.0501 * step.norm()
    assert 0 < model.report.error <= 0.05
    assert model.num_adapter_parameters < pc.from_checkpoints(parts, base=base).num_adapter_parameters
    assert {layer.rank for layer in pc.from_checkpoints(parts, base=base, rank=2).report.layers.values()} == {2}


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (7, 7)])
def test_factors_are_those_of_the_singular_value_decomposition(shape):
    torch.manual_seed(1)
    matrix = torch.randn(*shape)
    assert torch.equal(exact_factors(matrix).up @ exact_factors(matrix).down, matrix)
    values = torch.linalg.svdvals(matrix.double())
    for rank in (1, 2, 4):
        best = float(values[rank:].square().sum().sqrt() / values.square().sum().sqrt())
        assert relative_error(matrix, low_rank_factors(matrix, rank)) == pytest.approx(best, rel=1e-5)
        assert low_rank_factors(matrix, error=best * 1.001).rank == rank


def test_ties_keeps_the_large_entries_that_agree_in_sign():
    base = nn.Linear(4, 1, bias=False)
    steps = [torch.tensor([[3.0, -2.0, 0.1, 1.0]]), torch.tensor([[1.0, 3.0, 0.2, 0.0]])]
    parts = []
    for step in steps:
        part = copy.deepcopy(base)
        part.weight.data += step
        parts.append(part)
    model = pc.from_checkpoints(parts, base=base, align="ties", density=0.5)
    kept = [model.merge(corner).weight - base.weight for corner in torch.eye(2)]
    torch.testing.assert_close(kept[0], torch.tensor([[3.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(kept[1], torch.tensor([[1.0, 3.0, 0.0, 0.0]]))


def test_training_goes_on_from_it(zoo, data):
    model = quiet([moved(zoo, 1), moved(zoo, 2)], base=zoo)
    model.train_adapters_only()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any("offset_bias" in name for name in trained)
    assert all("adapter_" in name or "offset_" in name for name in trained)
    optimizer = torch.optim.SGD(model.parameter_groups(1e-2))
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        total = 0.0
        with model.accumulate() as at:
            for preference in torch.tensor([[0.9, 0.1], [0.2, 0.8]]):
                features, text = at(preference).forward(*data)
                loss = preference[0] * features.square().mean() + preference[1] * text.square().mean()
                loss.backward()
                total += float(loss.detach())
        optimizer.step()
        losses.append(total)
    assert losses[-1] < losses[0]


def test_gradients_through_a_pass_are_those_of_autograd(zoo, data):
    model = quiet([moved(zoo, 1), moved(zoo, 2)], base=zoo).double()
    picture, words = data[0].double(), data[1]
    preference = torch.tensor([0.4, 0.6], dtype=torch.float64)

    def loss(outputs):
        return outputs[0].square().mean() + outputs[1].square().mean()

    loss(model(picture, words, preference=preference)).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    with model.accumulate() as at:
        loss(at(preference).forward(picture, words)).backward()
    for name, parameter in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-8, atol=1e-10)


def test_one_preference_per_sample_is_refused_where_biases_depend_on_it():
    base = nn.Linear(3, 2)
    model = pc.from_checkpoints([moved(base, 1), moved(base, 2)])
    with pytest.raises(UserError, match=r"bias \(an offset per preference\)"):
        model(torch.randn(2, 3), torch.tensor([[0.5, 0.5], [1.0, 0.0]]))


def refused(zoo):
    other = nn.Linear(3, 2)
    nan = moved(zoo, 1)
    nan.out.bias.data[0] = float("nan")
    untied = {**zoo.state_dict(), "out.weight": zoo.state_dict()["out.weight"] + 1}
    wide = nn.Sequential(nn.Linear(3, 4))
    yield [zoo], {}, "Found 1 checkpoints; expected 2"
    yield [zoo, zoo], {}, "weights of all of them are the same"
    yield [zoo, other], {}, "Checkpoint 2 has no 'attention.in_proj_bias'"
    yield [wide, nn.Sequential(nn.Linear(3, 5))], {}, r"Checkpoint 2 has '0.weight' of shape \[5, 3\]"
    yield [zoo, nan], {}, "Checkpoint 2 holds NaN"
    yield [zoo, untied], {}, "'words.weight' and 'out.weight' are one tensor"
    yield [zoo.state_dict(), zoo.state_dict()], {}, "give network="
    yield [zoo, moved(zoo, 1)], {"align": "ties"}, "give base="
    yield [zoo, moved(zoo, 1)], {"rank": 2, "error": 0.1}, "not both"
    yield [zoo, moved(zoo, 1)], {"error": 1.5}, "error must be"
    yield [zoo, pc.palorize(other, 2)], {}, "depends on a preference itself"
    yield [zoo, 3], {}, "expected a network or its state_dict"
    yield zoo, {}, "expected a list"


def test_what_cannot_be_mixed_is_said_in_a_sentence(zoo):
    for checkpoints, options, sentence in refused(zoo):
        with pytest.raises(UserError, match=sentence) as found:
            quiet(checkpoints, **options)
        assert str(found.value).endswith(".")


def test_buffers_that_differ_are_refused():
    class Counted(nn.Linear):
        def __init__(self):
            super().__init__(3, 2)
            self.register_buffer("seen", torch.zeros(1))

    parts = [Counted(), Counted()]
    parts[1].seen += 1
    with pytest.raises(UserError, match="'seen' differs between Checkpoint 1 and Checkpoint 2"):
        pc.from_checkpoints(parts)


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    text = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "merging.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict = {}
    exec(compile(code, "merging.md", "exec"), names)
    assert (tmp_path / "runs" / "merged" / "model.safetensors").is_file()
    front = names["front"]
    assert front.objectives[:, 0].argmin() == front.preferences[:, 0].argmax(), "each corner is best at its own"
