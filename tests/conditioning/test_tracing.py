"""Compiled, exported and vectorised passes are those of the model, for every conditioning."""

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.normalisation import calibrate
from palora_core.simplex import check_preference
from tests.conditioning.test_conformance import NAMES, difference, images, make

P, Q = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.7, 0.1, 0.2])


def calibrated(name):
    model = make(name)
    calibrate(model, lambda: [images(16)])
    return model.eval()


@pytest.mark.parametrize("name", NAMES)
def test_one_compiled_graph_answers_at_any_preference(name):
    torch._dynamo.reset()
    model, x = calibrated(name), images()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for preference in (P, Q):
        assert difference(model(x, preference), compiled(x, preference)) <= 1e-6
    assert len(graphs) == 1  # λ is an input of it


@pytest.mark.parametrize("name", ["lowrank", "ensemble", "inputconcat"])
def test_gradients_of_a_compiled_pass(name):
    torch._dynamo.reset()
    model, x = make(name).train(), images(16)
    compiled, found = torch.compile(model, fullgraph=True, backend="aot_eager"), []
    for run in (model, compiled):
        model.zero_grad()
        sum(y.square().sum() for y in run(x, preference=P).values()).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    for key, wanted in found[0].items():
        torch.testing.assert_close(found[1][key], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_program_takes_the_preference(name):
    model, x = calibrated(name), images()
    with torch.no_grad():
        program = torch.export.export(model, (x, P)).module()
        for preference in (P, Q):
            assert difference(model(x, preference), program(x, preference)) <= 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_vmap_over_preferences(name):
    model, x = calibrated(name), images()
    rows = torch.stack([P, Q])
    with torch.no_grad():
        found = torch.func.vmap(model, (None, 0))(x, rows)
        for number, row in enumerate(rows):
            assert difference(model(x, row), {task: y[number] for task, y in found.items()}) <= 1e-5


@pytest.mark.parametrize("name", ["lowrank", "ensemble"])
def test_jacobians_with_respect_to_the_preference(name):
    model, x = calibrated(name).double(), images(dtype=torch.float64)
    found = torch.func.jacrev(lambda row: model(x, row)["a"])(P.double())
    step = 1e-6
    for task in range(3):
        moved = torch.zeros(3).double()
        moved[task] = step
        with torch.no_grad():
            numeric = (model(x, P + moved)["a"] - model(x, P - moved)["a"]) / (2 * step)
        torch.testing.assert_close(found[..., task], numeric, rtol=1e-4, atol=1e-6)


def test_a_preference_is_still_checked_where_its_numbers_can_be_seen():
    with pytest.raises(pc.UserError, match="not finite"):
        check_preference([float("nan"), 1.0], 2)
    with pytest.raises(pc.UserError, match="shape"):
        torch.func.vmap(lambda row: check_preference(row, 3))(torch.rand(2, 2, 2))
    assert pc.palorize(nn.Linear(2, 2), 2)(torch.rand(1, 2), [0.5, 0.5]).shape == (1, 2)
