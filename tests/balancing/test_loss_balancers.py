"""Loss weighting against torchjd's scalarizers over several steps, with their histories and learnt numbers."""

from __future__ import annotations

import pytest
import torch

from palora_core.balancing.base import Step, balancers
from palora_core.balancing.losses import RandomWeights
from palora_core.conditioning.base import Pass
from palora_core.errors import UserError

scalarization = pytest.importorskip("torchjd.scalarization")

SIZES = [2, 3, 5]


def prepared(name, num_tasks, **options):
    balancer = balancers.get(name)(**options)
    balancer.setup(num_tasks)
    return balancer


def weights_of(balancer, losses, preference=None):
    """Gradient [T] of the objective by the losses, through a leaf that is those losses."""
    leaf = losses.clone().requires_grad_()
    preference = torch.full_like(losses, 1 / len(losses)) if preference is None else preference
    step = Step(list(leaf.unbind()), Pass(preference, lambda x: x, [leaf], [[] for _ in losses]), None)
    returned = balancer.backward(step)
    torch.testing.assert_close(returned, leaf.grad)
    return leaf.grad, step


def theirs_of(scalarizer, losses):
    leaf = losses.clone().requires_grad_()
    scalarizer(leaf).backward()
    return leaf.grad


def losses_at(number, num_tasks):
    generator = torch.Generator().manual_seed(number)
    return torch.rand(num_tasks, generator=generator) * torch.arange(1, num_tasks + 1) + 0.1


@pytest.mark.parametrize("num_tasks", SIZES)
def test_geometric_mean_is_torchjds(num_tasks):
    losses = losses_at(0, num_tasks)
    ours, _ = weights_of(prepared("gls", num_tasks), losses)
    torch.testing.assert_close(ours, theirs_of(scalarization.GeometricMean(), losses))


@pytest.mark.parametrize("num_tasks", SIZES)
def test_smooth_tchebycheff_is_torchjds(num_tasks):
    losses, preference = losses_at(1, num_tasks), torch.rand(num_tasks).softmax(0)
    reference = torch.full_like(losses, 0.05)
    theirs = theirs_of(scalarization.STCH(0.2, weights=preference, reference=reference), losses)
    ours, _ = weights_of(prepared("stch", num_tasks, mu=0.2, ideal=0.05), losses, preference)
    torch.testing.assert_close(ours, theirs)


def test_smooth_tchebycheff_tends_to_the_largest_weighted_loss():
    ours, _ = weights_of(prepared("stch", 3, mu=1e-4), torch.tensor([1.0, 5.0, 2.0]))
    torch.testing.assert_close(ours, torch.tensor([0.0, 1 / 3, 0.0]))
    with pytest.raises(UserError, match="mu"):
        prepared("stch", 2, mu=0.0)


@pytest.mark.parametrize("num_tasks", SIZES)
def test_scale_invariance(num_tasks):
    losses, scale = losses_at(2, num_tasks), losses_at(3, num_tasks) * 10
    plain, _ = weights_of(prepared("si", num_tasks), losses)
    scaled, _ = weights_of(prepared("si", num_tasks), losses * scale)
    torch.testing.assert_close(scaled * scale, plain)
    torch.testing.assert_close(plain, 1 / losses / num_tasks)


@pytest.mark.parametrize(("name", "theirs", "attribute"), [("uw", "UW", "log_var"), ("imtl_l", "IMTLL", "log_scale")])
@pytest.mark.parametrize("num_tasks", SIZES)
def test_learnt_scales_are_torchjds_over_several_steps(num_tasks, name, theirs, attribute):
    ours, scalarizer = prepared(name, num_tasks), getattr(scalarization, theirs)(num_tasks)
    optimizers = [torch.optim.SGD([*side.parameters()], lr=0.1) for side in (ours, scalarizer)]
    for number in range(5):
        losses = losses_at(number, num_tasks)
        for optimizer in optimizers:
            optimizer.zero_grad()
        weights, _ = weights_of(ours, losses)
        torch.testing.assert_close(weights, theirs_of(scalarizer, losses))
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours.scales.data, getattr(scalarizer, attribute).data)


@pytest.mark.parametrize("num_tasks", SIZES)
def test_dwa_over_epochs_is_torchjds(num_tasks):
    ours, theirs = prepared("dwa", num_tasks), scalarization.DWA()
    for number in range(12):
        losses = losses_at(number, num_tasks)
        weights, _ = weights_of(ours, losses)
        torch.testing.assert_close(weights, theirs_of(theirs, losses))
        if number % 3 == 2:
            ours.end_epoch()
            theirs.step()


def test_dwa_over_windows_compares_the_newest_passes_with_those_before():
    balancer = prepared("dwa", 2, window=2)
    history = [torch.tensor([4.0, 1.0]), torch.tensor([4.0, 1.0]), torch.tensor([2.0, 1.0]), torch.tensor([2.0, 1.0])]
    for losses in history:
        weights, _ = weights_of(balancer, losses)
        assert torch.equal(weights, torch.ones(2))
    weights, _ = weights_of(balancer, torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(weights, 2 * (torch.tensor([0.5, 1.0]) / 2).softmax(0))
    assert len(balancer.recent) == 4


@pytest.mark.parametrize("num_tasks", SIZES)
def test_famo_is_torchjds_over_several_steps(num_tasks):
    ours, theirs = prepared("famo", num_tasks), scalarization.FAMO(num_tasks)
    for number in range(5):
        losses, after = losses_at(number, num_tasks), losses_at(100 + number, num_tasks)
        weights, step = weights_of(ours, losses)
        torch.testing.assert_close(weights, theirs_of(theirs, losses))
        assert float(weights.sum()) == pytest.approx(1, rel=1e-4)
        ours.after_step(step, lambda after=after: after)
        theirs.update(after)
        torch.testing.assert_close(ours.vector.values, theirs._w.data)


def test_random_weights_are_a_softmax_of_normals_drawn_anew():
    torch.manual_seed(0)
    balancer = RandomWeights()
    balancer.setup(3)
    first, _ = weights_of(balancer, torch.ones(3))
    second, _ = weights_of(balancer, torch.ones(3))
    assert float(first.sum()) == pytest.approx(1)
    assert not torch.equal(first, second)
    drawn = torch.randn(3, generator=torch.Generator().manual_seed(0)).softmax(0)
    torch.testing.assert_close(first, drawn)


@pytest.mark.parametrize("name", ["uw", "imtl_l", "dwa", "famo"])
def test_lambda_multiplies_each_tasks_weight_by_t_lambda(name):
    losses, preference = losses_at(4, 3), torch.tensor([0.5, 0.3, 0.2])
    centre, _ = weights_of(prepared(name, 3), losses)
    steered, _ = weights_of(prepared(name, 3), losses, preference)
    torch.testing.assert_close(steered, 3 * preference * centre)
