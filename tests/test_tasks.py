import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchmetrics.functional as tm

from palora_core.errors import UserError
from palora_core.tasks import (
    Classification,
    Depth,
    KeyPoints,
    Metric,
    MultiLabel,
    Normals,
    Ordinal,
    Quantile,
    Regression,
    Segmentation,
    Tokens,
    _tensors,
    histogram_median,
    mean_iou,
)


def on(target):
    """A batch with this target and no inputs."""
    return None, target


def pair(made):
    """(outputs, batch) of a prediction and its target."""
    prediction, target = made
    return prediction, on(target)


def segmentation_batch(seed: int, batch: int = 3, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, 6, 7, generator=source)
    return logits, torch.randint(-1, classes, (batch, 6, 7), generator=source)


def depth_batch(seed: int, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    target = torch.rand(batch, 1, 6, 7, generator=source) + 0.1
    target[torch.rand(target.shape, generator=source) < 0.3] = 0
    return torch.rand(target.shape, generator=source), target


def normals_batch(seed: int, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    target = F.normalize(torch.randn(batch, 3, 6, 7, generator=source), dim=1)
    unknown = torch.rand(batch, 1, 6, 7, generator=source) < 0.3
    prediction = target + 0.5 * torch.randn(target.shape, generator=source)
    return prediction, torch.where(unknown, 0, target)


def classification_batch(seed: int, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 4, generator=source), torch.randint(0, 4, (batch,), generator=source)


def regression_batch(seed: int, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 1, generator=source), 3 * torch.randn(batch, generator=source)


def multilabel_batch(seed: int, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 5, generator=source), torch.randint(-1, 2, (batch, 5), generator=source)


def ordinal_batch(seed: int, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, 3, generator=source).sort(1, descending=True).values
    return logits, torch.randint(0, 4, (batch,), generator=source)


def quantile_batch(seed: int, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, generator=source).sort(1).values, torch.randn(batch, generator=source)


def keypoints_batch(seed: int, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    target = torch.rand(batch, 4, 2, generator=source)
    prediction = (target + 0.05 * torch.randn(target.shape, generator=source)).flatten(1)
    target[torch.rand(batch, 4, generator=source) < 0.2] = torch.nan
    return prediction, target


def tokens_batch(seed: int, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (batch, 6), generator=source)
    labels[torch.rand(labels.shape, generator=source) < 0.2] = -100
    return torch.randn(batch, 6, 4, generator=source), labels


CASES = [
    (Segmentation("sem", num_classes=5), segmentation_batch),
    (Depth("depth"), depth_batch),
    (Normals("normal"), normals_batch),
    (Normals("normal", objective="cosine"), normals_batch),
    (Classification("digit", num_classes=4), classification_batch),
    (Regression("torque"), regression_batch),
    (Regression("age", objective="huber", unit="years", scale=20.0), regression_batch),
    (Regression("age", objective="l1"), regression_batch),
    (MultiLabel("labels", num_labels=5), multilabel_batch),
    (Ordinal("grade", num_classes=4), ordinal_batch),
    (Quantile("price", unit="€", scale=3.0), quantile_batch),
    (KeyPoints("places", num_points=4), keypoints_batch),
    (Tokens("tags", num_classes=4), tokens_batch),
    (Depth("depth", objective="log"), depth_batch),
]
every_task = pytest.mark.parametrize(("task", "make"), CASES, ids=lambda value: getattr(value, "kind", ""))


@every_task
class TestEveryTask:
    def test_split_in_batches_equals_the_split_as_one(self, task, make):
        prediction, target = make(0, batch=7)
        whole, parts = task.accumulator(), task.accumulator()
        whole.update(prediction, on(target))
        for start, stop in ((0, 4), (4, 5), (5, 7)):
            parts.update(prediction[start:stop], on(target[start:stop]))
        assert parts.compute() == pytest.approx(whole.compute(), rel=1e-5)

    def test_merging_accumulators_equals_one(self, task, make):
        for convention in ("exact", "published"):
            first, second, both = (task.accumulator(convention) for _ in range(3))
            for accumulator, seed in ((first, 1), (second, 2), (both, 1), (both, 2)):
                accumulator.update(*pair(make(seed)))
            first.merge(second)
            assert first.compute() == pytest.approx(both.compute(), rel=1e-6)

    def test_returns_exactly_its_metrics_and_the_loss(self, task, make):
        accumulator = task.accumulator()
        accumulator.update(*pair(make(0)))
        values = accumulator.compute()
        assert set(values) == {"loss", *(metric.name for metric in task.metrics)}
        assert all(isinstance(value, float) and math.isfinite(value) for value in values.values())

    def test_loss_is_a_scalar_with_a_gradient_and_the_splits_loss(self, task, make):
        prediction, target = make(0)
        prediction.requires_grad_()
        loss = task.loss(prediction, on(target))
        loss.backward()
        assert loss.shape == ()
        assert prediction.grad.abs().sum() > 0
        accumulator = task.accumulator()
        accumulator.update(prediction, on(target))
        assert accumulator.compute()["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
        assert not any(value.requires_grad for value in accumulator.state.values())

    def test_published_convention_averages_batches(self, task, make):
        accumulator, singles = task.accumulator("published"), []
        for seed, batch in ((1, 4), (2, 1), (3, 2)):
            accumulator.update(*pair(make(seed, batch=batch)))
            single = task.accumulator()
            single.update(*pair(make(seed, batch=batch)))
            singles.append(single.compute())
        values = accumulator.compute()
        for name in task.averaged_over_batches:
            assert values[name] == pytest.approx(np.mean([single[name] for single in singles]), rel=1e-6)
        assert "loss" in task.averaged_over_batches

    def test_half_precision_predictions_are_measured_in_single(self, task, make):
        prediction, target = make(0)
        exact = task.loss(prediction.bfloat16().float(), on(target))
        assert task.loss(prediction.bfloat16(), on(target)).dtype == torch.float32
        assert torch.allclose(task.loss(prediction.bfloat16(), on(target)), exact)

    def test_double_precision_stays_double(self, task, make):
        prediction, target = make(0)
        assert task.loss(prediction.double(), on(target)).dtype == torch.float64

    def test_wrong_shapes_are_named(self, task, make):
        prediction, target = make(0)
        wanted = rf"task '{task.name}' \({task.kind}\) got .*expected"
        with pytest.raises(UserError, match=wanted):
            task.loss(torch.cat([prediction, prediction], dim=1), on(target))
        with pytest.raises(UserError, match=wanted):
            task.loss(prediction[:1], on(target))

    def test_convention_and_use_are_checked(self, task, make):
        assert task.out_channels in make(0)[0].shape[1:]
        with pytest.raises(UserError, match="'exact' or 'published'"):
            task.accumulator("guess")
        with pytest.raises(UserError, match="has seen no batch"):
            task.accumulator().compute()


INVALID = [
    (CASES[0][0], torch.randn(2, 5, 3, 3), torch.full((2, 3, 3), -1)),
    (CASES[1][0], torch.randn(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)),
    (CASES[1][0], torch.randn(2, 1, 3, 3), torch.full((2, 1, 3, 3), math.nan)),
    (CASES[2][0], torch.randn(2, 3, 3, 3), torch.zeros(2, 3, 3, 3)),
    (CASES[3][0], torch.randn(2, 3, 3, 3), torch.full((2, 3, 3, 3), math.nan)),
    (CASES[4][0], torch.randn(2, 4), torch.full((2,), -1)),
    (CASES[5][0], torch.randn(2, 1), torch.full((2,), math.nan)),
    (MultiLabel("labels", num_labels=5), torch.randn(2, 5), torch.full((2, 5), -1)),
    (Ordinal("grade", num_classes=4), torch.randn(2, 3), torch.full((2,), -1)),
    (Quantile("price"), torch.randn(2, 3), torch.full((2,), math.nan)),
    (KeyPoints("places", num_points=4), torch.randn(2, 8), torch.full((2, 4, 2), math.nan)),
    (Tokens("tags", num_classes=4), torch.randn(2, 6, 4), torch.full((2, 6), -100)),
]


@pytest.mark.parametrize(("task", "prediction", "target"), INVALID)
def test_a_batch_without_a_valid_element_has_loss_zero_and_gradient_zero(task, prediction, target):
    leaf = prediction.clone().requires_grad_()
    loss = task.loss(leaf, on(target))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(leaf.grad, torch.zeros_like(leaf))


@pytest.mark.parametrize(("task", "prediction", "target"), INVALID)
@pytest.mark.parametrize("convention", ["exact", "published"])
def test_a_split_without_a_valid_element_has_no_metrics(task, prediction, target, convention):
    accumulator = task.accumulator(convention)
    accumulator.update(prediction, on(target))
    values = accumulator.compute()
    assert set(values) == {"loss", *(metric.name for metric in task.metrics)}
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize(("task", "make"), CASES[:4])
@pytest.mark.parametrize("convention", ["exact", "published"])
def test_a_batch_without_a_valid_element_changes_nothing(task, make, convention):
    prediction, target = make(0)
    empty = torch.full_like(target, -1) if task.kind == "segmentation" else torch.zeros_like(target)
    accumulator, expected = task.accumulator(convention), task.accumulator(convention)
    accumulator.update(prediction, on(target))
    accumulator.update(prediction, on(empty))
    expected.update(prediction, on(target))
    assert accumulator.compute() == pytest.approx(expected.compute())


def test_segmentation_equals_torchmetrics():
    task, accumulator = Segmentation("sem", num_classes=5), Segmentation("sem", num_classes=5).accumulator()
    batches = [segmentation_batch(seed) for seed in range(3)]
    for logits, labels in batches:
        accumulator.update(logits, on(labels))
    logits, labels = (torch.cat(parts) for parts in zip(*batches))
    values = accumulator.compute()
    shared = {"task": "multiclass", "num_classes": 5, "ignore_index": -1}
    assert values["miou"] == pytest.approx(float(tm.jaccard_index(logits, labels, **shared)), abs=1e-6)
    assert values["pixel_accuracy"] == pytest.approx(float(tm.accuracy(logits, labels, **shared)), abs=1e-6)
    assert float(task.loss(logits, on(labels))) == pytest.approx(
        float(F.cross_entropy(logits, labels, ignore_index=-1))
    )


def test_a_class_that_occurs_nowhere_is_left_out_or_counts_as_zero():
    # Labels 0 0 1 -1, predictions 0 1 1 2: class 0 has IoU 1/2, class 1 has 1/2; 2 is predicted on an ignored pixel.
    logits = F.one_hot(torch.tensor([[[0, 1, 1, 2]]]), 4).permute(0, 3, 1, 2).float()
    labels = torch.tensor([[[0, 0, 1, -1]]])
    exact, published = (Segmentation("sem", 4).accumulator(name) for name in ("exact", "published"))
    exact.update(logits, on(labels))
    published.update(logits, on(labels))
    assert exact.compute()["miou"] == pytest.approx(1 / 2)
    assert published.compute()["miou"] == pytest.approx(1 / 4)
    assert exact.compute()["pixel_accuracy"] == pytest.approx(2 / 3)


def test_a_class_that_is_only_predicted_counts():
    confusion = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert float(mean_iou(confusion)) == pytest.approx((2 / 3 + 0) / 2)
    assert float(mean_iou(confusion, "zero")) == pytest.approx((2 / 3) / 3)
    assert math.isnan(float(mean_iou(torch.zeros(3, 3))))


def test_segmentation_takes_float_labels_with_a_channel():
    logits, labels = segmentation_batch(0)
    task = Segmentation("sem", num_classes=5)
    assert torch.equal(task.loss(logits, on(labels.float().unsqueeze(1))), task.loss(logits, on(labels)))


def test_segmentation_of_one_pixel():
    accumulator = Segmentation("sem", num_classes=2).accumulator()
    accumulator.update(torch.tensor([0.0, 2.0]).reshape(1, 2, 1, 1), on(torch.tensor([[[1]]])))
    expected = {"loss": math.log(1 + math.exp(-2)), "miou": 1.0, "pixel_accuracy": 1.0}
    assert accumulator.compute() == pytest.approx(expected)


def test_depth_by_hand():
    prediction = torch.tensor([1.0, 2.0, 9.0, 3.0]).reshape(1, 1, 2, 2)
    target = torch.tensor([2.0, 4.0, 0.0, 3.0]).reshape(1, 1, 2, 2)
    accumulator = Depth("depth").accumulator()
    accumulator.update(prediction, on(target))
    assert accumulator.compute() == pytest.approx({"loss": 1.0, "abs_err": 1.0, "rel_err": (0.5 + 0.5) / 3})
    assert torch.equal(
        Depth("depth").loss(prediction, on(target.squeeze(1))), Depth("depth").loss(prediction, on(target))
    )


def test_the_logarithmic_loss_of_depth_counts_a_pictures_scale_little():
    task = Depth("depth", objective="log")
    target = torch.tensor([1.0, 2.0, 4.0, 0.0]).reshape(1, 1, 2, 2)
    twice = task.loss(2 * target + (target == 0), on(target))
    assert twice.item() == pytest.approx(0.3 * math.log(2))
    turned = target.clone().flatten()[[2, 1, 0, 3]].reshape(1, 1, 2, 2)
    assert task.loss(turned + (target == 0), on(target)).item() == pytest.approx(2 / 3 * math.log(4))
    both = torch.cat([target, target]), torch.cat([target, torch.zeros_like(target)])
    assert task.loss(both[0], on(both[1])).item() == 0
    with pytest.raises(UserError, match=r"objective is 'l2'; expected 'l1' or 'log'"):
        Depth("depth", objective="l2")


def test_depth_averages_pixels_exactly_or_batches_as_published():
    first = (torch.zeros(1, 1, 1, 3), torch.full((1, 1, 1, 3), 1.0))
    second = (torch.zeros(1, 1, 1, 3), torch.tensor([5.0, 0.0, 0.0]).reshape(1, 1, 1, 3))
    values = {}
    for convention in ("exact", "published"):
        accumulator = Depth("depth").accumulator(convention)
        accumulator.update(*pair(first))
        accumulator.update(*pair(second))
        values[convention] = accumulator.compute()
    assert values["exact"]["abs_err"] == pytest.approx((3 * 1 + 5) / 4)
    assert values["published"]["abs_err"] == pytest.approx((1 + 5) / 2)


def test_unknown_pixels_send_no_gradient():
    prediction, target = depth_batch(0)
    target[0, 0, 0, 0] = math.nan
    prediction.requires_grad_()
    Depth("depth").loss(prediction, on(target)).backward()
    unknown = torch.isnan(target) | (target == 0)
    assert (prediction.grad[unknown] == 0).all()
    assert (prediction.grad[~unknown] != 0).all()


def test_normals_by_hand():
    # Angles 0°, 90°, 180° and one unknown pixel; the third target's components sum to 0 and still it counts.
    target = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, -1, 0], [0, 0, 0]]).T.reshape(1, 3, 2, 2)
    prediction = torch.tensor([[5.0, 0, 0], [0, 0, 2], [-3, 3, 0], [1, 1, 1]]).T.reshape(1, 3, 2, 2)
    accumulator = Normals("normal").accumulator()
    accumulator.update(prediction, on(target))
    expected = {
        "loss": (0 + 2 + 2 * math.sqrt(2)) / 3,
        "mean_angle": 90.0,
        "median_angle": 90.0,
        "within_11.25": 1 / 3,
        "within_22.5": 1 / 3,
        "within_30": 1 / 3,
    }
    assert accumulator.compute() == pytest.approx(expected, rel=1e-6)
    assert float(Normals("normal", "cosine").loss(prediction, on(target))) == pytest.approx((0 + 1 + 2) / 3)


def test_normals_median_is_that_of_the_split():
    accumulator, angles = Normals("normal").accumulator(), []
    for seed in range(4):
        prediction, target = normals_batch(seed)
        accumulator.update(prediction, on(target))
        known = target.norm(dim=1) > 0
        cosine = F.cosine_similarity(prediction.double(), target.double(), dim=1)
        angles.append(torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))[known])
    values, angles = accumulator.compute(), torch.cat(angles)
    assert values["median_angle"] == pytest.approx(float(np.median(angles)), abs=0.011)
    assert values["mean_angle"] == pytest.approx(float(angles.mean()), rel=1e-5)
    assert values["within_22.5"] == pytest.approx(float((angles < 22.5).double().mean()))


@pytest.mark.parametrize("degrees", [0.0, 0.01, 0.5, 11.2, 90.0, 179.99])
def test_small_angles_keep_their_digits_in_single_precision(degrees):
    target = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)
    turned = [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0]
    accumulator = Normals("normal").accumulator()
    accumulator.update(torch.tensor(turned).reshape(1, 3, 1, 1), on(target))
    assert accumulator.compute()["mean_angle"] == pytest.approx(degrees, abs=1e-4)
    assert accumulator.compute()["median_angle"] == pytest.approx(degrees, abs=0.0051)


@pytest.mark.parametrize("objective", ["l1", "cosine"])
def test_a_prediction_of_length_zero_has_a_finite_gradient_and_is_90_degrees_off(objective):
    task = Normals("normal", objective)
    prediction = torch.zeros(1, 3, 2, 2, requires_grad=True)
    target = torch.tensor([0.0, 0.6, 0.8]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    task.loss(prediction, on(target)).backward()
    assert torch.isfinite(prediction.grad).all()
    accumulator = task.accumulator()
    accumulator.update(prediction, on(target))
    assert accumulator.compute()["mean_angle"] == pytest.approx(90)


@pytest.mark.parametrize("values", [[3], [0, 4], [1, 1, 5], [2, 7, 7, 9], [0, 0, 0, 6, 6, 6]])
def test_histogram_median_is_the_median(values):
    histogram = torch.bincount(torch.tensor(values), minlength=12)
    assert float(histogram_median(histogram)) == pytest.approx(np.median(values))


def test_classification_equals_torchmetrics():
    logits, labels = classification_batch(0, batch=40)
    accumulator = Classification("digit", num_classes=4).accumulator()
    accumulator.update(logits, on(labels))
    expected = tm.accuracy(logits, labels, task="multiclass", num_classes=4, average="micro")
    assert accumulator.compute()["accuracy"] == pytest.approx(float(expected))
    assert accumulator.compute()["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6)


def test_classification_ignores_missing_labels_and_takes_columns():
    logits, labels = classification_batch(0)
    task = Classification("digit", num_classes=4)
    missing = torch.cat([labels, torch.tensor([-1])])
    padded = torch.cat([logits, torch.full((1, 4), 9.0)])
    assert torch.allclose(task.loss(padded, on(missing)), task.loss(logits, on(labels)))
    assert torch.equal(task.loss(logits, on(labels.float().unsqueeze(1))), task.loss(logits, on(labels)))


@pytest.mark.parametrize(("objective", "reference"), [("mse", F.mse_loss), ("huber", F.huber_loss), ("l1", F.l1_loss)])
def test_regression_losses_equal_torchs_with_their_gradients(objective, reference):
    prediction, target = regression_batch(0)
    ours, theirs = prediction.clone().requires_grad_(), prediction.clone().requires_grad_()
    loss, expected = Regression("torque", objective).loss(ours, on(target)), reference(theirs[:, 0], target)
    loss.backward()
    expected.backward()
    assert torch.allclose(loss, expected)
    assert torch.allclose(ours.grad, theirs.grad)


def test_regression_reports_in_its_unit_and_skips_unknown_targets():
    task = Regression("age", objective="l1", unit="years", scale=20.0)
    accumulator = task.accumulator()
    accumulator.update(torch.tensor([[0.0], [1.0], [5.0]]), on(torch.tensor([[0.5], [0.0], [math.nan]])))
    assert accumulator.compute() == pytest.approx({"loss": 0.75, "mae": 15.0, "mse": (100 + 400) / 2})
    assert [metric.unit for metric in task.metrics] == ["years", "years²"]


@pytest.mark.parametrize("make", [lambda: Normals("n", objective="dot"), lambda: Regression("r", objective="mae")])
def test_unknown_objectives_are_rejected(make):
    with pytest.raises(UserError, match=r"objective is .*expected"):
        make()


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        (Metric("accuracy", "accuracy", "%", True), 0.9547, "95.5 %"),
        (Metric("mean_angle", "mean angle", "°", False), 12.3456, "12.35 °"),
        (Metric("abs_err", "absolute error", "", False), 0.01409, "0.01409"),
    ],
)
def test_metrics_are_written_with_their_unit(metric, value, text):
    assert metric.format(value) == text


def reference(kind: str, batches: list, classes: int, published: bool) -> dict[str, float]:
    """Loss and metrics in NumPy from their definitions, pixel by pixel; ``published`` averages batches."""
    if kind == "segmentation":
        pairs, losses = [], []
        for logits, labels in batches:
            rows = logits.numpy().astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, classes)
            wanted = labels.numpy().reshape(-1)
            known = wanted >= 0
            rows, wanted = rows[known], wanted[known]
            log_sum = np.log(np.exp(rows).sum(1))
            losses.append(log_sum - rows[np.arange(len(rows)), wanted])
            pairs.append(np.stack([wanted, rows.argmax(1)]))
        wanted, found = np.concatenate(pairs, 1)
        ratios = []
        for c in range(classes):
            union = ((wanted == c) | (found == c)).sum()
            if union or published:
                ratios.append(((wanted == c) & (found == c)).sum() / max(union, 1))
        values = {"loss": losses}
        rest = {"miou": np.mean(ratios), "pixel_accuracy": np.mean(wanted == found)}
    elif kind == "depth":
        values = {"abs_err": [], "rel_err": []}
        for prediction, target in batches:
            known = target.numpy() != 0
            error = np.abs(prediction.numpy().astype(np.float64) - target.numpy())[known]
            values["abs_err"].append(error)
            values["rel_err"].append(error / target.numpy()[known])
        values["loss"], rest = values["abs_err"], {}
    else:
        values = {"loss": [], "angle": []}
        for prediction, target in batches:
            ours, theirs = (
                t.numpy().astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 3) for t in (prediction, target)
            )
            known = np.linalg.norm(theirs, axis=1) > 0
            ours, theirs = (v[known] / np.linalg.norm(v[known], axis=1, keepdims=True) for v in (ours, theirs))
            values["loss"].append(np.abs(ours - theirs).sum(1))
            values["angle"].append(np.degrees(np.arccos(np.clip((ours * theirs).sum(1), -1, 1))))
        angles = values.pop("angle")
        values |= {"mean_angle": angles, **{f"within_{t:g}": [a < t for a in angles] for t in (11.25, 22.5, 30)}}
        median = np.mean([np.median(a) for a in angles]) if published else np.median(np.concatenate(angles))
        rest = {"median_angle": median}
    if published:
        return rest | {name: np.mean([part.mean() for part in parts]) for name, parts in values.items()}
    return rest | {name: np.concatenate(parts).mean() for name, parts in values.items()}


DENSE = {"segmentation": (Segmentation("s", 5), segmentation_batch), "depth": (Depth("d"), depth_batch)}
DENSE["normals"] = (Normals("n"), normals_batch)


@pytest.mark.parametrize("convention", ["exact", "published"])
@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("seed", range(3))
def test_dense_metrics_equal_their_definitions_over_uneven_batches(kind, seed, convention):
    task, make = DENSE[kind]
    batches = [make(10 * seed + i, batch=size) for i, size in enumerate((4, 4, 1))]
    if kind == "segmentation":  # class 4 is neither there nor predicted
        for logits, labels in batches:
            logits[:, 4] = -50
            labels[labels == 4] = 0
    accumulator = task.accumulator(convention)
    for batch in batches:
        accumulator.update(*pair(batch))
    found = accumulator.compute()
    expected = reference(kind, batches, 5, convention == "published")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5, abs=0.006 if name == "median_angle" else 1e-9), name


def test_images_of_one_pixel():
    depth, normals = Depth("d").accumulator(), Normals("n").accumulator()
    depth.update(torch.full((1, 1, 1, 1), 3.0), on(torch.full((1, 1, 1, 1), 2.0)))
    assert depth.compute() == pytest.approx({"loss": 1, "abs_err": 1, "rel_err": 0.5})
    normals.update(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), on(torch.tensor([0.0, 0, 2]).view(1, 3, 1, 1)))
    found = normals.compute()
    assert found == pytest.approx({**dict.fromkeys(found, 0), "loss": 2, "mean_angle": 90, "median_angle": 90})


LABELLED = [(Classification, (4,)), (Segmentation, (2, 3, 3))]
OUT_OF_RANGE = [
    *((255, -1, torch.int64), (255, -1, torch.uint8), (-1, 255, torch.int64), (-2, -1, torch.int32)),
    *((5, -1, torch.int64), (6, 5, torch.int64), (1.5, -1, torch.float32), (math.nan, -1, torch.float32)),
]


@pytest.mark.parametrize(("kind", "shape"), LABELLED)
@pytest.mark.parametrize(("label", "ignore_index", "dtype"), OUT_OF_RANGE)
def test_a_label_that_is_no_class_is_named_with_its_task(kind, shape, label, ignore_index, dtype):
    task = kind("sem", num_classes=5, ignore_index=ignore_index)
    target = torch.full(shape, 2, dtype=dtype)
    target.view(-1)[1] = label
    prediction = torch.randn(shape[0], 5, *shape[1:])
    wanted = rf"'sem'.*label {label:g};.*ignore_index {ignore_index}"
    for use in (task.loss, task.terms, task.sums, task.accumulator().update, lambda _, found: task.check(found)):
        with pytest.raises(UserError, match=wanted):
            use(prediction, on(target))


@pytest.mark.parametrize(("kind", "shape"), LABELLED)
@pytest.mark.parametrize("ignore_index", [-1, -100, 0, 3, 5, 255])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int32, torch.float32])
def test_every_class_and_the_ignored_label_are_taken(kind, shape, ignore_index, dtype):
    if ignore_index < 0 and dtype == torch.uint8:
        pytest.skip("a byte has no such value")
    task = kind("sem", num_classes=5, ignore_index=ignore_index)
    for label in (*range(5), ignore_index):
        task.check(on(torch.full(shape, label, dtype=dtype)))
    task.check(on(torch.zeros(0)))


def test_on_a_gpu_a_label_that_is_no_class_makes_the_loss_nan_and_asserts_nothing():
    logits, labels = torch.randn(6, 5), torch.tensor([0, 4, -1, 2, 3, 1])
    expected = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    assert torch.equal(_tensors._poisoned_cross_entropy(logits, labels, -1), expected)
    for label in (5, 255, -2):
        assert _tensors._poisoned_cross_entropy(logits, labels.index_fill(0, torch.tensor(3), label), -1).isnan()


# -- further kinds ----------------------------------------------------------------------------------------------------
def values_of(task, *batches):
    accumulator = task.accumulator()
    for prediction, target in batches:
        accumulator.update(prediction, on(target))
    return accumulator.compute()


def test_multilabel_equals_torchmetrics():
    found = [multilabel_batch(seed, 40) for seed in range(2)]
    values = values_of(MultiLabel("m", 5), *found)
    logits, labels = (torch.cat(parts) for parts in zip(*found))
    shared = {"num_labels": 5, "ignore_index": -1}
    for name, function in (("f1", tm.classification.multilabel_f1_score), ("x", tm.classification.multilabel_accuracy)):
        for average in ("macro", "micro"):
            key = f"{average}_{name}" if name == "f1" else "label_accuracy" if average == "micro" else None
            if key:
                expected = float(function(logits.sigmoid(), labels, average=average, **shared))
                assert values[key] == pytest.approx(expected, abs=1e-6)
    known = labels != -1
    loss = F.binary_cross_entropy_with_logits(logits[known], labels[known].float())
    assert values["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_ordinal_equals_torchmetrics():
    found = [ordinal_batch(seed, 40) for seed in range(2)]
    task = Ordinal("o", 4)
    values = values_of(task, *found)
    logits, grades = (torch.cat(parts) for parts in zip(*found))
    said = task.grades(logits)
    kappa = tm.classification.multiclass_cohen_kappa(said, grades, num_classes=4, weights="quadratic")
    assert values["kappa"] == pytest.approx(float(kappa), abs=1e-6)
    assert values["mae"] == pytest.approx(float(tm.mean_absolute_error(said.float(), grades.float())), abs=1e-6)
    assert values["accuracy"] == pytest.approx(float((said == grades).float().mean()), abs=1e-6)
    by_hand = sum(F.binary_cross_entropy_with_logits(logits[:, k], (grades > k).float()) for k in range(3))
    assert values["loss"] == pytest.approx(float(by_hand), rel=1e-5)


def test_quantiles_by_hand_and_the_best_constant_is_theirs():
    task = Quantile("q", (0.1, 0.5, 0.9))
    prediction, target = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]]), torch.tensor([2.5, 3.0])
    losses = [0.1 * 1.5, 0.5 * 0.5, 0.1 * 0.5, 0.1 * 3, 0.5 * 2, 0.9 * 1]
    expected = {"loss": sum(losses) / 6, "mae": (0.5 + 2) / 2, "coverage_gap": abs(0.5 - 0.8)}
    assert values_of(task, (prediction, target)) == pytest.approx(expected, rel=1e-5)
    many = torch.randn(4001, generator=torch.Generator().manual_seed(0))
    best = task.chance(many)
    assert best["coverage_gap"] < 0.001
    for moved in (-0.2, 0.2):
        assert task.score(task.constant_answer(many) + moved, many)["loss"] > best["loss"]


def test_key_points_by_hand():
    task = KeyPoints("k", 2, near=0.1)
    target = torch.tensor([[[0.5, 0.5], [torch.nan, 0.5]]])
    values = values_of(task, (torch.tensor([[0.53, 0.54, 9.0, 9.0]]), target))
    assert values == pytest.approx({"loss": 0.07, "distance": 0.05, "found": 1.0}, rel=1e-4)
    values = values_of(task, (torch.tensor([[[0.5, 0.7], [0.0, 0.0]]]), target))
    assert values == pytest.approx({"loss": 0.2, "distance": 0.2, "found": 0.0}, rel=1e-4)
    assert task.effect(torch.zeros(1, 4), torch.tensor([[0.3, 0.4, 0.0, 0.0]])).tolist() == pytest.approx([0.25])


def test_tokens_equal_torchmetrics():
    found = [tokens_batch(seed, 20) for seed in range(2)]
    values = values_of(Tokens("t", 4), *found)
    logits, labels = (torch.cat([part.flatten(0, 1) for part in parts]) for parts in zip(*found))
    shared = {"num_classes": 4, "ignore_index": -100}
    f1 = tm.classification.multiclass_f1_score(logits, labels, average="macro", **shared)
    accuracy = tm.classification.multiclass_accuracy(logits, labels, average="micro", **shared)
    assert values["macro_f1"] == pytest.approx(float(f1), abs=1e-6)
    assert values["token_accuracy"] == pytest.approx(float(accuracy), abs=1e-6)
    assert values["loss"] == pytest.approx(float(F.cross_entropy(logits, labels, ignore_index=-100)), rel=1e-5)


@pytest.mark.parametrize(("task", "make"), CASES, ids=lambda value: getattr(value, "kind", ""))
def test_chance_is_finite_and_a_prediction_has_no_effect_on_itself(task, make):
    prediction, target = make(3)
    assert all(math.isfinite(value) for value in task.chance(target).values())
    assert int(task._count(target)) == int(task._terms(prediction, target)[1])
    assert task.effect(prediction, prediction).tolist() == pytest.approx([0] * len(prediction), abs=0.05)
    assert task.agrees(prediction, prediction) and task.effect(prediction, -prediction - 1).mean() > 0


@pytest.mark.parametrize(
    ("task", "target", "label"),
    [(MultiLabel("m", 2), [[0, 2]], 2), (Ordinal("o", 3), [3], 3), (Tokens("t", 3), [[-1, 0]], -1)],
)
def test_further_kinds_name_a_label_that_is_none(task, target, label):
    with pytest.raises(UserError, match=f"got the label {label}"):
        task._check(torch.tensor(target))


@pytest.mark.parametrize("quantiles", [(), (0.5, 0.1), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5)])
def test_quantiles_rise_between_0_and_1(quantiles):
    with pytest.raises(UserError, match="rising numbers"):
        Quantile("q", quantiles)


def test_a_batch_is_a_pair_as_a_tuple_or_as_the_list_that_a_loader_makes():
    task, outputs, targets = Regression("y"), {"y": torch.ones(3, 1)}, {"y": torch.zeros(3, 1)}
    assert task.loss(outputs, [None, targets]) == task.loss(outputs, (None, targets)) > 0
    with pytest.raises(UserError, match=r"'y' expects a batch \(inputs, targets\), found"):
        task.loss(outputs, [None, targets, targets])
