"""Methods: complete descriptions, settings that survive a card, and the first steps of training."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from palora_core.balancing.base import Step
from palora_core.benchmarks.base import benchmarks
from palora_core.config import PARTS, method_from_dict, options, override, to_dict
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.methods.stl import OneTask, SingleTask
from palora_core.networks.base import MultiTaskNetwork
from palora_core.training.setup import configure

SINGLE_SOLUTION = [
    "stl",
    "ls",
    "si",
    "uw",
    "dwa",
    "rlw",
    "imtl_l",
    "famo",
    "gls",
    "stch",
    "gradnorm",
    "mgda",
    "pcgrad",
    "gradvac",
    "imtl_g",
    "graddrop",
    "cagrad",
    "nash_mtl",
    "aligned_mtl",
    "fairgrad",
    "upgrad",
    "auto_lambda",
    *("config", "db_mtl", "moco", "modo", "sdmgrad", "excess_mtl", "pbi"),
]


def first_step(method, num_tasks, preferences=None):
    """The network and its gradients after one step of a method on random data."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
    network = MultiTaskNetwork(trunk, {f"task{t}": nn.Linear(8, 1) for t in range(num_tasks)})
    model = method.conditioning.condition(network, num_tasks)
    balancer = copy.deepcopy(method.balancer)
    balancer.setup(num_tasks)
    x, targets = torch.randn(5, 6), torch.randn(num_tasks, 5, 1)
    if preferences is None:
        preferences = method.sampler.sample(num_tasks, method.num_preferences, 0.5, None)
    with model.accumulate() as at:
        for preference in preferences:
            one = at(preference)

            def losses(one=one):
                outputs = one.forward(x)
                return [(outputs[f"task{t}"] - targets[t]).square().mean() for t in range(num_tasks)]

            balancer.backward(Step(losses(), one, model, None, losses, 0.01))
    return model


@pytest.mark.parametrize("name", SINGLE_SOLUTION)
def test_every_method_of_the_tables_is_there(name):
    assert name in methods


@pytest.mark.parametrize("name", methods.names())
def test_a_method_says_what_it_is_and_where_it_is_from(name):
    method = methods.get(name)()
    assert method.title
    assert method.source
    assert type(method).__doc__
    assert dataclasses.is_dataclass(method)
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.num_preferences = 3


@pytest.mark.parametrize("name", methods.names())
def test_settings_survive_a_card(name):
    method = methods.get(name)()
    assert method_from_dict({"name": name, **to_dict(method)}) == method


def test_titles_are_different():
    titles = [methods.get(name).title for name in methods]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("num_tasks", [1, 2, 3])
@pytest.mark.parametrize("name", SINGLE_SOLUTION)
def test_single_solution_methods_train_every_parameter_of_a_plain_network(name, num_tasks):
    method = methods.get(name)()
    assert not method.controllable
    model = first_step(method, num_tasks)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.network.trunk.parameters())


def test_stl_trains_one_head_and_names_its_corner():
    method = override(SingleTask(), {"task": "1"})
    model = first_step(method, 3)
    moved = [float(head.weight.grad.abs().sum()) > 0 for head in model.network.heads.values()]
    assert moved == [False, True, False]
    assert method.sampler.sample(3, 2, 0.0, None).tolist() == [[0, 1, 0]] * 2
    with pytest.raises(UserError, match="from 0 to 1"):
        OneTask(2).sample(2, 1, 0.0, None)


@pytest.mark.parametrize("name", ["mgda", "uw", "stch", "cagrad", "pcgrad", "nash_mtl", "pbi", "db_mtl"])
def test_any_balancer_goes_with_the_adapters_of_palora(name):
    method = dataclasses.replace(methods.get("palora")(), balancer=methods.get(name)().balancer)
    model = first_step(method, 2)
    assert method.controllable
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(layer.adapter_b.grad.abs().sum() > 0 for layer in model.layers[:1])


@pytest.mark.parametrize(
    "benchmark", [n for n in benchmarks.names() if benchmarks.get(n).__module__.startswith("palora")]
)
def test_a_recipe_speaks_to_the_methods_it_names_only(benchmark):
    """Values that suit PaLoRA must not reach a rival that happens to have an option of the same name."""
    recipe = benchmarks.get(benchmark)().recipe
    assert "palora" in recipe.methods
    assert set(recipe.methods) <= set(methods.names())
    for name in methods.names():
        _, chosen, _ = configure(benchmark, name, {})
        assert recipe.methods.get(name) or chosen == methods.get(name)(), name
        values = {key: option.value for option in options(chosen) for key in (option.path, option.path.split(".")[-1])}
        for key, wanted in recipe.methods.get(name, {}).items():
            found = PARTS[key].name_of(getattr(chosen, key)) if key in PARTS else values[key]
            assert found == wanted, (name, key)


def test_lorpman_keeps_its_rank_and_scale():
    _, lorpman, _ = configure("multimnist", "lorpman", {})
    assert (lorpman.conditioning.rank, lorpman.conditioning.alpha) == (8, 8.0)
