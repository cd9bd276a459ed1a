"""What every conditioning of the registry must keep, on a tiny network with convolutions and BatchNorm."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from palora_core.balancing.base import Step, balancers
from palora_core.conditioning.base import conditionings
from palora_core.networks.base import MultiTaskNetwork
from palora_core.normalisation import calibrate

T = 3
TASKS = ("a", "b", "c")
OPTIONS = {"hypernetwork_chunked": ("hypernetwork", {"chunk_above": 0, "chunk_size": 64, "hidden": 20})}
OPTIONS |= {"ensemble_drawn": ("ensemble", {"reinit": True}), "hypernetwork": ("hypernetwork", {"hidden": 20})}
OPTIONS |= {"dora_flat": ("dora", {"conv_form": "flat"}), "rotations_bounded": ("rotations", {"latent": 3})}
NAMES = sorted({*conditionings.names(), *OPTIONS})
PREFERENCES = [
    (0.2, 0.5, 0.3),
    (1 / 3, 1 / 3, 1 / 3),
    (1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0),
    (-0.5, 1.2, 0.4),
    (0.0, 0.0, 0.0),
]


def conditioning(name):
    registered, options = OPTIONS.get(name, (name, {}))
    return conditionings.get(registered)(**options)


def plain_network():
    trunk = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 4, (3, 1), bias=False), nn.Flatten(), nn.Linear(16, 5), nn.BatchNorm1d(5), nn.Tanh()),
    )
    heads = {task: nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2)) for task in TASKS[:2]}
    return MultiTaskNetwork(trunk, {**heads, "c": nn.Linear(5, 3)})


def make(name, moved=True, dtype=torch.float32):
    torch.manual_seed(0)
    model = conditioning(name).condition(plain_network(), T)
    model.progress(0.0)
    if moved:  # off the start, where adapters are zero and members or tasks may be equal
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.to(dtype)


def images(batch=5, dtype=torch.float32):
    return torch.randn(batch, 2, 8, 4, generator=torch.Generator().manual_seed(1)).to(dtype)


def difference(first, second):
    """The largest deviation over tasks, relative to the largest value."""
    pairs = [(first[task].detach(), second[task].detach()) for task in first]
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-3)) for a, b in pairs)


def task_losses(outputs):
    return [(outputs[task] - 0.3 * (number + 1)).square().mean() for number, task in enumerate(TASKS)]


def train_step(model, preferences, balancer, x, rounded=None, autocast=None):
    with model.accumulate(rounded) as at:
        for preference in preferences:
            one = at(preference)
            with torch.autocast("cpu", autocast, enabled=autocast is not None):
                outputs = one.forward(x)
            balancer.backward(Step(task_losses(outputs), one, model, outputs, lr=1e-2))


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_merge_is_the_model_at_any_preference(name, calibrated):
    model, x = make(name), images()
    if calibrated:
        assert calibrate(model, lambda: [images(16)]) == 2
    model.eval()
    with torch.no_grad():
        for preference in map(torch.tensor, PREFERENCES):
            assert difference(model(x, preference), model.merge(preference)(x)) <= 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_merged_network_is_plain(name):
    model, plain = make(name), plain_network()
    calibrate(model, lambda: [images(16)])
    merged = model.merge(torch.tensor([0.2, 0.3, 0.5]))
    assert type(merged) is type(plain)
    shapes, wanted = ({k: v.shape for k, v in net.state_dict().items()} for net in (merged, plain))
    if name == "inputconcat":  # documented: a first convolution keeps λ's maps
        assert shapes.pop("trunk.0.constant") == (T, 10, 10)
        assert (shapes.pop("trunk.0.weight")[1], wanted.pop("trunk.0.weight")[1]) == (2 + T, 2)
    else:
        assert [type(m) for m in merged.modules()] == [type(m) for m in plain.modules()]
        plain.load_state_dict(merged.state_dict(), strict=True)
    assert shapes == wanted
    own = {p.data_ptr() for p in model.parameters()}
    assert not own & {p.data_ptr() for p in merged.parameters()}
    assert difference(merged.eval()(images()), pickle.loads(pickle.dumps(merged))(images())) == 0


@pytest.mark.parametrize("name", NAMES)
def test_four_threads_at_four_preferences(name):
    model, x = make(name).eval(), images()
    rows = [torch.tensor(p) for p in PREFERENCES[:4]]
    with torch.no_grad():
        wanted = [model(x, row) for row in rows]

    def answer(number):
        with torch.no_grad():
            return max(difference(wanted[number % 4], model(x, rows[number % 4])) for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(answer, range(16))) <= 1e-6


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_copies_and_files_keep_everything(name, calibrated):
    model, x, preference = make(name), images(), torch.tensor([0.2, 0.3, 0.5])
    if calibrated:
        calibrate(model, lambda: [images(16)])
    wanted = model.eval()(x, preference)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert difference(wanted, twin(x, preference)) == 0
        with torch.no_grad():
            next(twin.parameters()).add_(1.0)
        assert difference(wanted, model(x, preference)) == 0  # nothing is shared with the copy
        assert difference(wanted, twin(x, preference)) > 0
    if not calibrated:
        torch.manual_seed(5)
        fresh = conditioning(name).condition(plain_network(), T).eval()
        fresh.load_state_dict(model.state_dict(), strict=True)
        assert difference(wanted, fresh(x, preference)) == 0


@pytest.mark.parametrize("balancer", ["linear", "gradient_normalised"])
@pytest.mark.parametrize("name", NAMES)
def test_accumulated_gradients_are_those_of_autograd(name, balancer):
    rows = torch.tensor([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2], [0.1, 0.1, 0.8]])
    model, x = make(name, dtype=torch.float64), images(dtype=torch.float64)
    twin = copy.deepcopy(model)
    train_step(model, rows, balancers.get(balancer)(), x)
    named = {n: p for n, p in twin.named_parameters() if not n.endswith("rotation")}
    shared = [p for p in twin.split_parameters()[0] if p.requires_grad]
    for row in rows.double():
        losses, total = task_losses(twin(x, row)), 0.0
        for weight, loss in zip(row, losses):
            if balancer == "gradient_normalised":
                found = torch.autograd.grad(loss, shared, retain_graph=True, materialize_grads=True)
                norm = sum(g.square().sum() for g in found).sqrt()
                weight = weight / (norm + 1e-3)
            total = total + weight * loss
        total.backward()
    parameters = dict(model.named_parameters())
    for key, wanted in named.items():
        found = parameters[key]
        assert found.grad is not None, key
        scale = wanted.grad.abs().max().clamp_min(1e-6)
        assert float((found.grad - wanted.grad).abs().max() / scale) < 1e-9, key


class OutsideAutocast(nn.Linear):
    """A layer that a network keeps in full precision."""

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


@pytest.mark.parametrize("many_tasks", [3, 0])
@pytest.mark.parametrize("name", NAMES)
def test_leaves_rounded_ahead_are_what_autocast_makes_of_them(name, many_tasks, monkeypatch):
    """Gradients to the bit, also in several blocks and by factors."""
    monkeypatch.setattr("palora_core.conditioning._merged.BLOCK", 7)
    monkeypatch.setattr("palora_core.conditioning.lowrank.MANY_TASKS", many_tasks)
    rows = torch.tensor([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2], [0.1, 0.1, 0.8]])
    found = []
    for rounded in (None, torch.bfloat16):
        model = make(name).train()
        train_step(model, rows, balancers.get("linear")(), images(16), rounded, torch.bfloat16)
        found.append({key: p.grad for key, p in model.named_parameters()})
    for key, wanted in found[0].items():
        assert torch.equal(wanted, found[1][key]) if wanted is not None else found[1][key] is None, key


def test_leaves_have_the_format_of_their_passes():
    """Rounded for matrix products, kept where BatchNorm reads them, full where a layer leaves autocast."""
    seen = {}
    for name in ("lowrank", "dora", "ensemble"):
        network = plain_network()
        network.heads["c"] = OutsideAutocast(5, 3)
        model = conditioning(name).condition(network, T)
        with model.accumulate(torch.bfloat16) as at, torch.autocast("cpu", torch.bfloat16):
            one = at(torch.tensor([0.2, 0.5, 0.3]))
            outputs = one.forward(images(16))
            seen[name] = {leaf.dtype for leaf in one.shared}
            assert outputs["a"].dtype == torch.bfloat16 and outputs["c"].dtype == torch.float32
            sum(value.float().square().mean() for value in outputs.values()).backward()
        assert all(p.grad.dtype == torch.float32 for p in model.parameters() if p.grad is not None)
    assert torch.bfloat16 in seen["lowrank"] and torch.bfloat16 in seen["dora"]
    assert seen["ensemble"] == {torch.float32}


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_receives_a_gradient(name):
    model = make(name).train()
    groups = model.parameter_groups(1e-3)
    train_step(model, torch.tensor([[0.6, 0.1, 0.3], [0.2, 0.5, 0.3]]), balancers.get("linear")(), images(16))
    grouped = {id(p) for group in groups for p in group["params"]}
    for key, parameter in model.named_parameters():
        if key.endswith("rotation"):  # the balancer rotograd trains these
            assert id(parameter) not in grouped
            continue
        assert id(parameter) in grouped
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_parameter_stays_frozen(name):
    model = make(name)
    frozen = next(p for n, p in model.named_parameters() if not n.endswith("rotation"))
    frozen.requires_grad_(False)
    train_step(model, torch.tensor([[0.6, 0.1, 0.3]]), balancers.get("linear")(), images())
    assert frozen.grad is None
    assert any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_basis_rebuilds_the_merged_network(name):
    model, preference = make(name, dtype=torch.float64), torch.tensor([0.5, -0.2, 0.9], dtype=torch.float64)
    basis = model.basis()
    if basis is None:
        return
    merged = dict(model.merge(preference).named_parameters())
    centre = dict(model.merge(torch.full((T,), 1 / T)).named_parameters())
    for key, (base, deltas) in basis.items():
        torch.testing.assert_close(base + torch.tensordot(preference, deltas, 1), merged[key].double())
    for key in set(merged) - set(basis):
        torch.testing.assert_close(merged[key], centre[key])  # what is not in the basis does not depend on λ


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_model_trains_and_answers(name):
    model, x, row = make(name), images(), torch.tensor([0.2, 0.3, 0.5])
    wanted = model.eval()(x, row)
    model.to(memory_format=torch.channels_last)
    assert difference(wanted, model(x.contiguous(memory_format=torch.channels_last), row)) < 1e-5
    train_step(model, row[None], balancers.get("linear")(), x.contiguous(memory_format=torch.channels_last))
    assert any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast_trains_and_answers_alike(name):
    model, x, row = make(name), images(16), torch.tensor([0.2, 0.3, 0.5])
    balancer = balancers.get("rotograd" if name.startswith("rotations") else "linear")()
    balancer.setup(T)
    with model.accumulate() as at:
        one = at(row)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = one.forward(x)
        balancer.backward(Step(task_losses({t: y.float() for t, y in outputs.items()}), one, model, outputs, lr=1e-2))
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() and g.dtype == torch.float32 for g in gradients)
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        answer = {task: y.float() for task, y in model(x, row).items()}
    assert difference(model(x, row), answer) < 0.1
