"""A model whose data may not travel with it: no samples, and a person's own sound on every page."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app.exports import exporting
from palora_core.inputs import Sound
from palora_core.tasks import Classification
from tests.app.browsing import WAIT, settle
from tests.app.conftest import CHROMIUM, FLAGS
from tests.app.pages import open_on, spelt, texts
from tests.app.servers import running

ROOT = Path(__file__).resolve().parents[2]
MODEL = "spoken_digits"


@pytest.fixture
def spoken(tmp_path, monkeypatch):
    """The app in this process on the shipped model of spoken digits alone."""
    from app import services

    shutil.copytree(ROOT / "trained_models" / MODEL, tmp_path / MODEL)
    monkeypatch.setenv("PALORA_MODELS", str(tmp_path))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "none"))
    services.reset()
    yield services.services()
    services.reset()


def said(seconds: float = 1.5, rate: int = 16000) -> Sound:
    """Something like a vowel after a moment of silence."""
    time = np.arange(int(0.4 * rate)) / rate
    vowel = sum(np.sin(2 * np.pi * hertz * time) for hertz in (130, 260, 520, 780, 1040)) * np.hanning(len(time))
    values = np.zeros(int(seconds * rate), np.float32)
    values[rate // 2 :][: len(vowel)] = 0.1 * vowel
    return Sound(values, rate)


def test_the_shipped_model_holds_no_recording_and_needs_none(spoken):
    loaded = spoken.registry.get(MODEL)
    assert loaded.bare and loaded.problems == [] and not (loaded.entry.folder / "samples.npz").exists()
    assert loaded.example.shape == (4, 1, 8000) and loaded.example.abs().max() <= 1
    digit, speaker = loaded.front.effect().values()
    assert digit > 0.7 and speaker > 0.7, "λ decides which of the two is told"


@pytest.mark.parametrize("page", ["explore", "probe", "compare", "models"])
def test_pages_say_what_a_person_can_do(spoken, page):
    app = open_on(page, model=MODEL)
    assert not app.exception and not app.error and not app.warning
    if page in ("explore", "probe", "compare"):
        assert "No samples travel with" in texts(app.info) and "sound of your own" in texts(app.info)
    if page == "explore":
        assert "CC BY-SA 4.0 (not included)" in spelt(texts(app.caption))
        assert app.get("audio_input"), "the microphone is on the page, not behind a button"
    if page == "models":
        assert "One HTML file" not in app.selectbox(key="form").options, "it would show samples"


def test_a_sound_is_answered_as_the_network_does(spoken):
    from app.components import side_by_side

    loaded, sound = spoken.registry.get(MODEL), said()
    token = spoken.uploads.put(sound, "mine.wav")
    x = loaded.input_view.input.to_input(sound)
    for preference in ([1.0, 0.0], [0.25, 0.75]):
        answer = side_by_side.predict(spoken, MODEL, token, preference)
        with torch.no_grad():
            outputs = loaded.model(x, torch.tensor(preference))
        for task in loaded.tasks:
            assert isinstance(task, Classification)
            found = np.array(answer.values[task.name]["probabilities"])
            assert found == pytest.approx(outputs[task.name][0].softmax(0).numpy(), abs=2e-3)
    known = side_by_side.truth(spoken, MODEL, token)
    assert known.told["sound"].startswith("data:audio/wav") and known.values == {}


def test_an_export_is_measured_with_an_input_that_is_made_up(spoken, tmp_path):
    folder = spoken.registry.get(MODEL).entry.folder
    order = {"model": str(folder), "samples": str(folder), "form": "safetensors", "preference": [0.3, 0.7]}
    (tmp_path / "order.json").write_text(json.dumps({**order, "out": "merged.safetensors"}))
    exporting.carry_out(tmp_path)
    report = json.loads((tmp_path / "merged.safetensors.json").read_text())
    assert report["max_abs_difference_to_pytorch"] < 1e-4


@pytest.mark.slow
def test_onnx_is_traced_with_an_input_that_is_made_up(spoken):
    made = exporting.export(spoken.registry.get(MODEL), "onnx", None)
    assert made.report["max_abs_difference_to_pytorch"] < 1e-3


PAINTED = "start => document.querySelector('.palora').dataset.painted?.startsWith(start)"


@pytest.mark.slow
def test_a_person_sends_a_sound_and_records_one(tmp_path):
    """In a browser whose microphone plays a file."""
    sync = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed")
    shutil.copytree(ROOT / "trained_models" / MODEL, tmp_path / "models" / MODEL)
    (tmp_path / "sent.wav").write_bytes(said().as_wav())
    (tmp_path / "heard.wav").write_bytes(said(3.0, 48000).as_wav())
    flags = [*FLAGS, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags.append(f"--use-file-for-fake-audio-capture={tmp_path / 'heard.wav'}")
    script, roots = str(Path(__file__).with_name("serve.py")), {"PALORA_MODELS": str(tmp_path / "models")}
    command = lambda port: [sys.executable, script, port]  # noqa: E731
    with (
        running(command, tmp_path / "log.txt", PALORA_RUNS=str(tmp_path / "none"), **roots) as (address, _),
        sync.sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1366, "height": 900})
        page.set_default_timeout(WAIT)
        page.goto(f"{address}/?model={MODEL}")
        page.get_by_text("No samples travel with this model").wait_for()
        settle(page)
        page.get_by_text("File", exact=True).click()
        page.set_input_files("input[type=file]", tmp_path / "sent.wav")
        page.wait_for_function(PAINTED, arg="0.5 0.5")
        page.locator(".p-pad").press("1")
        page.wait_for_function(PAINTED, arg="1 0")
        assert page.locator(".p-bar").count() == 16 and page.locator(".p-input audio").count() == 1
        clipped = "() => [...document.querySelectorAll('.p-class')].filter((n) => n.scrollWidth > n.clientWidth).length"
        assert page.evaluate(clipped) == 0, "names of speakers have room"
        assert page.get_by_text("No samples travel with this model").count() == 0
        page.get_by_role("button", name="Your sound").click()
        page.get_by_text("Record", exact=True).click()
        press = page.get_by_test_id("stAudioInputActionButton").first
        press.click()
        page.get_by_text("00:02").wait_for()
        press.click()
        page.wait_for_function("() => document.querySelectorAll('.p-gallery button').length === 2")
        page.wait_for_function(PAINTED, arg="1 0")
        assert page.locator(".p-gallery [aria-checked=true]").inner_text() == "Your recording"
        browser.close()
