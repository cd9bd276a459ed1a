"""Branches are a way to compute: equal to merged weights in float64, whatever the layer, T, rank and format."""

import copy
import importlib

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.adapters import LowRankLayer
from palora_core.adapters.branches import BranchingLayer
from palora_core.normalisation import calibrate

BATCH = 4
LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (BATCH, 3, 6)),
    "linear without bias": (lambda: nn.Linear(6, 5, bias=False), (BATCH, 6)),
    "transformers' Conv1D": (lambda: importlib.import_module("transformers.pytorch_utils").Conv1D(5, 6), (BATCH, 3, 6)),
    "embedding": (lambda: nn.Embedding(7, 5, padding_idx=2), None),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, dilation=2), (BATCH, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1, stride=2, padding_mode="reflect"), (BATCH, 4, 7, 7)),
    "grouped conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding="same"), (BATCH, 4, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2), (BATCH, 2, 4, 4, 4)),
}


def made(name, tasks, rank, compute="auto", frozen=True):
    torch.manual_seed(0)
    network = nn.Sequential(LAYERS[name][0]())
    how = {"conv_form": "kernel", "select": "*", "freeze_base": frozen, "compute": compute}
    model = pc.palorize(network, tasks, rank, 1.3, **how).double()
    nn.init.normal_(model.layers[0].adapter_b)
    return model


def inputs(name):
    shape, generator = LAYERS[name][1], torch.Generator().manual_seed(1)
    if shape is None:
        return torch.randint(0, 7, (BATCH, 3), generator=generator)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def loss_and_gradients(model, x, run):
    model.zero_grad()
    loss = run(model, x)
    x.grad = None
    loss.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), {**found, **({"x": x.grad} if x.grad is not None else {})}


def direct(*preferences):
    return lambda model, x: sum(curved(model(x, row)) for row in preferences)


def curved(y):
    return y.square().sum() + y.sin().sum()


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize(("tasks", "rank"), [(2, 1), (3, 4), (5, 2)])
@pytest.mark.parametrize("name", LAYERS)
def test_both_ways_are_one_function(name, tasks, rank, frozen):
    rows = torch.randn(2, tasks, dtype=torch.float64)
    merged, branched = (made(name, tasks, rank, how, frozen) for how in ("merged", "branches"))
    assert isinstance(branched.layers[0], BranchingLayer)
    x = inputs(name)
    loss, wanted = loss_and_gradients(merged, x, direct(*rows))
    for model in (branched, made(name, tasks, rank, "auto", frozen)):
        found, gradients = loss_and_gradients(model, x, direct(*rows))
        torch.testing.assert_close(found, loss, rtol=1e-12, atol=0)
        assert gradients.keys() == wanted.keys()
        for key, value in wanted.items():
            torch.testing.assert_close(gradients[key], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_step_of_several_preferences_is_the_same(name, frozen):
    rows, found = torch.randn(3, 2, dtype=torch.float64), {}
    for how in ("merged", "branches", "auto"):
        model, x = made(name, 2, 3, how, frozen), inputs(name).detach()
        with model.accumulate() as at:
            for row in rows:
                curved(at(row).forward(x)).backward()
        found[how] = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    for how in ("branches", "auto"):
        assert found[how].keys() == found["merged"].keys()
        for key, value in found["merged"].items():
            torch.testing.assert_close(found[how][key], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_one_preference_per_sample(name, frozen):
    model, x = made(name, 3, 2, "auto", frozen), inputs(name)
    rows = torch.randn(BATCH, 3, dtype=torch.float64)

    def one_by_one(model, x):
        return sum(curved(model(x[number : number + 1], row)) for number, row in enumerate(rows))

    loss, wanted = loss_and_gradients(model, x, one_by_one)
    found, gradients = loss_and_gradients(model, x, lambda model, x: curved(model(x, rows)))
    torch.testing.assert_close(found, loss, rtol=1e-12, atol=0)
    for key, value in wanted.items():
        torch.testing.assert_close(gradients[key], value, rtol=1e-10, atol=1e-10)
    with model.at(rows) as network:
        torch.testing.assert_close(network(x), model(x, preference=rows))


class Watched(torch.utils._python_dispatch.TorchDispatchMode):
    """Remembers the shapes of all that is made."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        aliases = any(r.alias_info is not None for r in function._schema.returns)
        if not aliases:
            self.shapes += [tuple(t.shape) for t in (out if isinstance(out, tuple) else (out,)) if torch.is_tensor(t)]
        return out


@pytest.mark.parametrize("step", ["forward", "accumulate", "per sample"])
def test_a_frozen_base_is_neither_merged_nor_given_a_gradient(step):
    network = nn.Sequential(nn.Linear(31, 37), nn.Tanh(), nn.Linear(37, 41))
    model, x = pc.palorize(network, 2, 2, freeze_base=True), torch.randn(BATCH, 31)
    with Watched() as watched:
        if step == "accumulate":
            with model.accumulate() as at:
                for row in ((0.3, 0.7), (1.0, 0.0)):
                    curved(at(row).forward(x)).backward()
        else:
            curved(model(x, (0.3, 0.7) if step == "forward" else torch.rand(BATCH, 2))).backward()
    assert watched.shapes
    weights = {(31, 37), (37, 31), (37, 41), (41, 37)}
    assert not [shape for shape in watched.shapes if shape[-2:] in weights]
    assert all(p.grad is None for n, p in model.named_parameters() if "adapter" not in n)


def test_preferences_per_sample_are_refused_by_name_where_layers_cannot():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    x, rows = torch.randn(BATCH, 2, 4, 4), torch.rand(BATCH, 2)
    with pytest.raises(pc.UserError, match=r"0 \(its convolution is in flat form"):
        pc.palorize(network, 2)(x, rows)
    assert pc.palorize(network, 2, conv_form="kernel")(x, rows).shape == (BATCH, 2)
    with pytest.raises(pc.UserError, match="LSTM reads its matrix"):
        pc.palorize(nn.LSTM(3, 2), 2)(torch.randn(5, BATCH, 3), rows)
    model = pc.palorize(nn.Linear(3, 2), 2)
    with pytest.raises(pc.UserError, match=r"has 4 rows.*first axis"):
        model(torch.randn(7, 3), rows)
    model.compute = "merged"
    with pytest.raises(pc.UserError, match="one weight for a whole batch"):
        model(torch.randn(BATCH, 3), rows)
    with pytest.raises(pc.UserError, match="compute must be one of"):
        model.compute = "both"
    with pytest.raises(pc.UserError, match="shape"):
        model(torch.randn(BATCH, 3), torch.rand(BATCH, 3))


class Twice(nn.Linear):
    """A forward of its own: nobody knows what it does with its weight."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_a_layer_with_a_forward_of_its_own_is_merged():
    model = pc.palorize(nn.Sequential(Twice(3, 2)), 2, freeze_base=True)
    nn.init.normal_(model.layers[0].adapter_b)
    x, row = torch.randn(BATCH, 3), torch.tensor([0.2, 0.9])
    assert "Twice" in model.layers[0].obstacle
    torch.testing.assert_close(model(x, row), model.merge(row)(x))


@pytest.mark.parametrize("twice", [False, True])
def test_derivatives_by_numbers(twice):
    model = made("linear", 2, 2, "branches", frozen=False)
    x, rows = torch.randn(BATCH, 2, 6, dtype=torch.float64), torch.randn(BATCH, 2, dtype=torch.float64)
    check = torch.autograd.gradgradcheck if twice else torch.autograd.gradcheck
    layer = model.layers[0]
    leaves = (layer.adapter_a, layer.adapter_b, layer.base_weight)
    for row in (rows, rows[0]):
        assert check(lambda x, row, *_: model(x, row).sin(), (x.requires_grad_(), row.requires_grad_(), *leaves))


def test_bfloat16_autocast_is_that_of_merged_weights_up_to_rounding():
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8)), torch.randn(16, 64)
    model = pc.palorize(network, 2, 4, freeze_base=True)
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, std=0.2)
    found = {}
    for how in ("merged", "branches"):
        model.compute = how
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = model(x, (0.4, 0.6))
        assert y.dtype == torch.bfloat16
        y.float().square().mean().backward()
        found[how] = [y.float(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
    for one, other in zip(found["merged"], found["branches"]):
        assert one.dtype == other.dtype == torch.float32
        assert float((one - other).detach().norm() / one.detach().norm()) < 0.02


def test_copies_keep_how_they_compute_and_files_do_not_know():
    model = made("linear", 2, 2, "branches")
    assert copy.deepcopy(model).compute == "branches"
    assert made("linear", 2, 2, "merged").describe() == model.describe()


class Asking(nn.Module):
    """Looks at the format of a weight before it calls the layer, as T5 does; or computes with it."""

    def __init__(self, reads=False):
        super().__init__()
        self.inner, self.reads = nn.Linear(6, 5), reads

    def forward(self, x):
        weight = self.inner.weight
        assert isinstance(weight, torch.Tensor) and weight.shape == (5, 6) and weight.device.type == "cpu"
        x = x.to(weight.dtype)
        return nn.functional.linear(x, weight) if self.reads else self.inner(x)


@pytest.mark.parametrize("reads", [False, True])
def test_to_look_at_a_weight_does_not_make_it_and_to_read_it_does(reads, monkeypatch):
    model, x = pc.palorize(Asking(reads), 2, freeze_base=True), torch.randn(BATCH, 6)
    layer, made = model.layers[0], []
    nn.init.normal_(layer.adapter_b)
    mixed = type(layer).mixed_weight
    monkeypatch.setattr(type(layer), "mixed_weight", lambda self, row: made.append(row) or mixed(self, row))
    row = torch.tensor([0.3, 0.9])
    y = model(x, row)
    assert len(made) == reads
    torch.testing.assert_close(y, model.merge(row)(x), rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert float(layer.adapter_a.grad.abs().sum()) > 0
    if not reads:
        assert model(x, row.expand(BATCH, 2)).shape == (BATCH, 5)
    else:
        with pytest.raises(pc.UserError, match="one preference per sample"):
            model(x, row.expand(BATCH, 2))


class Arranged(nn.Module):
    """A network that puts samples somewhere before its layer reads them."""

    def __init__(self, arrange, back):
        super().__init__()
        self.first, self.inner = nn.Linear(6, 6), nn.Linear(6, 5)
        self.arrange, self.back = arrange, back

    def forward(self, x):
        return self.back(self.inner(self.arrange(self.first(x))), x)


ARRANGED = {
    "folded": (lambda x: x.flatten(0, 1), lambda y, x: y.view(*x.shape[:2], -1), True),
    "folded, positions outside": (
        lambda x: x.transpose(0, 1).flatten(0, 1),
        lambda y, x: y.view(x.shape[1], x.shape[0], -1).transpose(0, 1),
        False,
    ),
    "positions first": (lambda x: x.transpose(0, 1), lambda y, x: y.transpose(0, 1), False),
    "turned": (lambda x: x.flip(0), lambda y, x: y.flip(0), False),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", ARRANGED)
def test_samples_are_found_or_refused_however_they_are_arranged(name, inside):
    arrange, back, fine = ARRANGED[name]
    model, x = pc.palorize(Arranged(arrange, back), 2, freeze_base=True).double(), torch.randn(BATCH, BATCH, 6).double()
    rows = torch.rand(BATCH, 2, dtype=torch.float64)
    nn.init.normal_(model.network.inner.adapter_b)

    def answer():
        if not inside:
            return model(x, rows)
        with model.at(rows) as network:
            return network(x.expand(BATCH, -1, -1))

    if not fine:
        for _ in range(2):
            with pytest.raises(pc.UserError, match=r"samples are not the first axis of what the layer 'inner' reads"):
                answer()
        assert model(x, rows[0]).shape == (BATCH, BATCH, 5)
        return
    for _ in range(2):
        wanted = torch.stack([model(x[n : n + 1], row)[0] for n, row in enumerate(rows)])
        torch.testing.assert_close(answer(), wanted)
    assert type(model.merge(rows[0]).inner) is nn.Linear and "folds" not in vars(model.merge(rows[0]).inner)
    torch.testing.assert_close(model(x, rows[:1]), model(x, rows[0]))


@pytest.mark.parametrize("training", [False, True])
def test_serving_and_calibrated_batch_norms_take_a_preference_per_sample(training):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
    model, x, rows = pc.palorize(network, 2, 2, conv_form="kernel"), torch.randn(BATCH, 2, 4, 4), torch.rand(BATCH, 2)
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    assert calibrate(model, lambda: [torch.randn(64, 2, 4, 4)]) == 1
    with torch.no_grad():
        wanted = torch.cat([model.eval()(x[n : n + 1], row) for n, row in enumerate(rows)])
        torch.testing.assert_close(model(x, rows), wanted)
    live = pc.LiveNetwork(model.train(training), x)
    for given in (rows, rows.tolist()):
        torch.testing.assert_close(live(x, given), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(live(x[:1], rows[0]), wanted[:1], rtol=1e-4, atol=1e-5)
    for wrong, match in ((rows[:3], "3 rows"), ([[0.1, 0.2], [0.3]], "not made of numbers")):
        with pytest.raises(pc.UserError, match=match):
            live(x, wrong)
    assert model.training == training


class Attending(nn.Module):
    def __init__(self, batch_first=True, others=False, **call):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=batch_first, bias=not others)
        self.batch_first, self.others, self.call = batch_first, others, call

    def forward(self, x):
        read = x if self.batch_first else x.transpose(0, 1)
        key = 0.5 * read if self.others else read
        y, weights = self.attention(read, key, key.sin() if self.others == "all" else key, **self.call)
        y = y if self.batch_first else y.transpose(0, 1)
        return (
            y if weights is None else torch.cat([y, weights.flatten(1, -2)[..., :3].mean(1, True).repeat(1, 1, 2)], 1)
        )


UPPER = torch.ones(3, 3).triu(1).bool()
PADDED = torch.zeros(BATCH, 3, dtype=torch.bool).index_fill(1, torch.tensor([2]), True)
ATTENTION = {
    "plain": {"need_weights": False},
    "weights": {"batch_first": False},
    "weights of heads": {"average_attn_weights": False, "attn_mask": UPPER.double() * -3},
    "causal": {"need_weights": False, "attn_mask": UPPER, "is_causal": True},
    "padded": {"need_weights": False, "key_padding_mask": PADDED, "attn_mask": UPPER.expand(2 * BATCH, 3, 3)},
    "two inputs": {"others": True, "need_weights": False, "batch_first": False},
    "three inputs": {"others": "all", "key_padding_mask": PADDED},
}


@pytest.mark.parametrize("name", ATTENTION)
def test_torchs_attention_runs_as_branches(name, monkeypatch):
    x, found = torch.randn(BATCH, 3, 6, dtype=torch.float64), {}
    row = torch.tensor([0.3, 0.9, -0.2]).double()
    for how in ("merged", "auto"):
        torch.manual_seed(0)
        model = pc.palorize(Attending(**ATTENTION[name]), 3, 2, freeze_base=True, compute=how).double()
        for layer in model.layers:
            nn.init.normal_(layer.adapter_b)
        if how == "auto":
            monkeypatch.setattr(LowRankLayer, "mixed_weight", None)  # whoever merges fails
        found[how] = loss_and_gradients(model, x.requires_grad_(), direct(row))
    torch.testing.assert_close(found["auto"][0], found["merged"][0], rtol=1e-12, atol=0)
    assert found["auto"][1].keys() == found["merged"][1].keys() and len(found["auto"][1]) == 5
    for key, value in found["merged"][1].items():
        torch.testing.assert_close(found["auto"][1][key], value, rtol=1e-10, atol=1e-10)
    rows = torch.rand(BATCH, 3, dtype=torch.float64)
    if not {"key_padding_mask", "attn_mask"} & ATTENTION[name].keys():
        wanted = torch.cat([model(x[n : n + 1], row) for n, row in enumerate(rows)])
        torch.testing.assert_close(model(x, rows), wanted)
