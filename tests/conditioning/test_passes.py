"""λ belongs to the pass: gradients are those of the plain formulation whatever runs a part of a pass again, and when.

For every conditioning of the registry, in float64. The plain formulation is ``model(x, λ)`` of a network that
recomputes nothing, one backward per pass.
"""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from palora_core.conditioning.base import conditionings
from palora_core.errors import UserError
from palora_core.networks.base import MultiTaskNetwork
from tests.conditioning.test_conformance import NAMES, T, conditioning

P, Q, R = torch.eye(3, dtype=torch.float64) * 0.6 + torch.tensor([0.1, 0.2, 0.1], dtype=torch.float64)


class Recomputed(nn.Module):
    """Two parts in a row, computed again in backward: the second with a part inside that is checkpointed too."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second
        self.reentrant = None

    def forward(self, x):
        if self.reentrant is None:
            return self.second(self.first(x))
        x = checkpoint(self.first, x, use_reentrant=self.reentrant)
        return checkpoint(self._nested, x, use_reentrant=self.reentrant)

    def _nested(self, x):
        return checkpoint(self.second, x, use_reentrant=self.reentrant)


class Doubled(torch.autograd.Function):
    """A function of somebody's own that computes again in backward, and remembers nothing."""

    @staticmethod
    def forward(ctx, x, part):
        ctx.part = part
        ctx.save_for_backward(x)
        with torch.no_grad():
            return 2 * part(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            y = 2 * ctx.part(x)
        torch.autograd.backward(y, gradient)
        return x.grad, None


def network():
    first = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 3, 3))
    second = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 2, 5), nn.Tanh())
    return MultiTaskNetwork(Recomputed(first, second), {t: nn.Linear(5, n) for t, n in zip("abc", (2, 3, 2))})


def make(name):
    torch.manual_seed(0)
    model = conditioning(name).condition(network(), T)
    model.progress(0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double().train()


def images(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(5, 2, 8, 4, generator=generator, dtype=torch.float64).requires_grad_()


def loss_of(outputs):
    return sum((number + 1) * (y - 0.3 * number).square().mean() for number, y in enumerate(outputs.values()))


def gradients(model):
    found = {n: p.grad for n, p in model.named_parameters() if not n.endswith("rotation")}
    assert any(g is not None for g in found.values())
    return found


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        if gradient is None:
            assert found[name] is None, name
        else:
            assert found[name] is not None, f"{name} has no gradient"
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def plain(name, *preferences, weights=None):
    """The plain formulation: every pass for itself, nothing recomputed."""
    model = make(name)
    for number, preference in enumerate(preferences):
        loss = loss_of(model(images(number), preference))
        (loss * (weights[number] if weights else 1)).backward()
    return gradients(model)


def by_call(model, x, preference):
    return model(x, preference)


def by_keyword(model, x, preference):
    return model(x, preference=preference)


def by_block(model, x, preference):
    with model.at(preference) as net:
        return net(x)


@pytest.fixture(params=[None, True, False], ids=["kept", "reentrant", "recomputed"])
def reentrant(request):
    return request.param


def recomputing(name, reentrant):
    model = make(name)
    model.network.trunk.reentrant = reentrant
    return model


@pytest.mark.parametrize("call", [by_call, by_keyword, by_block])
@pytest.mark.parametrize("name", NAMES)
def test_a_pass_keeps_its_preference_through_backward(name, reentrant, call):
    model = recomputing(name, reentrant)
    loss_of(call(model, images(0), P)).backward()
    assert_same(gradients(model), plain(name, P))


@pytest.mark.parametrize("name", NAMES)
def test_backwards_of_three_passes_in_any_order(name, reentrant):
    model = recomputing(name, reentrant)
    losses = [loss_of(model(images(n), p)) for n, p in enumerate((P, Q, R))]
    with model.at(R):  # another λ is active while the first two run backward
        losses[1].backward()
        losses[0].backward()
    losses[2].backward()
    assert_same(gradients(model), plain(name, P, Q, R))


@pytest.mark.parametrize("name", NAMES)
def test_one_backward_for_several_passes(name, reentrant):
    model = recomputing(name, reentrant)
    sum(loss_of(model(images(n), p)) for n, p in enumerate((P, Q, R))).backward()
    assert_same(gradients(model), plain(name, P, Q, R))


@pytest.mark.parametrize("name", NAMES)
def test_backward_in_another_thread(name, reentrant):
    """As on a GPU, whose backward runs in a thread of autograd's own."""
    model = recomputing(name, reentrant)
    losses = [loss_of(model(images(n), p)) for n, p in enumerate((P, Q))]
    errors = []

    def work():
        try:
            losses[0].backward()
            losses[1].backward()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    with model.at(R):
        thread.start()
        thread.join()
    assert not errors
    assert_same(gradients(model), plain(name, P, Q))


@pytest.mark.parametrize("name", NAMES)
def test_forward_in_threads_backward_here(name, reentrant):
    model = recomputing(name, reentrant)
    with ThreadPoolExecutor(2) as pool:
        losses = list(pool.map(lambda one: loss_of(model(images(one[0]), one[1])), enumerate((P, Q))))
    sum(losses).backward()
    assert_same(gradients(model), plain(name, P, Q))


@pytest.mark.parametrize("order", ["each", "together", "reversed"])
@pytest.mark.parametrize("name", NAMES)
def test_accumulate_collects_every_pass(name, reentrant, order):
    model = recomputing(name, reentrant)
    with model.accumulate() as at:
        losses = []
        for number, preference in enumerate((P, Q, R)):
            losses.append(loss_of(at(preference).forward(images(number))))
            if order == "each":
                losses.pop().backward()
        if order == "together":
            sum(losses).backward()
        for loss in reversed(losses) if order == "reversed" else ():
            loss.backward()
    assert_same(gradients(model), plain(name, P, Q, R))


@pytest.mark.parametrize("name", NAMES)
def test_accumulate_takes_several_backwards_of_one_pass(name):
    model = make(name)
    with model.accumulate() as at:
        loss = loss_of(at(P).forward(images(0)))
        (0.25 * loss).backward(retain_graph=True)
        other = loss_of(at(Q).forward(images(1)))
        (0.75 * loss).backward()
        other.backward()
    assert_same(gradients(model), plain(name, P, Q))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_written_by_hand_are_collected(name):
    """As balancers write them, also after another pass was made."""
    model, wanted = make(name), plain(name, P, Q)
    with model.accumulate() as at:
        passes = [(at(p), images(n)) for n, p in enumerate((P, Q))]
        for one, x in passes:
            leaves = [*one.shared, *(leaf for group in one.specific for leaf in group)]
            found = torch.autograd.grad(loss_of(one.forward(x)), leaves, allow_unused=True)
            for leaf, gradient in zip(leaves, found):
                if gradient is not None:
                    leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
    found = gradients(model)
    assert_same(
        {n: g for n, g in found.items() if g is not None}, {n: wanted[n] for n in found if found[n] is not None}
    )
    assert [n for n, g in found.items() if g is None] == [n for n, g in wanted.items() if g is None]


@pytest.mark.parametrize("name", ["lowrank", "ensemble"])
def test_backward_after_the_block_is_refused(name):
    model = make(name)
    with model.accumulate() as at:
        loss = loss_of(at(P).forward(images(0)))
    with pytest.raises(UserError, match="inside the block"):
        loss.backward()


@pytest.mark.parametrize("name", ["lowrank", "dora", "ensemble", "hypernetwork"])
def test_a_recomputation_that_remembers_nothing_is_refused(name):
    model = make(name)
    trunk = model.network.trunk
    trunk.forward = lambda x: trunk.second(Doubled.apply(x, trunk.first))
    loss = loss_of(model(images(0), P))
    with pytest.raises(UserError, match="outside of any pass"):
        loss.backward()


@pytest.mark.parametrize("name", ["lowrank", "dora", "ensemble"])
def test_inside_the_block_it_is_right(name):
    wanted = make(name)
    loss_of(wanted(images(0), P)).backward()
    model = make(name)
    trunk = model.network.trunk
    trunk.forward = lambda x: trunk.second(0.5 * Doubled.apply(x, trunk.first))
    with model.at(P) as net:
        loss_of(net(images(0))).backward()
    assert_same(gradients(model), gradients(wanted))


def test_the_plain_network_recomputes_as_itself():
    model = recomputing("lowrank", False)
    twin = copy.deepcopy(model)
    twin.network.trunk.reentrant = None
    for net in (model.network, twin.network):
        loss_of(net(images(0))).backward()
    assert_same(gradients(model), gradients(twin))
    assert model.layers[0].adapter_a.grad is None


def test_every_conditioning_is_tried():
    assert {n.partition("_")[0] for n in conditionings.names()} <= {n.partition("_")[0] for n in NAMES}
