"""The conditionings since 2024 against their equations written out, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from palora_core.conditioning.hyperlora import HyperLoRA, spread_loss
from palora_core.conditioning.panacea import Panacea
from palora_core.conditioning.pblora import PBLoRA
from palora_core.errors import UserError

LAMBDA = torch.tensor([0.2, 0.5, 0.3])


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(24, 5))


def moved(conditioning):
    model = conditioning.condition(network(), 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


X = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("conditioning", [Panacea(), PBLoRA(), HyperLoRA()], ids=lambda one: type(one).__name__)
def test_it_starts_as_the_network_put_in(conditioning):
    model = conditioning.condition(network(), 3)
    for preference in (LAMBDA, torch.eye(3)[0]):
        torch.testing.assert_close(model(X, preference), network()(X))
    with pytest.raises(UserError, match=r"one weight for a whole batch"):
        model(X, LAMBDA.repeat(4, 1))


def test_panacea_is_a_singular_value_decomposition_with_the_preference_in_it():
    model = moved(Panacea(rank=4))
    for layer in model.layers:
        left = torch.cat([layer.singular_left, layer.adapter_b[:, :, 0].t()], 1)
        right = torch.cat([layer.singular_right, layer.adapter_a[:, 0]])
        values = torch.cat([layer.singular_values, layer.preference_scale * LAMBDA])
        assert (len(values), left.shape[1]) == (7, 7)
        expected = layer.base_weight + (left @ torch.diag(values) @ right).view(layer.base_weight.shape)
        torch.testing.assert_close(layer.mixed_weight(LAMBDA), expected)
    own = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in network().parameters())
    assert own == model.num_adapter_parameters == (6 + 18) * 7 + 5 + (5 + 24) * 7 + 5
    assert len(moved(Panacea(rank=100)).layers[1].singular_values) == 5  # no more than the matrix has


def test_pblora_has_a_core_that_a_linear_layer_makes_of_the_preference():
    model = moved(PBLoRA(common_rank=2, rank=3, alpha=10.0))
    for layer in model.layers:
        linear = layer.core_tasks[1:].flatten(1)  # [T, r₂²]: its weights; M₀ is its bias
        core = torch.block_diag(layer.core_common, (LAMBDA @ linear + layer.core_tasks[0].flatten()).view(3, 3))
        expected = 2.0 * layer.adapter_b[0] @ core @ layer.adapter_a[0]
        torch.testing.assert_close(layer.mixed_weight(LAMBDA) - layer.base_weight, expected.view_as(layer.base_weight))


def test_hyperlora_makes_one_adapter_of_the_preference():
    model = moved(HyperLoRA(rank=2, alpha=3.0, embedding=5))
    first, _, last, _ = model.hypernetwork
    embedding = torch.tanh(last.weight @ F.relu(first.weight @ LAMBDA + first.bias) + last.bias)
    merged = dict(model.merge(LAMBDA).named_parameters())
    for name, layer in model.network.named_modules():
        if layer in model.layers:
            down = layer.adapter_a[0] + torch.einsum("h,hrc->rc", embedding, layer.adapter_a[1:])
            up = layer.adapter_b[0] + torch.einsum("h,hor->or", embedding, layer.adapter_b[1:])
            expected = layer.base_weight + 1.5 * (up @ down).view_as(layer.base_weight)
            torch.testing.assert_close(merged[f"{name}.weight"], expected)


def test_hyperlora_is_no_affine_function_of_the_preference():
    model = moved(HyperLoRA())
    ends = [model.merge(torch.eye(3)[t])[3].weight for t in (0, 1)]
    middle = model.merge(torch.tensor([0.5, 0.5, 0.0]))[3].weight
    assert (middle - (ends[0] + ends[1]) / 2).norm() > 0.01 * (ends[0] - ends[1]).norm()


def test_the_spread_loss_falls_where_neighbours_are_alike_and_others_apart():
    apart = torch.eye(4)
    assert spread_loss(apart, apart, 0.2) < 0.03
    assert spread_loss(torch.ones(4, 4), torch.ones(4, 4), 0.2) == pytest.approx(float(torch.tensor(4.0).log()))
    model = HyperLoRA(spread=1.0).condition(network(), 3)
    optimizer = torch.optim.Adam(model.hypernetwork.parameters(), 1e-2)
    torch.manual_seed(0)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.regulariser()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert sum(values[-10:]) < 0.9 * sum(values[:10])
    assert HyperLoRA(spread=0.0).condition(network(), 3).regulariser() is None


@pytest.mark.parametrize("conditioning", [Panacea, PBLoRA, HyperLoRA])
def test_only_adapters_are_trained_where_that_is_asked_for(conditioning):
    model = conditioning(adapters_only=True).condition(network(), 3)
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in model.adapter_parameters()}
