"""The bootstrap: figures of a resampled split are those of evaluating it; draws are shared by all preferences."""

import numpy as np
import pytest
import torch

from palora_core.data import ArraySplit
from palora_core.errors import UserError
from palora_core.evaluation.bootstrap import bootstrap, item_sums
from palora_core.tasks import Classification, Regression, Segmentation

GRID = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def problem(count: int = 24, seed: int = 0):
    """A split whose inputs are logits: at λ they are spoilt by noise that task t has less of towards its corner."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, 6, 6, generator=generator)
    labels = torch.randn(count, 4, 6, 6, generator=generator).argmax(1)
    labels[0, :2] = 255  # not everything is labelled
    values = x.mean((1, 2, 3))[:, None]
    split = ArraySplit(x, {"seg": labels, "value": values, "class": labels[:, 0, 0] % 3})
    objectives = (
        Segmentation("seg", 4, ignore_index=255),
        Regression("value"),
        Classification("class", 3, ignore_index=255),
    )

    def predict(batch, preference):
        x, noise = batch[0], torch.sin(37 * batch[0])
        right = torch.nn.functional.one_hot(batch[1]["seg"].clamp(max=3), 4).movedim(-1, 1).float()
        return {
            "seg": right * preference[0] + noise,
            "value": x.mean((1, 2, 3))[:, None] + (1 - preference[1]) * noise.mean((1, 2, 3))[:, None],
            "class": noise[:, :3, 0, 0] + preference[0],
        }

    return split, objectives, predict


def evaluated(split, objectives, predict, preference, items):
    found = {}
    batch = split.batch(torch.as_tensor(items))
    for objective in objectives:
        accumulator = objective.accumulator()
        accumulator.update(predict(batch, preference), batch)
        found |= {f"{objective.name}/{name}": value for name, value in accumulator.compute().items()}
    return found


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_a_resampled_split_is_evaluated_exactly(batch_size):
    split, objectives, predict = problem()
    found = bootstrap(predict, split, objectives, GRID, rounds=5, batch_size=batch_size, seed=3)
    draws = np.random.default_rng(3).multinomial(24, np.full(24, 1 / 24), size=5)
    for k, preference in enumerate(GRID):
        for r, draw in enumerate(draws):
            for key, value in evaluated(split, objectives, predict, preference, np.repeat(np.arange(24), draw)).items():
                assert found.figures[key][k, r] == pytest.approx(value, rel=1e-5, nan_ok=True), key
        for key, value in evaluated(split, objectives, predict, preference, np.arange(24)).items():
            assert found.whole[key][k] == pytest.approx(value, rel=1e-5)


def test_bands_hold_the_figure_and_probabilities_are_paired():
    split, objectives, predict = problem(48)
    found = bootstrap(predict, split, objectives, GRID, rounds=200)
    for key, whole in found.whole.items():
        low, high = found.band(key)
        assert (low <= whole + 1e-9).all() and (whole <= high + 1e-9).all(), key
    assert found.better("seg/miou", 0, 2, True) == 1.0 and found.better("seg/miou", 2, 0, True) == 0.0
    assert found.better("seg/miou", 1, 1, True) == 0.5, "the same network is as often better as worse"
    assert found.better("value/loss", 2, 0, False) > 0.95
    for a in range(3):
        for b in range(3):
            assert found.better("value/loss", a, b, False) + found.better("value/loss", b, a, False) == pytest.approx(1)


def test_bands_shrink_with_the_root_of_the_items():
    widths = []
    for count in (24, 216):
        split, objectives, predict = problem(count)
        low, high = bootstrap(predict, split, objectives, GRID[1:2], rounds=200).band("seg/pixel_accuracy")
        widths.append(float(high[0] - low[0]))
    assert 1.8 < widths[0] / widths[1] < 5, "three times, were there no chance in it"


def test_sums_are_of_every_item_in_order():
    split, objectives, predict = problem(10)
    sums = item_sums(predict, split, objectives, GRID, 10, batch_size=4)
    assert len(sums) == 3 and {len(rows) for per in sums for one in per for rows in one.values()} == {10}


def test_a_handful_is_too_few():
    split, objectives, predict = problem(7)
    with pytest.raises(UserError, match=r"7 items to resample; a bootstrap needs at least 8"):
        bootstrap(predict, split, objectives, GRID)
