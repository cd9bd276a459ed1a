"""How much λ changes items, and the samples that are chosen by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core import commands, distributed
from palora_core.data import ArraySplit, LoaderSplit, indexable
from palora_core.evaluation.effects import Comparison, by_item, compare, effects
from palora_core.evaluation.evaluate import evaluate, live_network
from palora_core.evaluation.front_sums import FrontSums
from palora_core.serving import LiveNetwork
from palora_core.simplex import evaluation_preferences
from palora_core.sources import as_sources
from palora_core.storage.samples import chosen_rows, load_samples, save_samples
from palora_core.tasks import Classification, Normals, Regression, Segmentation
from palora_core.training.options import TrainingOptions

ROOT = Path(__file__).resolve().parent.parent


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.number, self.classes = nn.Linear(3, 1), nn.Linear(3, 2)

    def forward(self, x):
        return {"number": self.number(x), "class": self.classes(x)}


@pytest.fixture
def measured():
    """A steered network, its objectives, and a split of 40 items."""
    torch.manual_seed(0)
    model = pc.palorize(Two(), num_tasks=2, rank=1, alpha=1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    objectives = (Regression("number"), Classification("class", 2))
    x = torch.randn(40, 3)
    sources = as_sources((x, {"number": x[:, 0], "class": (x[:, 1] > 0).long()}), objectives)
    return live_network(model.eval(), sources), sources, objectives, x


def changes(live, split, objectives, batch_size):
    return compare(live, split, Comparison(dict(enumerate(objectives)), len(objectives)), batch_size).changes()


def test_items_add_up_to_the_effect_of_the_front(measured):
    live, sources, objectives, x = measured
    found = changes(live, sources[0].split, objectives, 16)
    assert found.shape == (40, 2, 2) and (found.diagonal(dim1=1, dim2=2) == 0).all()
    first, second = (live(x, corner)["number"].squeeze(1) for corner in torch.eye(2))
    expected = objectives[0].effect(first[:, None], second[:, None])
    assert torch.allclose(found[:, 0, 1], expected, rtol=1e-5)
    told = effects(live, sources, objectives, 16)
    assert told == pytest.approx({"number": float(expected.mean()), "class": float(found[:, 1, 0].mean())})


class Counted(ArraySplit):
    """Counts the items that are read."""

    def batch(self, indices):
        self.read.append(len(indices))
        return super().batch(indices)


@pytest.fixture
def counted(measured, monkeypatch):
    """evaluate() on a split, with (passes, merges, items read from the split) of it."""
    _, sources, objectives, _ = measured

    def run(model, preferences=None, batch_size=6):
        split = Counted(sources[0].split.inputs, sources[0].split.targets)
        object.__setattr__(split, "read", [])
        passed, merged = [], []
        call, mix = LiveNetwork.__call__, LiveNetwork._mix
        with monkeypatch.context() as patch:
            patch.setattr(LiveNetwork, "_mix", lambda self, weights: (merged.append(weights), mix(self, weights))[1])
            patch.setattr(LiveNetwork, "__call__", lambda self, x, λ: (passed.append(λ), call(self, x, λ))[1])
            patch.setattr(LiveNetwork, "_agrees", lambda self, example, outputs: True)
            front = evaluate(model, split, objectives, (9.0, 9.0), preferences, batch_size)
        return front, (len(passed), len(merged), sum(split.read))

    return run


def test_a_front_compares_what_its_own_passes_gave(measured, counted):
    live, sources, objectives, _ = measured
    front, (passes, merges, items) = counted(live.model)
    assert (passes, items) == (
        11 * 7,
        40 + 2,
    )  # every λ once on each of 7 batches, and two to look at the network
    assert merges <= 11 + 2  # λ by λ; the first batch alone shows how large predictions are
    assert front.effect() == effects(live, sources, objectives, 6)
    plain = evaluate(live.model, sources, objectives, (9.0, 9.0), torch.tensor([[0.5, 0.5]]), 6)
    assert plain.objectives.tolist() == [front.objectives[5].tolist()] and plain.effect() == front.effect()


def test_corners_that_are_no_points_of_a_front_are_passed_for_its_effect_alone(measured, counted):
    live, sources, objectives, _ = measured
    grid = torch.tensor([[0.0, 1.0], [0.3, 0.7], [0.0, 1.0]])
    front, (passes, _, _) = counted(live.model, grid)
    assert passes == (3 + 1) * 7
    assert front.effect() == effects(live, sources, objectives, 6)
    assert front.objectives[0].tolist() == front.objectives[2].tolist()


@pytest.mark.parametrize("kept", [1, 300, 2**20])
@pytest.mark.parametrize("most", [1, 13, 2048])
def test_the_effect_is_the_same_however_little_is_kept_and_ends_with_the_items_asked_for(
    measured, counted, monkeypatch, kept, most
):
    live, _, objectives, x = measured
    monkeypatch.setattr("palora_core.evaluation.effects.KEPT_BYTES", kept)
    monkeypatch.setattr(Comparison.__init__, "__defaults__", (most,))
    front, (passes, _, _) = counted(live.model)
    assert passes == 11 * 7
    first, second = (live(x[:most], corner) for corner in torch.eye(2))
    assert front.effect() == pytest.approx(
        {task.name: float(task.effect(first[task.name], second[task.name]).mean()) for task in objectives}
    )


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_take_turns_and_the_front_is_that_of_one_process(measured, monkeypatch, ranks):
    live, sources, objectives, _ = measured
    whole = evaluate(live.model, sources, objectives, (9.0, 9.0), None, 6)
    monkeypatch.setattr(distributed, "world_size", lambda: ranks)
    points, parts = [], []
    with monkeypatch.context() as patch:
        patch.setattr(distributed, "gathered", lambda items: list(items))
        for rank in range(ranks):
            patch.setattr(distributed, "rank", lambda rank=rank: rank)
            sums = FrontSums(live, sources, objectives, evaluation_preferences(2), "exact", compared=True)
            sums.add(6)
            points += sums.compute()
            parts.append(sums._comparisons[0]._found)
    assert [[one["loss"] for one in row] for row in points] == whole.objectives.tolist()
    assert all(len(part) in (7 // ranks, 7 // ranks + 1) for part in parts)
    monkeypatch.setattr(distributed, "gathered", lambda items: [part for every in reversed(parts) for part in every])
    assert sums.effects() == whole.effect()


def test_every_task_counts_in_multiples_of_its_mean(measured):
    live, sources, objectives, _ = measured
    score = by_item(live, sources[0].split, objectives, 7)
    found = changes(live, sources[0].split, objectives, 40)
    number, classes = found[:, 0, 1], found[:, 1, 0]
    assert torch.allclose(score, number / number.mean() + classes / classes.mean(), rtol=1e-4)
    assert float(score.mean()) == pytest.approx(2, rel=1e-4)
    penalty = pc.objective("penalty", lambda outputs, batch: outputs["number"].mean())
    assert by_item(live, sources[0].split, (penalty,), 7).numel() == 0


def test_half_of_the_samples_are_those_that_change_most_and_half_are_as_they_come(tmp_path):
    effect = torch.tensor([9.0, 0, 3, 1, 7, 0, 5, 5])
    assert (chosen_rows(effect, 6, 8)[0].tolist(), chosen_rows(effect, 6, 8)[1]) == ([4, 6, 7, 0, 1, 2], 3)
    assert chosen_rows(torch.zeros(8), 4, 8)[0].tolist() == [0, 1, 2, 3] and chosen_rows(torch.zeros(8), 4, 8)[1] == 0
    assert chosen_rows(effect, 20, 8)[0].tolist() == [4, 6, 7, 0, 1, 2, 3, 5]
    split = ArraySplit(np.arange(8), {"t": np.arange(8)})
    save_samples(tmp_path / "s.npz", split, 6, effect)
    found = load_samples(tmp_path / "s.npz", None)
    assert found.chosen == 3 and found.inputs.tolist() == [4, 6, 7, 0, 1, 2]
    assert found.plain is not None and found.plain.inputs.tolist() == [0, 1, 2]
    with np.load(tmp_path / "s.npz") as stored:
        assert stored["effect"].tolist() == [7, 5, 5, 9, 0, 3] and stored["chosen"].tolist() == [True] * 3 + [False] * 3


def test_items_of_a_loader_are_those_of_its_first_batch(tmp_path):
    loader = LoaderSplit([(torch.arange(4.0), {"t": torch.arange(4)}), (torch.arange(9.0), {"t": torch.arange(9)})])
    found = indexable(loader)
    save_samples(tmp_path / "s.npz", found, 4, torch.tensor([0.0, 0, 1, 2]))
    assert load_samples(tmp_path / "s.npz", None).inputs.tolist() == [3, 2, 0, 1]


def test_effects_are_told_in_their_own_unit():
    assert Classification("a", 2).effect_told(0.314) == "31.4 % of answers"
    assert Segmentation("a", 2).effect_told(0.07) == "7.0 % of pixels"
    assert Regression("a").effect_told(0.1234) == "by 12.3 %"
    assert Normals("a").effect_told(8.7807) == "by 8.78 °"


def test_the_command_measures_a_model_again(tmp_path, capsys):
    folder = shutil.copytree(ROOT / "trained_models" / "fairness-2", tmp_path / "model")
    for name in ("card.json", "front.json"):
        data = json.loads((folder / name).read_text())
        (data["front"] if name == "card.json" else data)["effect"] = {"income": 0.5}
        (folder / name).write_text(json.dumps(data))
    (folder / "samples.npz").unlink()
    assert commands.run("effect", [str(folder), "--device", "cpu"], "palora effect") == 0
    assert "model: income" in capsys.readouterr().out
    front, card = pc.Front.load(folder / "front.json"), json.loads((folder / "card.json").read_text())
    assert 0 < front.effect()["income"] < 0.5 and card["front"]["effect"] == front.effect()
    samples = load_samples(folder / "samples.npz", None)
    assert len(samples) == TrainingOptions().samples and samples.chosen == len(samples) // 2


def test_shipped_samples_are_what_the_rule_chooses():
    """Of the models whose data travel with the project: nobody chose by hand."""
    from palora_core.checkpoint import benchmark_of

    for name in ("fairness", "fairness-2"):
        model, card = pc.load(ROOT / "trained_models" / name)
        benchmark = benchmark_of(card)
        problem = benchmark.problem()
        live = live_network(model, problem.sources["test"])
        split = problem.sources["test"][0].split
        stored = load_samples(ROOT / "trained_models" / name / "samples.npz", None)
        rows, chosen = chosen_rows(by_item(live, split, problem.objectives, 4096), len(stored), len(split))
        assert (stored.chosen, stored.inputs.tolist()) == (chosen, split.raw(rows)[0].tolist())
