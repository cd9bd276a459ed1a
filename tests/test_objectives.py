"""Objectives of any function, and metrics with a memory of their own."""

import math

import numpy as np
import pytest
import torch
import torchmetrics

from palora_core.errors import UserError
from palora_core.objectives import Measure, Metric, check_objectives, combine, objective
from palora_core.tasks import Classification, Regression


def squares(outputs, batch):
    return (outputs["y"] - batch[1]).square().mean()


def test_a_functions_value_over_a_split_is_the_mean_over_items():
    one = objective("error", squares)
    accumulator = one.accumulator()
    outputs, target = torch.randn(7), torch.randn(7)
    for part in (slice(0, 4), slice(4, 5), slice(5, 7)):
        accumulator.update({"y": outputs[part]}, (None, target[part]))
    assert accumulator.compute() == {"loss": pytest.approx(float((outputs - target).square().mean()), rel=1e-6)}


def test_negative_values_are_ordinary():
    accumulator = (reward := objective("reward", lambda outputs, batch: -outputs.mean())).accumulator()
    accumulator.update(torch.tensor([1.0, 3.0]), (None, None))
    assert accumulator.compute() == {"loss": -2.0}
    assert reward.metrics == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda o, b: 1.5, "'bad' gave a float; expected a scalar tensor"),
        (lambda o, b: o, r"'bad' gave a tensor \[3\]; expected a scalar"),
        (lambda o, b: None, "'bad' gave a NoneType"),
    ],
)
def test_what_is_no_scalar_is_refused_by_name(value, message):
    with pytest.raises(UserError, match=message):
        objective("bad", value).loss(torch.ones(3), (None, None))


def test_torchmetrics_classes_are_metrics_as_they_are():
    task = Classification("sick", 2, measures={"auroc": torchmetrics.AUROC("multiclass", num_classes=2)})
    assert [metric.name for metric in task.metrics] == ["accuracy", "auroc"]
    assert task.metrics[1].higher_is_better
    first, second = task.accumulator(), task.accumulator()  # each has a meter of its own
    logits, labels = torch.randn(40, 2), torch.randint(0, 2, (40,))
    for part in (slice(0, 13), slice(13, 40)):
        first.update({"sick": logits[part]}, (None, {"sick": labels[part]}))
        second.update({"sick": -logits[part]}, (None, {"sick": labels[part]}))
    expected = float(torchmetrics.functional.auroc(logits.softmax(1), labels, "multiclass", num_classes=2))
    assert first.compute()["auroc"] == pytest.approx(expected, abs=1e-6)
    assert second.compute()["auroc"] == pytest.approx(1 - expected, abs=1e-6)


class Concordance:
    """A c-index by hand: any object with update, compute and reset will do."""

    higher_is_better = True

    def reset(self):
        self.pairs = []

    def update(self, score, time):
        self.pairs += list(zip(score.flatten().tolist(), time.flatten().tolist()))

    def compute(self):
        kept = [(a, b) for i, a in enumerate(self.pairs) for b in self.pairs[:i] if a[1] != b[1]]
        return np.mean([(a[0] - b[0]) * (a[1] - b[1]) > 0 for a, b in kept])


def test_a_meter_of_ones_own():
    task = Regression("risk", measures={"c_index": Concordance()})
    accumulator = task.accumulator()
    accumulator.update(torch.tensor([[1.0], [2.0]]), (None, torch.tensor([1.0, 2.0])))
    accumulator.update(torch.tensor([[0.0]]), (None, torch.tensor([3.0])))
    assert accumulator.compute()["c_index"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("where", ["update", "compute"])
def test_a_metric_that_raises_is_named(where):
    class Broken(Concordance):
        pass

    setattr(Broken, where, lambda self, *args: 1 / 0)
    task = Regression("risk", measures={"broken": Broken()})
    with pytest.raises(UserError, match=r"metric 'broken' of the objective 'risk' failed .ZeroDivisionError"):
        computed(task.accumulator())


def computed(accumulator):
    accumulator.update(torch.ones(2, 1), (None, torch.ones(2)))
    return accumulator.compute()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"m": object()}, "'m' is a object without update"),
        ({"m": type("Meter", (Concordance,), {"higher_is_better": None})()}, "does not say whether higher is better"),
        ([3], "found int"),
    ],
)
def test_what_is_no_metric_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        objective("o", squares, metrics=given)


def test_a_reader_chooses_what_a_meter_sees():
    measure = Measure(
        Metric("mae", "mean error", "m", False), torchmetrics.MeanAbsoluteError(), lambda o, b: (o["y"], b[1])
    )
    accumulator = objective("error", squares, metrics=[measure]).accumulator()
    accumulator.update({"y": torch.tensor([1.0, 2.0])}, (None, torch.tensor([2.0, 4.0])))
    assert accumulator.compute()["mae"] == pytest.approx(1.5)


def test_tasks_read_what_they_are_told_to():
    logits, labels = torch.randn(5, 3), torch.randint(0, 3, (5,))
    plain = Classification("c", 3).loss(logits, (None, labels))
    for outputs, batch, options in (
        ({"c": logits}, (None, {"c": labels}), {}),
        ((torch.zeros(1), logits), (None, (labels,)), {"output": 1, "target": 0}),
        ({"head": logits}, (None, {"y": labels}), {"output": "head", "target": "y"}),
        ({"all": {"c": logits}}, (None, labels), {"output": lambda outputs: outputs["all"]["c"]}),
    ):
        assert torch.equal(Classification("c", 3, **options).loss(outputs, batch), plain)


@pytest.mark.parametrize(
    ("outputs", "batch", "message"),
    [
        (
            {"b": torch.ones(2, 3)},
            (None, {"c": torch.zeros(2)}),
            r"task 'c' reads the output 'c', found dict of b \[2, 3\]",
        ),
        (torch.ones(2, 3), (None, {}), "task 'c' reads the target 'c', found dict of nothing"),
        (torch.ones(2, 3), torch.zeros(2), r"task 'c' expects a batch .inputs, targets., found \[2\]"),
    ],
)
def test_what_a_task_does_not_find_is_named(outputs, batch, message):
    with pytest.raises(UserError, match=message):
        Classification("c", 3).loss(outputs, batch)


def test_objectives_come_as_a_mapping_or_a_sequence():
    found = check_objectives({"a": squares, "b": squares})
    assert [one.name for one in found] == ["a", "b"]
    for wrong, message in (
        ([], "at least one"),
        ([*found, found[0]], "Two objectives are called 'a'"),
        ([squares], "function"),
    ):
        with pytest.raises(UserError, match=message):
            check_objectives(wrong)


def test_parts_of_a_step_count_by_their_valid_elements():
    task = Classification("c", 3)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, -1, -1, 1])
    parts = [(logits[:4], (None, labels[:4])), (logits[4:], (None, labels[4:]))]
    assert torch.allclose(combine(task, parts), task.loss(logits, (None, labels)))
    assert not math.isnan(float(combine(task, [(logits[3:5], (None, labels[3:5]))] * 2)))
