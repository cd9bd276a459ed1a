import json
import shutil
from pathlib import Path

import pytest

from app.library import leaderboards, models
from app.library.models import ModelRegistry
from app.library.series import series, shown_first
from app.pictures.uploads import UploadStore
from app.serving.inference import Inference
from palora_core.errors import UserError
from palora_core.storage.samples import save_samples
from tests.app import toy

ROOT = Path(__file__).resolve().parents[2]


def test_lists_shipped_models_then_runs(model_root, run_root):
    registry = ModelRegistry(model_root, run_root)
    entries = {entry.id: entry for entry in registry.entries()}
    assert list(entries)[-1] == "run:first" and "run:begun" not in entries
    assert entries["three"].title == "Toy rooms, three tasks" and entries["three"].problem is None
    assert entries["run:first"].is_run and entries["empty"].problem


@pytest.mark.parametrize("model_id", ["", "nope", "../three", "/etc", "three/../three", "run:../first", "run:begun"])
def test_only_listed_names_are_models(model_root, run_root, model_id):
    with pytest.raises(UserError, match="not \\(or no longer\\) here"):
        ModelRegistry(model_root, run_root).get(model_id)


@pytest.mark.parametrize("model_id", ["damaged", "empty"])
def test_unusable_models_get_a_sentence_without_paths(model_root, run_root, model_id):
    with pytest.raises(UserError) as caught:
        ModelRegistry(model_root, run_root).get(model_id)
    assert "\n" not in str(caught.value) and str(model_root) not in str(caught.value)


def test_models_without_samples_or_front_load_and_say_so(model_root, run_root):
    loaded = ModelRegistry(model_root, run_root).get("bare")
    assert loaded.samples is None and loaded.front is None and len(loaded.problems) == 2


def test_loaded_models_are_kept_and_reloaded_when_files_change(tmp_path, run_root):
    folder = toy.make_model(tmp_path / "one", toy.Toy("dense", 1), "One", samples=2)
    registry = ModelRegistry(tmp_path, run_root)
    first = registry.get("one")
    assert registry.get("one") is first
    (folder / "front.json").write_text("{}")
    registry._listed = (-1e9, registry._listed[1])
    again = registry.get("one")
    assert again is not first and again.front is None and "front" in again.problems[0]


def test_new_and_deleted_models_are_noticed(tmp_path, run_root):
    registry = ModelRegistry(tmp_path, tmp_path / "none")
    assert registry.entries() == []
    shutil.copytree(run_root / "first", tmp_path / "copy")
    registry._listed = (-1e9, {})
    assert [entry.id for entry in registry.entries()] == ["copy"]


def test_depth_colours_come_from_the_ground_truth(model_root, run_root):
    low, high = ModelRegistry(model_root, run_root).get("two").views["depth"].extent
    assert 1 <= low < 1.5 and 5.5 < high < 7


@pytest.fixture
def collected(model_root, tmp_path):
    """A shipped model, and a collection of three methods × two seeds that share their samples."""
    shutil.copytree(model_root / "two", tmp_path / "two")
    for method in ("palora", "pamal", "uw"):
        for seed in (0, 1):
            folder = tmp_path / "toy-methods" / f"{method}-s{seed}"
            shutil.copytree(model_root / "digits", folder)
            (folder / "samples.npz").unlink()
            card = json.loads((folder / "card.json").read_text())
            card |= {"title": f"{method.title()} on Toy", "training": {"seed": seed}}
            card["method"] |= {"name": method}
            (folder / "card.json").write_text(json.dumps(card))
            if method == "uw":  # one solution for every λ
                front = json.loads((folder / "front.json").read_text())
                for key in ("preferences", "objectives"):
                    front[key] = front[key][5:6]
                front["metrics"] = {name: values[5:6] for name, values in front["metrics"].items()}
                (folder / "front.json").write_text(json.dumps(front))
    shutil.copy(model_root / "digits" / "samples.npz", tmp_path / "toy-methods")
    return tmp_path


def test_collections_are_listed_and_share_their_samples(collected):
    registry = ModelRegistry(collected, collected / "no runs")
    entries = registry.entries()
    assert [e.id for e in entries][:2] == ["toy-methods/palora-s0", "toy-methods/palora-s1"] and len(entries) == 7
    assert not any(e.problem for e in entries)
    first = entries[0]
    assert (first.group, first.group_title, first.method) == ("toy-methods", "Toy methods", "palora")
    assert (first.title, first.short_title) == ("Palora on Toy · palora-s0", "Palora · palora-s0")
    loaded = registry.get(first.id)
    assert len(loaded.samples) == 4 and not loaded.problems


def test_a_model_that_somebody_comes_for_is_listed_from_the_moment_on_that_it_is_there(model_root, tmp_path):
    registry = ModelRegistry(model_root, tmp_path)
    assert "run:late" not in {entry.id for entry in registry.entries()}
    shutil.copytree(next(path for path in model_root.iterdir() if (path / "card.json").exists()), tmp_path / "late")
    assert "run:late" in {entry.id for entry in registry.entries("run:late")}
    assert registry.entry("run:late").is_run


def test_listing_many_models_again_is_cheap(collected, monkeypatch):
    registry = ModelRegistry(collected, collected / "no runs")
    registry.entries()
    monkeypatch.setattr(models, "LISTING_AGE", -1.0)
    reads = []
    monkeypatch.setattr("palora_core.checkpoint.read_card", reads.append)
    assert len(registry.entries()) == 7
    assert not reads, "cards are read again only when their files change"


def test_methods_and_seeds_of_a_collection_are_compared(collected):
    entries = ModelRegistry(collected, collected / "no runs").entries()
    board = next(a for a in leaderboards.read(entries)[0] if len(a.models) == 6)
    found = series(board.models)
    assert [(one.name, len(one.members), one.single) for one in found] == [
        *(("Palora", 2, False), ("Pamal", 2, False), ("Uw", 2, True))
    ]
    assert set(shown_first(found, 2)) & {"Palora", "Pamal"}, "fronts before single solutions"
    assert len(shown_first(found, 2)) == 2 and len(shown_first(found, 9)) == 3


def test_leaderboards_part_where_network_or_data_differ():
    """Of the shipped models: two networks on one benchmark, and methods trained before some options were there."""
    boards, problems = leaderboards.read(ModelRegistry(ROOT / "trained_models", ROOT / "no runs").entries())
    titles = {board.key: board.title for board in boards if board.name == "multimnist"}
    assert not problems and titles == {
        "multimnist: top_left, bottom_right": "MultiMNIST (top left, bottom right)",
        "multimnist: top_left, bottom_right; shared_units=4": "MultiMNIST (top left, bottom right), shared units 4",
    }
    table = next(board for board in boards if len(board.models) > 50 and board.name == "multimnist")
    found = {one.name: [member.id for member in one.members] for one in series(table.models)}
    assert found["PaLoRA"] == ["multimnist", "multimnist-methods/palora-s1", "multimnist-methods/palora-s2"]
    for board in boards:
        names = [one.name for one in series(board.models) if not one.name.startswith(("STL", "PaMaL"))]
        assert not any("(" in name for name in names), "nothing differs that a label would tell"
    assert all(not board.apart for board in boards if board.name != "multimnist"), "alone, nothing to tell"


def test_what_changes_only_how_it_is_learnt_is_a_label_not_another_leaderboard(tmp_path):
    for name, photo_like in (("a", True), ("b", False)):
        folder = shutil.copytree(ROOT / "trained_models" / "rooms", tmp_path / name)
        card = json.loads((folder / "card.json").read_text())
        card["benchmark"]["options"]["photo_like"] = photo_like
        (folder / "card.json").write_text(json.dumps(card))
    (board,), _ = leaderboards.read(ModelRegistry(tmp_path, tmp_path / "no runs").entries())
    assert [one.name for one in series(board.models)] == ["PaLoRA (with photo like)", "PaLoRA (without photo like)"]


@pytest.mark.parametrize("shared", [False, True])
def test_replaced_samples_are_shown_at_once(model_root, collected, monkeypatch, shared):
    """A copy of a model gets other samples while it is served: its own, or those of its collection."""
    monkeypatch.setattr(models, "LISTING_AGE", -1.0)
    registry = ModelRegistry(collected, collected / "no runs")
    name, folder = ("toy-methods/palora-s0", "toy-methods") if shared else ("two", "two")
    inference = Inference(registry, UploadStore())
    try:
        old = registry.get(name)
        before = inference.predict(old, "sample-0", (0.5, 0.5))
        benchmark = toy.Toy("digits") if shared else toy.Toy("dense", 2)
        save_samples(collected / folder / "samples.npz", benchmark.items(3, seed=7), 3)
        assert not old.entry.is_current()
        new = registry.get(name)
        assert len(new.samples) == 3 and new.key != old.key
        after = inference.predict(new, "sample-0", (0.5, 0.5))
        assert (after.header["values"], after.blobs) != (before.header["values"], before.blobs)
    finally:
        inference.close()
