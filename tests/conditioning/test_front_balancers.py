"""The balancers of COSMOS, PHN-EPO, PaMaL and RotoGrad against their formulas, and their methods on a tiny problem."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from palora_core.balancing.base import Step, balancers
from palora_core.balancing.cosmos import Cosmos
from palora_core.balancing.epo import EPO, epo_weights, non_uniformity
from palora_core.balancing.multi_forward import MultiForward, order_penalty
from palora_core.balancing.rotograd import RotoGrad, common_size
from palora_core.conditioning.base import ParetoModel, Pass
from palora_core.conditioning.ensemble import Ensemble
from palora_core.conditioning.rotations import Rotations
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.networks.base import MultiTaskNetwork

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))


def network():
    trunk = nn.Sequential(nn.Linear(3, 6), nn.Tanh())
    return MultiTaskNetwork(
        trunk, {"a": nn.Linear(6, 1), "b": nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1))}
    )


def losses_of(outputs):
    return [(outputs["a"] - 1).square().mean(), 3 * (outputs["b"] + 1).square().mean()]


def step_of(model, one, x, lr=0.1):
    outputs = one.forward(x)
    return Step(losses_of(outputs), one, model, outputs, lr=lr)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def begin(balancer, num_tasks=2):
    balancer.setup(num_tasks)
    return balancer


# -- COSMOS ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("direction", ["preference", "reversed"])
def test_cosmos_is_the_gradient_of_its_loss(direction):
    torch.manual_seed(0)
    model, row = ParetoModel(network(), 2), torch.tensor([0.3, 0.7])
    twin = copy.deepcopy(model)
    weights = Cosmos(8.0, direction).backward(step_of(model, model.plain_pass(row), X))
    losses = torch.stack(losses_of(twin(X, row)))
    target = row if direction == "preference" else row.flip(0)
    (target.dot(losses) - 8 * target.dot(losses) / (row.norm() * losses.norm())).backward()
    for name, wanted in gradients(twin).items():
        torch.testing.assert_close(gradients(model)[name], wanted)
    assert weights.shape == (2,)


def test_cosmos_as_published_is_torchjds():
    scalarization = pytest.importorskip("torchjd.scalarization")
    row, losses = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.4, 2.0, 0.7], requires_grad=True)
    (wanted,) = torch.autograd.grad(scalarization.COSMOS(3.0, row)(losses), losses)
    one = Pass(row, lambda x: x, [losses], [[], [], []])
    torch.testing.assert_close(Cosmos(3.0, "preference").backward(Step(losses, one, None)), wanted)


@pytest.mark.parametrize("coefficient", [1.0, 8.0])
def test_a_task_of_large_weight_is_good_and_as_published_it_is_the_bad_one(coefficient):
    def losses_at(first: float, direction: str) -> torch.Tensor:
        """Losses, between two targets on a line, that descent on COSMOS's loss ends at."""
        place, row = torch.tensor([0.5], requires_grad=True), torch.tensor([first, 1 - first])
        balancer = Cosmos(coefficient, direction)
        for _ in range(300):
            place.grad = None
            one = Pass(row, lambda x: x, [place], [[], []])
            losses = [0.1 + (place[0] - target).square() for target in (0.0, 1.0)]
            balancer.backward(Step(losses, one, None))
            with torch.no_grad():
                place -= 0.01 * place.grad
        return torch.stack(losses).detach()

    assert Cosmos().direction == "reversed"
    right = losses_at(0.8, "reversed")
    assert right[0] < right[1]
    torch.testing.assert_close(losses_at(0.2, "reversed"), right.flip(0))
    published = losses_at(0.8, "preference")
    assert published[0] > published[1]


# -- EPO -------------------------------------------------------------------------------------------------------------
def grid(tasks, parts):
    rows = [c for c in itertools.product(range(parts + 1), repeat=tasks) if sum(c) == parts]
    return np.array(rows) / parts


def test_non_uniformity_is_zero_where_weighted_losses_are_equal_and_positive_elsewhere():
    preference = np.array([0.2, 0.3, 0.5])
    assert non_uniformity(1 / preference, preference)[0] == pytest.approx(0)
    mu, a = non_uniformity(np.array([3.0, 1.0, 1.0]), preference)
    assert mu > 0
    numeric = [non_uniformity(np.array([3.0, 1.0, 1.0]) + 1e-6 * e, preference)[0] - mu for e in np.eye(3)]
    np.testing.assert_allclose(np.array(numeric) / 1e-6, a / (preference @ [3, 1, 1]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_epo_solves_its_programs_as_a_fine_grid_does(tasks, seed):
    rng = np.random.default_rng(seed)
    jacobian, losses, preference = rng.normal(size=(tasks, 5)), rng.uniform(0.5, 2, tasks), rng.dirichlet([2] * tasks)
    if seed % 2:
        losses = 1 / preference  # balanced: the dominance program
    gramian = jacobian @ jacobian.T
    mu, a = non_uniformity(losses, preference)
    change, rows = gramian @ a, grid(tasks, 400 if tasks == 2 else 120)
    if mu > 1e-4:
        floor = np.where(change > 0, -np.inf, change) if (change > 0).any() else np.zeros(tasks)
        floor[np.argmax(preference * losses)] = 0
        allowed, value = (rows @ gramian >= floor - 1e-9).all(1), change
    else:
        allowed = (rows @ gramian >= -1e-9).all(1) & (rows @ change >= min(0.0, change.max()) - 1e-9)
        value = gramian.sum(0)
    found = epo_weights(gramian, losses, preference)
    assert found.min() >= -1e-9 and found.sum() == pytest.approx(1)
    if allowed.any():  # no point of the grid does better, and one near it does as well
        best = (rows[allowed] @ value).max()
        assert found @ value >= best - 1e-7
        assert found @ value <= best + 0.03 * np.abs(value).sum()


def test_epo_falls_back_to_the_preference():
    floor_cannot_hold = -np.eye(2)  # no Gramian, but what a solver fails on
    np.testing.assert_allclose(epo_weights(floor_cannot_hold, np.array([1.0, 1.0]), np.array([0.5, 0.5])), [0.5, 0.5])


@pytest.mark.parametrize("first", [0.25, 0.5, 0.8])
def test_epo_descends_to_equal_weighted_losses(first):
    point = nn.Linear(2, 1, bias=False)
    nn.init.constant_(point.weight, 1.5)
    model, row = ParetoModel(point, 2), torch.tensor([first, 1 - first])
    targets = torch.eye(2)
    for _ in range(400):
        model.zero_grad()
        one = model.plain_pass(row)
        losses = [(point.weight[0] - target).square().sum() for target in targets]
        EPO().backward(Step(losses, one, model))
        with torch.no_grad():
            point.weight -= 0.02 * point.weight.grad
    weighted = row * torch.stack(losses).detach()
    assert float(weighted[0]) == pytest.approx(float(weighted[1]), rel=0.05)
    assert point.weight.sum().item() == pytest.approx(1, abs=0.05)  # on the Pareto set between the targets


# -- PaMaL -----------------------------------------------------------------------------------------------------------
def test_penalty_is_zero_iff_losses_fall_with_their_weight():
    rows = torch.tensor([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    ordered = torch.tensor([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
    assert order_penalty(ordered, rows) == 0
    assert order_penalty(ordered.roll(1, 0), rows) > 0
    swapped = torch.tensor([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]])  # task 0 the wrong way round: two rises of 1
    torch.testing.assert_close(order_penalty(swapped, rows, temperature=2.0), torch.tensor(2.0))


@pytest.mark.parametrize("normalise", [False, True])
def test_planned_penalty_has_the_gradient_of_the_joint_loss(normalise):
    torch.manual_seed(1)
    model, x = Ensemble().condition(network(), 2).double(), X.double()
    rows = torch.tensor([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    twin, balancer = copy.deepcopy(model), begin(MultiForward(coefficient=2.0, normalise=normalise))
    with torch.no_grad():
        plain = [torch.stack(losses_of(model(x, row))) for row in rows]
    balancer.begin_step(rows, lambda row: torch.stack(losses_of(model(x, row))).detach())
    with model.accumulate() as at:
        for row in rows:
            balancer.backward(step_of(model, at(row), x))
    losses = torch.stack([torch.stack(losses_of(twin(x, row))) for row in rows])
    penalty, weights = order_penalty(losses, rows.double()), rows.double()
    assert 0 < 2 * penalty < (rows * torch.stack(plain)).sum()
    if normalise:
        shared = twin.split_parameters()[0]
        found = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses.flatten()]
        norms = torch.stack([sum(g.square().sum() for g in row).sqrt() for row in found]).view_as(losses)
        weights = weights / (norms + 1e-3)
    ((weights * losses).sum() + 2 * penalty).backward()
    for name, wanted in gradients(twin).items():
        torch.testing.assert_close(gradients(model)[name], wanted)


def test_penalty_is_left_out_where_it_exceeds_the_loss_and_costs_nothing_where_it_is_off():
    rows, asked = torch.tensor([[0.1, 0.9], [0.9, 0.1]]), []

    def losses_at(row):
        asked.append(row)
        return row  # as wrong as can be: each loss rises with its weight

    for coefficient, forwards, planned in ((0.0, 0, 0), (0.1, 2, 2), (1e3, 2, 0)):
        asked.clear()
        balancer = begin(MultiForward(coefficient=coefficient))
        balancer.begin_step(rows, losses_at)
        assert (len(asked), len(balancer._plan)) == (forwards, planned)


# -- RotoGrad --------------------------------------------------------------------------------------------------------
def rotated(latent=500):
    torch.manual_seed(3)
    model = Rotations(latent).condition(network(), 2)
    with torch.no_grad():
        for layer in model.layers:
            layer.rotation.normal_(std=0.3)
    return model


@pytest.mark.parametrize("latent", [500, 4])
def test_rotations_are_orthogonal_and_fold_into_the_heads(latent):
    model, row = rotated(latent), torch.tensor([0.5, 0.5])
    features = model.network.trunk(X)
    for (task, head), layer, plain in zip(model.network.heads.items(), model.layers, network().heads.values()):
        matrix, size = layer.matrix().detach(), min(latent, 6)
        torch.testing.assert_close(matrix @ matrix.t(), torch.eye(size), atol=1e-5, rtol=0)
        assert float(torch.linalg.det(matrix)) == pytest.approx(1, abs=1e-4)
        turned = torch.cat([features[:, :size] @ matrix.t(), features[:, size:]], 1)
        state = {name: value for name, value in head.state_dict().items() if "rotation" not in name}
        plain.load_state_dict(state)
        torch.testing.assert_close(plain(turned), model(X, row)[task])


def test_rotograd_sends_unit_gradients_of_one_size_through_the_trunk():
    model, row = rotated(), torch.tensor([0.3, 0.7])
    twin, balancer = copy.deepcopy(model), begin(RotoGrad())
    balancer.backward(step_of(model, model.plain_pass(row), X, lr=0.0))
    features = twin.network.trunk(X)
    losses = losses_of({task: head(features) for task, head in twin.network.heads.items()})
    grads = [torch.autograd.grad(2 * w * loss, features, retain_graph=True)[0] for w, loss in zip(row, losses)]
    norms = torch.stack([g.norm() for g in grads])
    size = norms.mean()  # at the first step all ratios are 1
    features.backward(size * sum(g / n for g, n in zip(grads, norms)) / 2, retain_graph=True)
    for name, wanted in gradients(twin).items():
        torch.testing.assert_close(gradients(model)[name], wanted)
    heads = [p for g in twin.split_parameters()[1] for p in g]
    wanted = torch.autograd.grad(2 * (row[0] * losses[0] + row[1] * losses[1]), heads)
    for parameter, gradient in zip((p for g in model.split_parameters()[1] for p in g), wanted):
        torch.testing.assert_close(parameter.grad, gradient)


def test_slow_tasks_count_more_for_the_common_size():
    even = common_size(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0]))
    assert float(even) == pytest.approx(2)
    assert common_size(torch.tensor([1.0, 3.0]), torch.tensor([10.0, 3.0])) > even


def test_rotations_turn_the_task_gradients_towards_each_other():
    model, balancer, row = rotated(), begin(RotoGrad(lr_scale=1.0)), torch.tensor([0.5, 0.5])

    def cosine():
        one = model.plain_pass(row)
        step = step_of(model, one, X)
        first, second = (torch.autograd.grad(loss, one.features, retain_graph=True)[0] for loss in step.losses)
        return float(torch.cosine_similarity(first.flatten(), second.flatten(), dim=0))

    start = cosine()
    for _ in range(60):
        balancer.backward(step_of(model, model.plain_pass(row), X, lr=0.02))
        assert all(layer.rotation.grad is None for layer in model.layers)  # none is left for the main optimizer
    assert cosine() > start + 0.2


def test_rotograd_resumes_exactly():
    model, row, balancer = rotated(), torch.tensor([0.5, 0.5]), begin(RotoGrad())
    for _ in range(3):
        balancer.backward(step_of(model, model.plain_pass(row), X))
    twin, state = copy.deepcopy(model), copy.deepcopy(balancer.state_dict())
    resumed = begin(RotoGrad())
    resumed.load_state_dict(state)
    assert resumed.state_dict()["initial"] == state["initial"]
    for pair in ((model, balancer), (twin, resumed)):
        for _ in range(2):
            pair[1].backward(step_of(pair[0], pair[0].plain_pass(row), X))
    for first, second in zip(model.layers, twin.layers):
        assert torch.equal(first.rotation, second.rotation)


def test_rotograd_needs_rotations_and_rotations_need_heads():
    model = ParetoModel(network(), 2)
    with pytest.raises(UserError, match="rotations conditioning"):
        begin(RotoGrad()).backward(step_of(model, model.plain_pass(torch.tensor([0.5, 0.5])), X))
    with pytest.raises(UserError, match="trunk and heads"):
        Rotations().condition(nn.Linear(2, 2), 2)


# -- methods ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["pamal", "cosmos", "phn", "phn_epo", "rotograd", "padora", "lorpman"])
def test_method_learns_and_moves_every_parameter(name):
    torch.manual_seed(0)
    method = methods.get(name)()
    assert method.title and method.source
    model, balancer = method.conditioning.condition(network(), 2), begin(copy.deepcopy(method.balancer))
    optimizer = torch.optim.Adam(model.parameter_groups(1e-2))
    start = {key: p.detach().clone() for key, p in model.named_parameters()}
    generator, totals = torch.Generator().manual_seed(0), []
    for number in range(40):
        optimizer.zero_grad()
        model.progress(number / 40)
        rows = method.sampler.sample(2, method.num_preferences, number / 40, generator)
        with model.accumulate() as at:
            for row in rows:
                step = step_of(model, at(row), X, lr=1e-2)
                balancer.backward(step)
        extra = model.regulariser()
        if extra is not None:
            extra.backward()
        optimizer.step()
        totals.append(sum(float(loss.detach()) for loss in step.losses))
    assert np.isfinite(totals).all()
    assert np.mean(totals[-8:]) < 0.7 * np.mean(totals[:8])
    for key, parameter in model.named_parameters():
        assert not torch.equal(parameter, start[key]), key
    assert method.controllable == (name != "rotograd")


def test_balancers_are_registered():
    assert {"cosmos", "epo", "multi_forward", "rotograd"} <= set(balancers.names())
