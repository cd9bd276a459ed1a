import numpy as np
import pytest
import torch
from torch import nn

from palora_core.conditioning.lowrank import palorize
from palora_core.errors import UserError
from palora_core.evaluation import probing
from palora_core.evaluation.probing import Plane
from palora_core.networks.lenet import lenet
from palora_core.networks.segnet import segnet
from palora_core.tasks import LOSS, Classification, Depth, Normals, Regression, Segmentation


def lively(network: nn.Module, num_tasks: int = 2):
    torch.manual_seed(0)
    model = palorize(network, num_tasks, rank=2).eval()
    with torch.no_grad():
        for layer in model.layers:
            layer.adapter_b.normal_(0, 0.3)
    return model


PLANES = [Plane.of(1), Plane.of(2), Plane.of(3), Plane.of(40, 3, 17)]


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: str(plane.num_tasks))
def test_points_lie_in_the_plane_and_keep_its_limits(plane):
    for u, v in plane.points(0.5):
        preference = plane.at(u, v)
        assert len(preference) == plane.num_tasks and plane.holds(preference)
        assert plane.place(preference) == pytest.approx((u, v))
        assert min(preference) >= plane.low and max(preference) <= plane.high


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: str(plane.num_tasks))
def test_schedule_visits_every_point_once_and_grids_are_nested(plane):
    steps = list(plane.schedule(0.25))
    visited = [point for _, points in steps for point in points]
    assert [step for step, _ in steps] == [1.0, 0.5, 0.25]
    assert len(visited) == len(set(visited)) and set(visited) == set(plane.points(0.25))


def test_the_plane_of_two_tasks_holds_the_papers_points_and_that_of_three_the_simplex():
    two, three = Plane.of(2), Plane.of(3)
    assert {(0, 0), (1, -1), (-1, 1), (-1, -1)} <= set(two.points(1.0)) and len(two.points(1.0)) == 25
    assert all(sum(three.at(u, v)) == pytest.approx(1) for u, v in three.points(0.5))
    assert three.holds([1 / 3] * 3) and three.holds([1, 1, -1]) and not three.holds([0, 0, 0])
    assert two.points(1.0)[0] in [(0.0, 1.0), (1.0, 0.0)], "what was trained on comes first"


@pytest.mark.parametrize("pair", [(0, 0), (0, 40), (-1, 2)])
def test_a_plane_needs_two_of_the_tasks(pair):
    with pytest.raises(UserError, match="two different tasks out of 40"):
        Plane.of(40, *pair)


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 40])
def test_named_points(num_tasks):
    controls, pseudo = (f(num_tasks) for f in (probing.control_preferences, probing.pseudo_preferences))
    assert not set(controls) & set(pseudo)
    for row in controls.values():
        assert len(row) == num_tasks and sum(row) == pytest.approx(1) and min(row) >= 0
    assert all(len(row) == num_tasks and (sum(row) != 1 or min(row) < 0) for row in pseudo.values())


def test_written_as_in_the_paper():
    assert list(probing.pseudo_preferences(2)) == ["(0, 0)", "(1, −1)", "(−1, 1)", "(−1, −1)"]


def targets_of(task):
    torch.manual_seed(1)
    if task.kind == "classification":
        return torch.randint(0, 10, (8,))
    if task.kind == "segmentation":
        return torch.randint(-1, 4, (2, 6, 8))
    if task.kind == "depth":
        return torch.rand(2, 1, 6, 8) + 1
    return torch.randn(2, 3, 6, 8) if task.kind == "normals" else torch.randn(9)


TASKS = [Classification("c", 10), Segmentation("s", 4), Depth("d"), Normals("n"), Regression("r")]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_chance_is_what_no_constant_answer_beats(task):
    target = targets_of(task)
    level = task.chance(target)
    assert all(np.isfinite(value) for value in level.values())
    if task.kind == "classification":
        assert level["accuracy"] == 0.1 and level["loss"] == pytest.approx(np.log(10))
        return
    metric = task.metrics[0]
    shape = task.constant_answer(target).shape
    for _ in range(5):
        other = torch.randn(1, shape[1], *[1] * (len(shape) - 2)).expand(shape)
        value = probing.score({task.name: other}, {task.name: target}, [task])[f"{task.name}/{metric.name}"]
        worse = value <= level[metric.name] if metric.higher_is_better else value >= 0.97 * level[metric.name]
        assert worse


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_forgotten_is_half_as_good_or_chance(task):
    metric = task.metrics[0]
    if metric.higher_is_better:
        assert probing.forgotten_beyond(metric, 0.9, 0.1) == 0.45 and probing.forgotten_beyond(metric, 0.9, 0.6) == 0.6
    else:
        assert probing.forgotten_beyond(metric, 1.0, 5.0) == 2.0 and probing.forgotten_beyond(metric, 1.0, 1.5) == 1.5
    limit = probing.forgotten_beyond(metric, 1.0, 1.0)
    assert probing.is_forgotten(metric, limit, limit) and probing.is_forgotten(metric, float("nan"), limit)
    assert not probing.is_forgotten(metric, limit + (0.1 if metric.higher_is_better else -0.1), limit)
    assert probing.forgotten_beyond(LOSS, 0.01, 2.3) == 2.3


def test_measuring_at_any_preference():
    model = lively(lenet({"a": 10, "b": 10}))
    tasks = [Classification("a", 10), Classification("b", 10)]
    x, targets = torch.rand(6, 1, 28, 28), {"a": torch.arange(6), "b": torch.arange(6)}
    predict = lambda x, preference: model(x, preference)  # noqa: E731
    values = probing.measure(predict, x, targets, tasks, torch.tensor([1.0, -1.0]))
    assert set(values) == {"a/loss", "a/accuracy", "b/loss", "b/accuracy"}
    expected = tasks[0].loss(model(x, torch.tensor([1.0, -1.0])), (x, targets))
    assert values["a/loss"] == pytest.approx(float(expected), rel=1e-5)


def test_depth_groups():
    names = list(lively(segnet({"s": 3, "d": 1}, width=0.06)).basis())
    groups = probing.depth_groups(names)
    assert list(groups) == ["encoder", "decoder", "heads"] and [len(g) for g in groups.values()] == [13, 13, 4]
    lenets = probing.depth_groups(list(lively(lenet({"a": 10, "b": 10})).basis()))
    assert {name: len(group) for name, group in lenets.items()} == {"early layers": 2, "late layers": 1, "heads": 4}


def test_switching_every_adapter_off_is_the_weight_zero_and_none_is_the_merge():
    model = lively(lenet({"a": 10, "b": 10}))
    x, preference = torch.rand(3, 1, 28, 28), torch.tensor([0.4, 0.9])
    names = list(model.basis())
    with torch.no_grad():
        whole = probing.partly_merged(model, preference, {})(x)["a"]
        without = probing.partly_merged(model, preference, {name: [1] for name in names})(x)["a"]
        none = probing.partly_merged(model, preference, {name: [0, 1] for name in names})(x)["a"]
        part = probing.partly_merged(model, preference, {names[0]: [1]})(x)["a"]
        assert torch.allclose(whole, model(x, preference)["a"], atol=1e-5)
        assert torch.allclose(without, model(x, torch.tensor([0.4, 0.0]))["a"], atol=1e-5)
        assert torch.allclose(none, model(x, torch.zeros(2))["a"], atol=1e-5)
        assert not torch.allclose(part, whole, atol=1e-4) and not torch.allclose(part, without, atol=1e-4)


def test_models_whose_weights_are_no_sum_say_so():
    from palora_core.conditioning.inputconcat import InputConcat

    model = InputConcat().condition(lenet({"a": 10, "b": 10}), 2)
    assert probing.adapter_report(model) is None
    with pytest.raises(UserError, match="not a sum"):
        probing.partly_merged(model, torch.tensor([1.0, 0.0]), {})


def test_adapter_report():
    model = lively(lenet({"a": 10, "b": 10}))
    layer = model.layers[0]
    with torch.no_grad():  # the second task's delta opposes the first one's, and is twice as large
        layer.adapter_a[1] = layer.adapter_a[0]
        layer.adapter_b[1] = -2 * layer.adapter_b[0]
    report = probing.adapter_report(model)
    assert report.norms.shape == (7, 2) and report.cosines.shape == (7, 2, 2)
    assert report.norms[0, 1] == pytest.approx(2 * report.norms[0, 0])
    assert report.cosines[0, 0, 1] == pytest.approx(-1) and np.allclose(report.cosines[:, 0, 0], 1)
    expected = layer.deltas()[0].norm() / layer.base_weight.norm()
    assert report.norms[0, 0] == pytest.approx(float(expected), rel=1e-5)
