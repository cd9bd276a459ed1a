"""Tuning: one budget for all methods, judged on the validation split, the published setting among the trials."""

import json

import pytest

from palora_core.commands import main, tune
from palora_core.config import options
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.storage.runs import Run
from palora_core.tuning import chosen, trials, validation_score


def test_every_method_has_the_same_budget_and_begins_as_published():
    for name in methods.names():
        found = trials(name, 3e-3, 6)
        assert len(found) == 6 and found[0] == {"lr": "0.003"}
        assert [row["lr"] for row in found] == [row["lr"] for row in trials("ls", 3e-3, 6)]
        assert all(3e-4 <= float(row["lr"]) <= 3e-2 for row in found)
        assert trials(name, 3e-3, 6) == found, "another worker has the same list"


@pytest.mark.parametrize("name", methods.names())
def test_decisive_options_are_options_of_the_method(name):
    method = methods.get(name)()
    known = {option.path for option in options(method)} | {option.name for option in options(method)}
    assert set(methods.get(name).decisive) <= known


def test_the_score_is_that_of_the_last_validation_front(tmp_path):
    run = Run(tmp_path)
    with pytest.raises(UserError, match=r"no front on the validation split"):
        validation_score(tmp_path)
    for split, volume, spearman in (("val", 0.5, [-1, -0.5]), ("val", 0.7, [-0.9, None]), ("test", 0.9, [-1, -1])):
        told = {"preferences": [], "objectives": [], "metrics": {}}
        run.event("front", step=1, epoch=1, split=split, hypervolume=volume, spearman=spearman, **told)
    assert validation_score(tmp_path) == (0.7, 0.0)


def test_the_best_trial_is_chosen_and_the_published_one_told():
    rows = [
        {"settings": {"lr": "0.001"}, "hypervolume": 0.4},
        {"settings": {"lr": "0.004", "alpha": "5"}, "hypervolume": 0.6},
    ]
    found = chosen(rows, 1e-3)
    assert (found["settings"], found["validation"], found["published"]) == ({"lr": "0.004", "alpha": "5"}, 0.6, 0.4)
    with pytest.raises(UserError, match=r"None of the trials"):
        chosen([], 1e-3)


def test_the_chosen_settings_are_what_is_trained_with_all_seeds(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    asked, trained = [], []

    def train(args, method, point, folder):
        folder.mkdir(parents=True)
        told = {"preferences": [], "objectives": [], "metrics": {}, "spearman": [-1.0, -1.0]}
        volume = 1 - abs(float(point["lr"]) - 0.005) + 0.1 * (point.get("alpha") == "5")
        Run(folder).event("front", step=1, epoch=1, split="val", hypervolume=volume, **told)
        asked.append((method, dict(point)))
        return 0

    monkeypatch.setattr(tune, "_train", train)
    monkeypatch.setattr(tune.reproduce, "run", lambda args: trained.append(args) or 0)
    words = ["tune", "fairness", "--methods", "palora", "ls", "--trials", "6", "--out", str(tmp_path / "tuned")]
    assert main(words) == 0
    assert len(asked) == 12 and asked[0] == ("palora", {"lr": "0.003"})
    told = json.loads((tmp_path / "tuned" / "tuned.json").read_text())["methods"]
    for name, one in told.items():
        own = [point for method, point in asked if method == name]
        volumes = [1 - abs(float(p["lr"]) - 0.005) + 0.1 * (p.get("alpha") == "5") for p in own]
        assert one["settings"] == own[volumes.index(max(volumes))]
        assert one["validation"] == pytest.approx(max(volumes)) and one["published"] == pytest.approx(volumes[0])
    (args,) = trained
    assert args.methods[1] == f"ls:lr={told['ls']['settings']['lr']}" and args.seeds == [0, 1, 2]
    assert args.methods[0].startswith("palora:") and "+" in args.methods[0]
    assert main(words) == 0 and len(asked) == 12, "nothing is tried twice"


@pytest.mark.slow
def test_the_command_tunes_trains_and_goes_on(tmp_path):
    pytest.importorskip("optuna")
    out = tmp_path / "tuned"
    words = ["tune", "fairness", "--methods", "palora", "ls", "--trials", "2", "--seeds", "0", "--epochs", "1"]
    words += ["--out", str(out), "--table", str(tmp_path / "table"), "--set", "samples=2"]
    assert main(words) == 0
    told = json.loads((out / "tuned.json").read_text())["methods"]
    assert set(told) == {"palora", "ls"} and all(one["trials"] == 2 for one in told.values())
    assert all(one["validation"] >= one["published"] for one in told.values())
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert {row["method"] for row in rows} == {"palora", "ls"}
    before = (out / "trials" / "palora" / "journal.log").read_text()
    assert main(words) == 0, "again: nothing is left to train"
    assert (out / "trials" / "palora" / "journal.log").read_text() == before
