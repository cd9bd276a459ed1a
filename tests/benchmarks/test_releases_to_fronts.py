"""Every benchmark: release on disk → prepared → two training steps → front and card."""

import json
from pathlib import Path

import pytest
import releases
import torch

from palora_core import simplex
from palora_core.benchmarks.base import benchmarks
from palora_core.checkpoint import load
from palora_core.evaluation.front import Front
from palora_core.preparation.base import preparers
from palora_core.storage.runs import Run
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

SMALL = {"width": 0.0625}
FACES = {"width": 0.25}
# name → (release writers, settings, tasks)
CASES = {
    "cityscapes": (releases.cityscapes, SMALL, ("segmentation", "depth")),
    "cityscapes (MTAN)": (releases.cityscapes_mtan, {**SMALL, "num_classes": 19}, ("segmentation", "depth")),
    "nyuv2": (
        releases.nyuv2,
        {**SMALL, "num_classes": 40, "num_preferences": 1, "epochs": 1},
        ("segmentation", "depth", "normals"),
    ),
    "nyuv2 (MTAN)": (releases.nyuv2_mtan, SMALL, ("segmentation", "depth", "normals")),
    "utkface": (releases.utkface, FACES, ("age", "gender", "race")),
    "sarcos": (releases.sarcos, {}, tuple(f"torque_{i}" for i in range(1, 8))),
    "census": (releases.census, {}, ("age", "education")),
    "adult": (releases.adult, {}, ("income", "never_married")),
}
POINTS = {2: 11, 3: 3, 7: 71}


def trained(name: str, release, settings: dict, folder: Path, method: str = "palora") -> Trainer:
    preparers.get(name)().prepare(release(folder / "raw"), folder / "data")
    steps = {
        "epochs": 2,
        "batch_size": 2,
        "samples": 2,
        "front_points": 2,
        "evaluate_every": 0,
        "num_preferences": 2,
        "rank": 1,
    }
    steps |= {"batch_norm": "running", "eval_batch_size": 8, **settings}
    if method == "ls":
        steps = {k: v for k, v in steps.items() if k not in ("rank", "num_preferences")}
    bench, chosen, options = configure(name, method, steps)
    trainer = Trainer(Run(folder / "run"), bench.problem(folder / "data"), chosen, options, device="cpu")
    trainer.start()
    return trainer


@pytest.mark.parametrize("case", CASES)
def test_from_the_release_to_a_front_and_a_card(case, tmp_path, monkeypatch):
    monkeypatch.setitem(simplex._LATTICE_PARTITIONS, 3, 1)  # 3 instead of 66 points, for speed
    release, settings, tasks = CASES[case]
    name = case.partition(" ")[0]
    trained(name, release, settings, tmp_path)
    front = Front.load(tmp_path / "run" / "front.json")
    assert front.tasks == tasks
    assert len(front.preferences) == POINTS[len(tasks)]
    assert torch.isfinite(torch.tensor(front.objectives)).all()
    model, card = load(tmp_path / "run")
    assert [task["name"] for task in card["tasks"]] == list(tasks)
    assert card["citation"]["benchmark"] == benchmarks.get(name).citation
    assert model.num_tasks == len(tasks)


def test_forty_tasks_train_and_are_evaluated(tmp_path):
    trainer = trained("celeba", releases.celeba, FACES, tmp_path, method="ls")
    front = Front.load(tmp_path / "run" / "front.json")
    assert len(front.tasks) == 40
    assert front.objectives.shape == (1, 40)
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert len(card["tasks"]) == 40
    assert trainer.problem.items("train") == 4


@pytest.mark.parametrize(("name", "expected"), [("sarcos", 225_815), ("celeba", 17_294_152), ("utkface", 12_063_468)])
def test_parameter_counts_of_the_paper(name, expected):
    bench, method, _ = configure(name, "palora", {})
    from palora_core.networks.base import networks

    kind, options = bench.network
    model = method.conditioning.condition(networks.get(kind)(**options), len(bench.tasks))
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize(
    "name", ["cityscapes", "nyuv2", "utkface", "sarcos", "celeba", "census", "adult", "real_rooms"]
)
def test_an_unprepared_data_set_names_the_command(name, tmp_path):
    with pytest.raises(ValueError, match=f"palora_core prepare {name} --source DIR --data {tmp_path}"):
        benchmarks.get(name)().load(tmp_path)
