"""AUROC and calibration error against torchmetrics and by hand."""

import math

import pytest
import torch
import torchmetrics.functional as reference

from palora_core.errors import UserError
from palora_core.objectives.decisions import AUROC, CalibrationError, decision_measures
from palora_core.tasks import Classification


def computed(meter, logits, labels, parts=1):
    for part in torch.arange(len(labels)).chunk(parts):
        meter.update(logits[part], labels[part])
    return meter.compute()


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("levels", [0, 3, 20])
def test_auroc_is_exact_also_with_ties_and_in_parts(parts, levels):
    torch.manual_seed(levels)
    logits, labels = torch.randn(300, 2), torch.randint(0, 2, (300,))
    if levels:
        logits = (logits * levels / 4).round()
    ahead = (logits[:, 1] - logits[:, 0]).double()  # its sigmoid would make ties of its own
    expected = float(reference.auroc((ahead - ahead.min()) / (ahead.max() - ahead.min()), labels, "binary"))
    assert computed(AUROC(), logits, labels, parts) == pytest.approx(expected, abs=1e-6)


def test_auroc_does_not_saturate_where_probabilities_do():
    logits = torch.tensor([[0.0, 200.0], [0.0, 300.0], [0.0, 400.0]])
    assert computed(AUROC(), logits, torch.tensor([0, 1, 1])) == 1.0


def test_auroc_of_one_kind_only_is_unknown():
    assert math.isnan(computed(AUROC(), torch.randn(4, 2), torch.ones(4).long()))


@pytest.mark.parametrize("parts", [1, 5])
def test_calibration_error_by_hand(parts):
    torch.manual_seed(0)
    logits, labels = torch.randn(400, 2, dtype=torch.float64) * 2, torch.randint(0, 2, (400,))
    p, expected = (logits[:, 1] - logits[:, 0]).sigmoid(), 0.0
    for low in torch.arange(15) / 15:
        inside = (p >= low) & (p < low + 1 / 15)
        if inside.any():
            expected += float(inside.double().mean() * (p[inside].mean() - labels[inside].double().mean()).abs())
    assert computed(CalibrationError(), logits, labels, parts) == pytest.approx(expected, rel=1e-6)


def test_a_probability_of_one_is_in_the_last_bin_and_right_ones_have_no_error():
    logits = torch.tensor([[0.0, 100.0], [100.0, 0.0]])
    assert computed(CalibrationError(), logits, torch.tensor([1, 0])) == pytest.approx(0, abs=1e-9)
    assert computed(CalibrationError(), logits, torch.tensor([0, 1])) == pytest.approx(1)


def test_rows_without_a_label_do_not_count():
    logits, labels = torch.randn(50, 2), torch.randint(0, 2, (50,))
    more = torch.cat([logits, torch.randn(9, 2)]), torch.cat([labels, torch.full((9,), -1)])
    for meter in (AUROC, CalibrationError):
        assert computed(meter(), *more) == pytest.approx(computed(meter(), logits, labels), rel=1e-6)
    assert math.isnan(computed(CalibrationError(), torch.randn(2, 2), torch.tensor([-1, -1])))


def test_they_are_measures_of_a_task():
    task = Classification("sick", 2, measures=decision_measures())
    assert [(metric.name, metric.higher_is_better) for metric in task.metrics] == [
        ("accuracy", True),
        ("auroc", True),
        ("calibration_error", False),
    ]
    accumulator, logits, labels = task.accumulator(), torch.randn(60, 2), torch.randint(0, 2, (60,))
    accumulator.update({"sick": logits}, (None, {"sick": labels}))
    found = accumulator.compute()
    assert found["auroc"] == pytest.approx(computed(AUROC(), logits, labels), rel=1e-9)
    with pytest.raises(UserError, match=r"metric 'auroc' of the objective 'sick' failed .*logits \[B, 2\]"):
        task.accumulator()._measure({"sick": torch.randn(60, 3)}, (None, {"sick": labels}))
