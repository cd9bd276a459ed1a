import shutil
import time

import numpy as np
import pytest
import torch

from app.library import models
from app.pictures.uploads import UploadStore
from app.serving.inference import Inference
from app.serving.protocol import Request, pack, parse, snap, unpack
from palora_core.errors import UserError
from palora_core.simplex import simplex_lattice


def request(model="two", image="sample-0", preference=(0.3, 0.7), **options) -> Request:
    return Request("predict", 1, model, (image,), tuple(preference), **options)


def answer(services, ask: Request, session="s"):
    return unpack(services.inference.submit(session, ask).result(60))


def labels_of(header, blobs, task="segmentation"):
    index = next(i for i, p in enumerate(header["pictures"]) if p["task"] == task)
    what = header["pictures"][index]
    return np.frombuffer(blobs[index], np.uint8)[4 * what["colours"] :].reshape(what["height"], what["width"])


def test_pictures_are_those_of_the_model_at_this_preference(roots):
    loaded = roots.registry.get("two")
    x, _ = loaded.samples.batch(torch.tensor([0]))
    pictures = []
    for preference in ([1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.1234, 0.8766]):
        header, blobs = answer(roots, request(preference=preference, exact=True))
        assert header["preference"] == preference
        with torch.no_grad():
            expected = loaded.model(x, torch.tensor(preference))["segmentation"].argmax(1)[0].numpy()
        shown = labels_of(header, blobs)
        assert (shown == expected).mean() > 0.99
        pictures.append(shown)
    assert (pictures[0] != pictures[2]).mean() > 0.05, "the fixture's tasks must disagree"


@pytest.mark.parametrize("model", ["three", "one", "digits", "seven"])
def test_a_task_is_shown_as_a_picture_or_told_in_values_and_never_both(roots, model):
    loaded = roots.registry.get(model)
    count = loaded.num_tasks
    header, _ = answer(roots, request(model=model, preference=[1 / count] * count))
    drawn = {picture["task"] for picture in header["pictures"]}
    assert drawn == set(loaded.pictured) and set(header["values"]) == {task.name for task in loaded.tasks} - drawn


def test_cache(roots):
    roots.inference._worker._idle = None
    ask = request(preference=(0.312, 0.688))
    assert roots.inference.cached("s", ask) is None
    first, _ = answer(roots, ask)
    frame = roots.inference.cached("s", request(preference=(0.3149, 0.6851)))
    header, _ = unpack(frame)
    assert not first["cached"] and header["cached"] and header["preference"] == first["preference"] == [0.32, 0.68]
    assert roots.inference.cached("s", request(preference=(0.312, 0.688), exact=True)) is None
    assert roots.inference.cached("s", request(image="sample-1", preference=(0.312, 0.688))) is None


def test_a_replaced_model_is_not_answered_from_the_cache(model_root, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "LISTING_AGE", 0.0)
    registry = models.ModelRegistry(tmp_path, tmp_path / "runs")
    folder = tmp_path / "two"
    shutil.copytree(model_root / "two", folder)
    inference = Inference(registry, UploadStore(), work_ahead=False)
    try:
        inference.submit("s", request()).result(60)
        before, _ = unpack(inference.cached("s", request()))
        shutil.rmtree(folder)
        shutil.copytree(model_root / "digits", folder)
        assert inference.cached("s", request()) is None
        after, _ = unpack(inference.submit("s", request()).result(60))
        assert {p["task"] for p in after["pictures"]} != {p["task"] for p in before["pictures"]}
        again, _ = unpack(inference.cached("s", request()))
        assert again["pictures"] == after["pictures"]
    finally:
        inference.close()


def test_lattice_is_computed_ahead(roots):
    answer(roots, request(preference=(0.5, 0.5)))
    deadline = time.monotonic() + 200
    while len(roots.inference.answers) < 51 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(roots.inference.answers) == 51
    for point in simplex_lattice(2, 50).tolist():
        assert roots.inference.cached("other", request(preference=point)) is not None


def test_work_ahead_ends_where_the_lattices_do_not_fit(roots):
    """Two views whose answers drive each other out of the cache: each gets a share, nearest first, and then rest."""
    inference = Inference(roots.registry, UploadStore(), work_ahead=False)
    try:
        for number in range(2):
            session = f"session {number}"
            inference.cached(session, request())  # it is here
            inference.submit(session, request(image=f"sample-{number}", preference=(0.0, 1.0))).result(60)
        inference.answers.capacity = 40 * inference.answers.used // 2
        steps = 0
        while inference._work_ahead():
            steps += 1
            assert steps < 300, "it never ends"
        assert steps > 20 and inference.answers.used <= inference.answers.capacity
        for number in range(2):
            near = [snap(point) for point in simplex_lattice(2, 50).tolist() if point[0] < 0.2]
            kept = [inference.cached("who", request(image=f"sample-{number}", preference=point)) for point in near]
            assert len(kept) >= 10 and None not in kept
    finally:
        inference.close()


def test_who_leaves_while_being_answered_is_forgotten(roots, monkeypatch):
    honest = roots.inference.predict
    monkeypatch.setattr(roots.inference, "predict", lambda *asked: roots.inference.forget("s") or honest(*asked))
    answer(roots, request())
    assert not roots.inference._views


def test_error_pictures_are_kept_apart(roots):
    plain, _ = answer(roots, request())
    error, _ = answer(roots, request(errors=("segmentation",)))
    assert [p["view"] for p in plain["pictures"]] == ["prediction", "prediction"]
    assert [p["view"] for p in error["pictures"]] == ["error", "prediction"]
    assert set(plain["metrics"]) == {"segmentation", "depth"} and plain["metrics"]["depth"]["abs_err"] > 0


def test_scene(roots):
    header, blobs = unpack(roots.inference.submit("s", Request("scene", 7, "two", ("sample-1",))).result(60))
    assert header["seq"] == 7 and [p["view"] for p in header["pictures"]] == ["input", "truth", "truth"]
    assert header["tasks"]["segmentation"]["legend"]["classes"][2] == "chair"
    assert header["tasks"]["depth"]["legend"]["unit"] == "m"
    what = header["pictures"][0]
    picture = np.frombuffer(blobs[0], np.uint8).reshape(what["height"], what["width"], 3)
    x, _ = roots.registry.get("two").samples.batch(torch.tensor([1]))
    assert (picture == (x[0] * 255).round().byte().permute(1, 2, 0).numpy()).all() and what["colours"] == 0


def test_classification_and_forty_numbers(roots):
    header, blobs = answer(roots, request("digits", preference=(0.5, 0.5)))
    assert not blobs and len(header["values"]["left"]["probabilities"]) == 10
    header, _ = answer(roots, request("forty", preference=[1 / 40] * 40))
    assert len(header["values"]) == 40 and sum(header["preference"]) == pytest.approx(1)


def test_uploads(roots):
    token = roots.uploads.put(np.full((300, 200, 3), 90, np.uint8))
    header, _ = answer(roots, request(image=token))
    assert header["metrics"] == {} and len(header["pictures"]) == 2
    scene, _ = unpack(roots.inference.submit("s", Request("scene", 1, "two", (token,))).result(60))
    assert not scene["truth"] and len(scene["pictures"]) == 1


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (request("nope"), "choose one from the list"),
        (request("damaged"), "damaged"),
        (request(image="sample-99"), "no such sample"),
        (request(image="sample--1"), "no such sample"),
        (request(image="sample-²"), "no such sample"),
        (request(image="upload-guess"), "send it again"),
        (request(image="../secret"), "send it again"),
        (request(preference=(0.2, 0.3, 0.5)), "3 numbers"),
        (request("bare"), "no such sample"),
    ],
)
def test_bad_requests(roots, ask, words):
    with pytest.raises(UserError, match=words):
        answer(roots, ask)
    assert answer(roots, request())[0]["type"] == "prediction"


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 4, 17, 40])
def test_snapping_keeps_the_sum_and_is_idempotent(num_tasks):
    for preference in np.random.default_rng(0).dirichlet(np.ones(num_tasks), 50):
        for exact in (False, True):
            snapped = snap(preference, exact)
            assert sum(snapped) == pytest.approx(1) and snap(snapped, exact) == snapped
            assert np.abs(np.array(snapped) - preference).max() < (0.0002 if exact else 0.06)


def test_snapping_off_the_simplex():
    assert snap((-1.0, 1.0)) == (-1.0, 1.0) and snap((0.0, 0.0)) == (0.0, 0.0) and snap((-1.0, -1.0)) == (-1.0, -1.0)


def test_frames_round_trip():
    header, blobs = unpack(pack({"a": 1}, [b"", b"xyz", b"1"]))
    assert header == {"a": 1, "sizes": [0, 3, 1]} and blobs == [b"", b"xyz", b"1"]


def test_preferences_are_clamped():
    text = '{"type": "predict", "seq": 1, "model": "m", "image": "i", "preference": [9, -1e30, 0.5]}'
    assert parse(text).preference == (2.0, -2.0, 0.5)
