import shutil

import pytest

from app.library.models import ModelRegistry
from palora_core.errors import UserError
from tests.app import toy


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
    low, high = ModelRegistry(model_root, run_root).get("two").depth_ranges["depth"]
    assert 1 <= low < 1.5 and 5.5 < high < 7
