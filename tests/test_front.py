"""Fronts: what they hold, JSON, damage, and evaluate() against a plain loop."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from palora_core import distributed
from palora_core.conditioning.lowrank import palorize
from palora_core.data import ArraySplit
from palora_core.errors import UserError
from palora_core.evaluation.evaluate import evaluate
from palora_core.evaluation.front import Front, propose_reference
from palora_core.evaluation.front_sums import groups
from palora_core.networks.base import networks
from palora_core.normalisation import calibrate
from palora_core.sources import Source
from palora_core.tasks import Classification

TASKS = (Classification("a", 4), Classification("b", 3))


def front(points=5, tasks=2, seed=0):
    rng = np.random.default_rng(seed)
    preferences = rng.dirichlet(np.ones(tasks), points)
    names = tuple("abcdefg"[:tasks])
    metrics = {f"{name}/accuracy": rng.random(points) for name in names}
    return Front(preferences, 1 - preferences, metrics, names, (1.0,) * tasks, {"split": "test"})


@pytest.fixture(scope="module")
def split():
    torch.manual_seed(0)
    x = torch.rand(22, 1, 28, 28)
    return ArraySplit(x, {"a": torch.randint(4, (22,)), "b": torch.randint(3, (22,))})


def lowrank(norms=False, seed=0):
    torch.manual_seed(seed)
    model = palorize(networks.get("lenet")({"a": 4, "b": 3}, norms), num_tasks=2, rank=2)
    for layer in model.layers:
        torch.nn.init.normal_(layer.adapter_b, std=0.3)
    return model.eval()


@pytest.mark.parametrize(("points", "tasks"), [(1, 2), (11, 2), (66, 3), (4, 1)])
def test_json_round_trip(tmp_path, points, tasks):
    written = front(points, tasks)
    written.save(tmp_path / "front.json")
    read = Front.load(tmp_path / "front.json")
    assert np.allclose(read.preferences, written.preferences, atol=1e-6)
    assert np.array_equal(read.objectives, written.objectives)
    assert read.metrics.keys() == written.metrics.keys()
    assert all(np.array_equal(read.metrics[name], written.metrics[name]) for name in read.metrics)
    assert (read.tasks, read.reference, read.about) == (written.tasks, written.reference, written.about)
    assert read.hypervolume() == pytest.approx(written.hypervolume())


def test_values_that_are_not_numbers_survive(tmp_path):
    written = front()
    written.metrics["a/accuracy"][2] = np.nan
    written.save(tmp_path / "front.json")
    assert "NaN" not in (tmp_path / "front.json").read_text()
    assert np.isnan(Front.load(tmp_path / "front.json").metrics["a/accuracy"][2])


def test_a_perfectly_aligned_front():
    aligned = front(9)
    assert aligned.spearman() == pytest.approx([-1, -1])
    assert aligned.nondominated().all()
    summary = aligned.summary()
    assert (summary["points"], summary["nondominated"]) == (9, 9)
    assert aligned.nearest(aligned.preferences[4]) == 4
    assert aligned.best("a/accuracy", True) == int(aligned.metrics["a/accuracy"].argmax())
    assert aligned.hypervolume((2.0, 2.0)) > aligned.hypervolume()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.clear(),
        lambda data: data.update(format=7),
        lambda data: data.update(preferences=3),
        lambda data: data.update(preferences=[[1.0]]),
        lambda data: data.update(objectives=[["x", "y"]]),
        lambda data: data.update(objectives=data["objectives"][:-1]),
        lambda data: data.update(metrics=[]),
        lambda data: data["metrics"].update({"a/accuracy": [1.0]}),
        lambda data: data.update(reference=[1.0]),
        lambda data: data.update(tasks=None),
        lambda data: data.update(preferences=[], objectives=[], metrics={}),
    ],
)
def test_damaged_fronts_are_one_sentence(tmp_path, change):
    front().save(tmp_path / "front.json")
    data = json.loads((tmp_path / "front.json").read_text())
    change(data)
    (tmp_path / "front.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"front\.json"):
        Front.load(tmp_path / "front.json")


@pytest.mark.parametrize("content", ["", "[]", "3", "null", "{"])
def test_files_that_are_no_fronts(tmp_path, content):
    (tmp_path / "front.json").write_text(content)
    with pytest.raises(UserError, match=r"front\.json"):
        Front.load(tmp_path / "front.json")


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("batch_size", [4, 22, 64])
def test_evaluate_equals_a_plain_loop(split, norms, batch_size):
    model = lowrank(norms)
    if norms:
        calibrate(model, lambda: [split.inputs[:16]])
    grid = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    found = evaluate(model, split, TASKS, (2.0, 2.0), grid, batch_size)
    for k, preference in enumerate(grid):
        with torch.no_grad():
            outputs = model(split.inputs, preference)
        for t, task in enumerate("ab"):
            loss = F.cross_entropy(outputs[task], split.targets[task])
            right = (outputs[task].argmax(1) == split.targets[task]).double().mean()
            assert found.objectives[k, t] == pytest.approx(loss.item(), rel=1e-5)
            assert found.metrics[f"{task}/accuracy"][k] in (
                pytest.approx(right.item()),
                pytest.approx(100 * right.item()),
            )


def test_the_default_grid_and_the_single_point_of_a_plain_network(split):
    plain = networks.get("lenet")({"a": 4, "b": 3})
    from palora_core.conditioning.base import ParetoModel

    assert len(evaluate(lowrank(), split, TASKS, (2.0, 2.0)).preferences) == 11
    one = evaluate(ParetoModel(plain, 2), split, TASKS, (2.0, 2.0))
    assert one.preferences.tolist() == [[0.5, 0.5]]


def test_evaluating_changes_nothing_in_the_model(split):
    model = lowrank(True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, split, TASKS, (2.0, 2.0))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_empty_split_is_one_sentence():
    empty = ArraySplit(torch.zeros(0, 1, 28, 28), {"a": torch.zeros(0), "b": torch.zeros(0)})
    with pytest.raises(UserError, match="empty"):
        evaluate(lowrank(), empty, TASKS, (1.0, 1.0))


def test_a_group_of_batches_is_bounded_by_inputs_and_targets(monkeypatch):
    split = ArraySplit(torch.zeros(8, 1), {"a": torch.zeros(8, 25)})  # 4 bytes in, 100 bytes to predict
    monkeypatch.setattr("palora_core.evaluation.front_sums.GROUP_BYTES", 400)
    assert [len(group) for group in groups(Source(split, (0,)), 2)] == [2, 2]


@pytest.mark.parametrize(("points", "ranks"), [(3, 2), (11, 2), (1, 2), (5, 3)])
def test_every_rank_tells_the_same_progress(split, monkeypatch, points, ranks):
    grid = torch.rand(points, 2, generator=torch.Generator().manual_seed(0))
    others = [{"loss": 0.0, "accuracy": 0.0}] * 2
    monkeypatch.setattr(distributed, "world_size", lambda: ranks)

    def gathered(items):
        rows = bool(items) and isinstance(items[0], list)  # not what is compared at the corners
        return [*items, *[others] * (points - len(items))] if rows or not items else items

    monkeypatch.setattr(distributed, "gathered", gathered)
    monkeypatch.setattr("palora_core.evaluation.front_sums.GROUP_BYTES", 1)  # several groups
    told = []
    for rank in range(ranks):
        calls: list[tuple[int, int]] = []
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        evaluate(lowrank(), split, TASKS, (2.0, 2.0), grid, 4, progress=lambda *call, to=calls: to.append(call))
        told.append(calls)
    assert all(calls == told[0] for calls in told)  # at each call the ranks may agree on a stop
    assert told[0][-1] == (6, 6)


def test_tables_of_any_kind_become_arrays_and_must_fit(tmp_path):
    made = Front(torch.eye(2), [[0.1, 0.9], [0.9, 0.1]], {"a/x": torch.ones(2)}, ("a", "b"), (1.0, 1.0))
    made.save(tmp_path / "front.json")
    assert made.hypervolume() == pytest.approx(0.17)
    assert np.array_equal(Front.load(tmp_path / "front.json").metrics["a/x"], np.ones(2))
    for tables, message in (
        ((np.eye(3), np.zeros((2, 2)), {}), r"preferences have the shape \[3, 3\]; expected \[3, 2\]"),
        ((np.eye(2), np.zeros((3, 2)), {}), r"objectives have the shape \[3, 2\]; expected \[2, 2\]"),
        ((np.eye(2), np.zeros((2, 2)), {"a/x": np.zeros(3)}), r"a/x have the shape \[3\]; expected \[2\]"),
    ):
        with pytest.raises(UserError, match=message):
            Front(*tables, ("a", "b"), (1.0, 1.0))
    with pytest.raises(UserError, match="reference has 1 entries for 2 tasks"):
        Front(np.eye(2), np.zeros((2, 2)), {}, ("a", "b"), (1.0,))


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        ([[0.2, 1.0], [0.6, 0.5]], [0.66, 1.1]),
        ([[0.7, 0.7], [0.7, 0.7]], [0.77, 0.77]),  # a network that has learnt nothing: one point
        ([[-2.0, -30.0], [-4.0, -10.0]], [-1.8, -8.0]),  # negative rewards
        ([[0.0, np.nan], [0.0, np.inf]], [0.1, 1.1]),
    ],
)
def test_a_proposed_reference_lies_beyond_all_points(objectives, expected):
    assert propose_reference(np.array(objectives)) == pytest.approx(expected)
