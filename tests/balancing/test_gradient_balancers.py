"""Combined gradients against torchjd's aggregators (direction and scale), closed forms, and worked examples."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from palora_core.balancing.bargaining import FairGrad, NashMTL
from palora_core.balancing.base import balancers
from palora_core.balancing.descent import MGDA, CAGrad
from palora_core.balancing.graddrop import sign_dropped
from palora_core.balancing.gradnorm import GradNorm
from palora_core.balancing.surgery import PCGrad, gradvac_weights, projected_weights

aggregation = pytest.importorskip("torchjd.aggregation")

SIZES = [2, 3, 5]
SEEDS = range(4)


def prepared(name, num_tasks, **options):
    balancer = balancers.get(name)(**options)
    balancer.setup(num_tasks)
    return balancer


def assert_parallel(ours, theirs, factor, tolerance=1e-6):
    """Cosine 1 and |ours| = factor · |theirs|."""
    assert torch.cosine_similarity(ours, theirs, dim=0) == pytest.approx(1, abs=tolerance)
    assert float(ours.norm() / theirs.norm()) == pytest.approx(factor, rel=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_tasks", SIZES)
def test_mgda_is_t_times_torchjds(direction, jacobian, num_tasks, seed):
    rows = jacobian(num_tasks, seed)
    theirs = aggregation.MGDA(epsilon=1e-9, max_iters=5000)(rows)
    assert_parallel(direction(prepared("mgda", num_tasks), rows), theirs, num_tasks, 1e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_tasks", SIZES)
def test_imtl_g_is_torchjds_and_the_papers_formula(direction, jacobian, num_tasks, seed):
    rows = jacobian(num_tasks, seed)
    ours = direction(prepared("imtl_g", num_tasks), rows)
    assert_parallel(ours, aggregation.IMTLG()(rows), 1)
    units = rows / rows.norm(dim=1, keepdim=True)
    differences, unit_differences = rows[0] - rows[1:], units[0] - units[1:]
    others = rows[0] @ unit_differences.t() @ torch.linalg.inv(differences @ unit_differences.t())
    weights = torch.cat([1 - others.sum()[None], others])
    torch.testing.assert_close(ours, weights @ rows, rtol=1e-6, atol=1e-9)
    projections = units @ ours
    torch.testing.assert_close(projections, projections.mean().expand(num_tasks))


@pytest.mark.parametrize("mode", ["min", "median", "rmse"])
@pytest.mark.parametrize("num_tasks", SIZES)
def test_aligned_mtl_is_t_times_torchjds(direction, jacobian, num_tasks, mode):
    rows = jacobian(num_tasks, 0)
    theirs = aggregation.AlignedMTL(scale_mode=mode)(rows)
    assert_parallel(direction(prepared("aligned_mtl", num_tasks, scale_mode=mode), rows), theirs, num_tasks)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_tasks", SIZES)
def test_upgrad_conflicts_with_no_task_and_keeps_gradients_without_conflict(direction, jacobian, num_tasks, seed):
    rows = jacobian(num_tasks, seed)
    ours = direction(prepared("upgrad", num_tasks), rows)
    assert (rows @ ours).min() >= -1e-9 * rows.norm(dim=1).max() * ours.norm()
    positive = rows.abs()
    torch.testing.assert_close(direction(prepared("upgrad", num_tasks), positive), positive.mean(0))


@pytest.mark.parametrize("num_tasks", SIZES)
def test_upgrad_is_torchjds(direction, jacobian, num_tasks):
    pytest.importorskip("quadprog")
    rows = jacobian(num_tasks, 0)
    projector = importlib.import_module("torchjd.linalg").QuadprogProjector(reg_eps=1e-10)
    assert_parallel(direction(prepared("upgrad", num_tasks), rows), aggregation.UPGrad(projector=projector)(rows), 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_tasks", SIZES)
def test_descent_directions_conflict_with_no_task(direction, jacobian, num_tasks, seed):
    rows = jacobian(num_tasks, seed)
    for name in ("mgda", "nash_mtl", "fairgrad", "imtl_g"):
        ours = direction(prepared(name, num_tasks), rows)
        assert (rows @ ours).min() >= -1e-8 * rows.norm(dim=1).max() * ours.norm()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_tasks", SIZES)
def test_fairgrad_is_t_times_torchjds(direction, jacobian, num_tasks, seed):
    rows = jacobian(num_tasks, seed)
    for fairness in (1.0, 2.0):
        ours = direction(FairGrad(fairness, max_norm=0.0), rows)
        assert_parallel(ours, aggregation.FairGrad(alpha=fairness)(rows), num_tasks, 1e-5)


@pytest.mark.parametrize("num_tasks", SIZES)
def test_nash_is_torchjds(direction, jacobian, num_tasks):
    pytest.importorskip("cvxpy")
    rows = jacobian(num_tasks, 0)
    theirs = aggregation.NashMTL(n_tasks=num_tasks, max_norm=0.0)(rows)
    assert_parallel(direction(prepared("nash_mtl", num_tasks, max_norm=0.0), rows), theirs, 1, 1e-5)


@pytest.mark.parametrize("num_tasks", SIZES)
def test_nash_solves_its_equation_and_clips(direction, jacobian, num_tasks):
    rows = jacobian(num_tasks, 1)
    balancer = prepared("nash_mtl", num_tasks, max_norm=0.0)
    ours = direction(balancer, rows)
    gramian = rows @ rows.t()
    alpha = torch.tensor(balancer.solutions[0], dtype=torch.float64)
    torch.testing.assert_close(gramian @ alpha * alpha, torch.ones(num_tasks, dtype=torch.float64))
    torch.testing.assert_close(ours, alpha @ rows)
    clipped = direction(prepared("nash_mtl", num_tasks, max_norm=1e-3), rows)
    torch.testing.assert_close(clipped, ours * 1e-3 / (ours.norm() + 1e-6))


@pytest.mark.parametrize("num_tasks", SIZES)
def test_cagrad_is_torchjds_on_the_papers_scale(direction, jacobian, num_tasks):
    pytest.importorskip("cvxpy")
    rows = jacobian(num_tasks, 0)
    ours = direction(CAGrad(0.4), rows)
    assert_parallel(ours, aggregation.CAGrad(c=0.4)(rows), num_tasks / 1.16, 1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_tasks", SIZES)
def test_cagrad_stays_in_its_ball_and_beats_the_mean_for_the_worst_task(direction, jacobian, num_tasks, seed):
    rows = jacobian(num_tasks, seed)
    ours = direction(CAGrad(0.4), rows) * 1.16 / num_tasks
    mean = rows.mean(0)
    assert float((ours - mean).norm()) == pytest.approx(0.4 * float(mean.norm()), rel=1e-6)
    assert (rows @ ours).min() >= (rows @ mean).min() - 1e-9
    torch.testing.assert_close(direction(CAGrad(0.0), rows), rows.sum(0))


def test_pcgrad_by_hand():
    """g1 = (1, 0), g2 = (−1, 1), g3 = (0, −1), each meeting the others in the order of their numbers.

    PC(g1): with g2 −1 → g1 + g2/2 = (1/2, 1/2); with g3 −1/2 → (1/2, 0).
    PC(g2): with g1 −1 → (0, 1); with g3 −1 → (0, 0). PC(g3): with g1 0; with g2 −1 → g3 + g2/2 = (−1/2, −1/2).
    """
    rows = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
    weights = projected_weights(rows @ rows.T, [[0, 1, 2]] * 3)
    np.testing.assert_allclose(weights @ rows, [0.0, -0.5], atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_pcgrad_of_two_tasks_is_torchjds(direction, jacobian, seed):
    rows = jacobian(2, seed)  # with two tasks there is only one order
    assert_parallel(direction(prepared("pcgrad", 2), rows), aggregation.PCGrad()(rows), 1)


@pytest.mark.parametrize("num_tasks", SIZES)
def test_surgery_leaves_gradients_without_conflict_alone(direction, jacobian, num_tasks):
    rows = jacobian(num_tasks, 0).abs()
    torch.testing.assert_close(direction(prepared("pcgrad", num_tasks), rows), rows.sum(0))
    torch.testing.assert_close(direction(prepared("gradvac", num_tasks), rows), rows.sum(0))


@pytest.mark.parametrize("seed", SEEDS)
def test_gradvac_of_two_tasks_is_torchjds_over_several_steps(direction, jacobian, seed):
    ours, theirs = prepared("gradvac", 2, decay=0.3), aggregation.GradVac()
    theirs.beta = 0.3
    for number in range(4):
        rows = jacobian(2, seed + 10 * number)
        torch.testing.assert_close(direction(ours, rows), theirs(rows), rtol=1e-5, atol=1e-7)


def test_gradvac_reaches_the_target_cosine():
    rows = np.random.default_rng(0).standard_normal((2, 9))
    gramian, targets = rows @ rows.T, np.full((2, 2), 0.6)
    weights, moved = gradvac_weights(gramian, [[1], []], targets, 0.5)
    turned = (weights - [0, 1]) @ rows
    assert turned @ rows[1] / np.linalg.norm(turned) / np.linalg.norm(rows[1]) == pytest.approx(0.6)
    cosine = gramian[0, 1] / np.sqrt(gramian[0, 0] * gramian[1, 1])
    assert moved[0, 1] == pytest.approx(0.5 * 0.6 + 0.5 * cosine)


@pytest.mark.parametrize("num_tasks", SIZES)
def test_graddrop_is_torchjds_over_t(direction, jacobian, num_tasks):
    rows = jacobian(num_tasks, 0)
    torch.manual_seed(5)
    balancer = prepared("graddrop", num_tasks)
    ours = direction(balancer, rows)
    torch.manual_seed(5)
    torch.testing.assert_close(ours, aggregation.GradDrop()(rows) / num_tasks)


def test_graddrop_keeps_one_sign_with_the_purity_as_odds():
    rows = torch.tensor([[3.0], [-1.0]]).expand(2, 40000)
    kept = sign_dropped(rows, torch.rand(40000, generator=torch.Generator().manual_seed(0)))
    assert ((kept == 0).sum(0) == 1).all()
    assert float((kept[0] != 0).double().mean()) == pytest.approx(0.75, abs=0.01)
    assert torch.equal(sign_dropped(torch.zeros(2, 3), torch.rand(3)), torch.zeros(2, 3))


def test_mgda_normalisations_divide_the_gradients(direction, jacobian):
    rows, losses = jacobian(3, 1), torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    divisors = {"l2": rows.norm(dim=1), "loss": losses, "loss+": losses * rows.norm(dim=1)}
    for mode, divisor in divisors.items():
        scaled = rows / divisor[:, None]
        weights = torch.linalg.lstsq(scaled.t(), direction(MGDA(), scaled)[:, None]).solution[:, 0]
        torch.testing.assert_close(direction(MGDA(mode), rows, losses=losses), weights @ rows)


@pytest.mark.parametrize("name", ["mgda", "imtl_g", "nash_mtl", "aligned_mtl", "cagrad", "fairgrad"])
def test_the_order_of_the_tasks_does_not_matter(direction, jacobian, name):
    rows, order = jacobian(3, 2), torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        direction(prepared(name, 3), rows), direction(prepared(name, 3), rows[order]), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("name", ["pcgrad", "upgrad", "gradvac"])
def test_lambda_scales_each_tasks_gradient(direction, jacobian, name):
    rows, preference = jacobian(2, 1), torch.tensor([0.2, 0.8], dtype=torch.float64)
    scaled = 2 * preference[:, None] * rows
    torch.testing.assert_close(direction(prepared(name, 2), rows, preference), direction(prepared(name, 2), scaled))


def test_gradnorm_follows_the_gradient_of_its_objective(direction, jacobian):
    """The collected gradient against autograd through Σ|w_t n_t − target| with the target held constant."""
    rows, losses = jacobian(3, 0), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    balancer = GradNorm(asymmetry=1.5)
    balancer.setup(3)
    balancer.first = [1.0, 1.0, 1.0]
    start = direction(balancer, rows, losses=losses)
    torch.testing.assert_close(start, rows.sum(0))  # the first weights are ones
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    scaled = weights * rows.norm(dim=1)
    target = (scaled.mean() * (losses / losses.mean()) ** 1.5).detach()
    (expected,) = torch.autograd.grad((scaled - target).abs().sum(), weights)
    torch.testing.assert_close(balancer.gradient.double(), expected, rtol=1e-5, atol=1e-6)
    balancer.after_step(None, None)
    assert float(balancer.vector.values.sum()) == pytest.approx(3)


def test_nash_reuses_its_solution_between_updates_and_still_clips(loop):
    rows = torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=torch.float64)
    often, seldom = loop(NashMTL(max_norm=0.05)), loop(NashMTL(update_every=3, max_norm=0.05))
    often.gradients(0, rows)
    seldom.gradients(0, rows)
    for a, b in zip(often.model.parameters(), seldom.model.parameters()):
        assert torch.equal(a.grad, b.grad)
    seldom.balancer.after_step(None, None)
    assert len(seldom.balancer.solutions) == 2
    seldom.gradients(0, rows)  # the same data again: now from the kept weights, in one backward pass per preference
    for a, b in zip(often.model.parameters(), seldom.model.parameters()):
        torch.testing.assert_close(a.grad, b.grad)
    seldom.balancer.after_step(None, None)
    seldom.balancer.after_step(None, None)
    assert seldom.balancer.solutions == []


def test_pcgrad_draws_from_its_own_generator(loop):
    first, second = PCGrad(), PCGrad()
    torch.manual_seed(3)
    first.setup(3)
    torch.rand(100)  # what others draw does not matter
    second.setup(3)
    assert [first.orders(3) for _ in range(5)] == [second.orders(3) for _ in range(5)]
