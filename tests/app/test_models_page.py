"""The Models page in every state, exports, and the one-file page."""

import hashlib
import io
import json
import re
import shutil
import tarfile
import zipfile

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.components import model_cards
from app.components.plain import plain
from app.exports import exporting
from app.exports.exporting import Exported
from app.exports.standalone import build, runtime
from app.library import transfer
from palora_core.errors import UserError
from palora_core.storage.writing import write_json
from tests.app.browsing import WAIT
from tests.app.pages import open_on, texts

READ = """() => {
    const canvas = document.querySelector('canvas');
    return Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data);
}"""
FAKE = Exported("x.onnx", b"network", {"max_abs_difference_to_pytorch": 1.5e-6, "format": "onnx"})


def open_models(**parameters) -> AppTest:
    return open_on("models", **parameters)


def test_cards_of_all_models(roots):
    app = open_models()
    assert not app.exception and not app.error
    labels = [button.key for button in app.button]
    assert {f"open {e.id}" for e in roots.registry.entries()} <= set(labels)
    assert "Damaged" in texts(app.markdown) and "not evaluated yet" in texts(app.caption)
    app.button(key="open two").click().run()
    assert not app.exception and app.title[0].value == plain("Toy streets, two tasks")


def test_no_models(tmp_path, monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "nothing"))
    services.reset()
    app = open_models()
    assert not app.exception and "no model to show yet" in texts(app.info)
    services.reset()


@pytest.mark.parametrize("model", ["three", "one", "seven", "forty", "digits", "bare", "run:first"])
def test_a_card_of_every_kind(roots, model):
    app = open_models(model=model)
    assert not app.exception and not app.error
    shown = texts(app.markdown)
    assert "##### Data" in shown and "synthetic data" in shown and "##### Network" in shown
    assert any("Delete" in text for text in [shown]) == (model == "run:first")


@pytest.mark.parametrize("model", ["damaged", "empty"])
def test_unusable_models_say_why(roots, model):
    app = open_models(model=model)
    assert not app.exception and len(app.error) == 1 and "Traceback" not in app.error[0].value


def test_an_unknown_model(roots):
    app = open_models(model="../../etc")
    assert not app.exception and "not here any more" in texts(app.warning)


def test_read_only_has_no_import_and_no_delete(roots, monkeypatch):
    monkeypatch.setenv("PALORA_READ_ONLY", "1")
    assert "switched off" in texts(open_models().caption)
    app = open_models(model="run:first")
    assert "Delete" not in texts(app.markdown) and not app.exception


def test_deleting_a_run(roots, run_root, tmp_path, monkeypatch):
    from app import services

    shutil.copytree(run_root / "first", tmp_path / "runs" / "mine")
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    services.reset()
    app = open_models(model="run:mine")
    app.button(key="delete_model").click().run()
    assert not app.exception and not (tmp_path / "runs" / "mine").exists()


def test_an_export_shows_its_difference(roots, monkeypatch):
    monkeypatch.setattr(exporting, "export", lambda loaded, form, preference: FAKE)
    app = open_models(model="two")
    app.selectbox(key="form").set_value("plain").run()
    app.slider(key="export_weight").set_value(0.25).run()
    app.button(key="make").click().run()
    assert not app.exception and "largest difference to PyTorch 1.5e-06" in texts(app.success)
    app.slider(key="export_weight").set_value(0.5).run()
    assert not app.success, "the file of another λ is not offered for this one"


def test_without_npm_a_sentence(roots, monkeypatch, tmp_path):
    monkeypatch.setenv("PALORA_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    app = open_models(model="two")
    app.selectbox(key="form").set_value("page").run()
    assert not app.exception and "npm is not installed" in texts(app.info)
    with pytest.raises(UserError, match="npm is not installed"):
        runtime.parts()


def packed_runtime(place, files) -> None:
    with tarfile.open(place, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"package/dist/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("form", ["archive", "folder", "package", "missing", "other"])
def test_the_runtime_can_be_brought_by_hand(monkeypatch, tmp_path, form):
    files = {runtime.SCRIPT: b"script", runtime.BINARY: b"binary"}
    monkeypatch.setattr(runtime, "HASHES", {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    monkeypatch.setenv("PALORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    place = tmp_path / "brought"
    if form in ("archive", "other"):
        packed_runtime(place, files if form == "archive" else dict.fromkeys(files, b"else"))
    elif form != "missing":
        dist = place / "dist" if form == "folder" else place / "package" / "dist"
        dist.mkdir(parents=True)
        for name, data in files.items():
            (dist / name).write_bytes(data)
    monkeypatch.setenv(runtime.LOCAL, str(place))
    assert runtime.available() is None
    if form in ("missing", "other"):
        with pytest.raises(
            UserError, match="does not name" if form == "missing" else "not the file this program knows"
        ):
            runtime.parts()
        return
    assert runtime.parts() == (b"script", b"binary")
    monkeypatch.delenv(runtime.LOCAL)
    assert runtime.parts() == (b"script", b"binary"), "kept for the next time"


def test_an_unreachable_registry_is_one_sentence(monkeypatch, tmp_path):
    def fails(*args, **options):
        raise runtime.subprocess.CalledProcessError(1, "npm")

    monkeypatch.setenv("PALORA_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(runtime.subprocess, "run", fails)
    with pytest.raises(UserError, match=r"npm could not fetch .* or download .* PALORA_ONNXRUNTIME_WEB"):
        runtime.parts()


def importing(data: bytes) -> AppTest:
    def script(data: bytes) -> None:
        import io

        from app.pages.models import take

        take(io.BytesIO(data), "sent.zip")

    return AppTest.from_function(script, args=(data,), default_timeout=120)


def test_importing(roots, tmp_path, monkeypatch):
    from app import services

    data = transfer.packed(roots.registry.entry("digits"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    services.reset()
    bad = importing(b"no zip").run()
    assert not bad.exception and "not a zip file" in texts(bad.error)
    importing(data).run()
    assert [e.id for e in services.services().registry.entries() if e.is_run] == ["run:imported/sent"]
    card = model_cards.read(services.services().registry.entry("run:imported/sent"))
    assert card.origin == "imported" and not card.problem
    services.reset()


# -- cards ------------------------------------------------------------------------------------------------------------
def test_thumbnails_and_facts(roots):
    cards = {entry.id: model_cards.read(entry) for entry in roots.registry.entries()}
    assert cards["three"].data == "synthetic data" and cards["three"].facts["Front"]["non-dominated"].endswith("of 66")
    assert model_cards.thumbnail(cards["two"]).count("<circle") == 11
    assert model_cards.thumbnail(cards["one"]) == "", "one number is no picture"
    assert model_cards.thumbnail(cards["bare"]) == "" and cards["damaged"].problem is None
    assert [model_cards.duration(s) for s in (5, 720, 7200)] == ["5 s", "12 min", "2.0 h"]


def test_texts_of_cards_are_no_markup():
    assert '<dd style="margin:0">&lt;script&gt;</dd>' in model_cards.listed({"licence": "<script>"})
    assert plain("<b> |x| [a](b)\n$y$ :red[z]") == r"\<b\> \|x\| \[a\]\(b\) \$y\$ \:red\[z\]"


# -- exports ----------------------------------------------------------------------------------------------------------
def order(loaded, folder, form, preference):
    out = exporting.file_name(loaded, form, preference)
    places = {"model": str(loaded.entry.folder), "samples": str(loaded.entry.samples_file.parent)}
    write_json(folder / "order.json", {**places, "form": form, "preference": preference, "out": out})
    exporting.carry_out(folder)
    return folder / out, json.loads((folder / f"{out}.json").read_text())


def test_names_of_files_hold_no_separators(roots):
    loaded = roots.registry.get("run:first")
    assert exporting.file_name(loaded, "onnx", None) == "run-first-controllable.onnx"


def test_weights_at_a_preference(roots, tmp_path):
    from safetensors.torch import load_file

    loaded = roots.registry.get("digits")
    path, report = order(loaded, tmp_path, "safetensors", [0.3, 0.7])
    assert path.name == "digits-at-0.30-0.70.safetensors" and report["max_abs_difference_to_pytorch"] < 1e-3
    plain = loaded.model.merge(torch.tensor([0.3, 0.7])).state_dict()
    assert all(torch.equal(plain[name], tensor) for name, tensor in load_file(path).items())


@pytest.fixture(scope="module")
def controllable(model_root, tmp_path_factory):
    """The ONNX file of the two-task model, made once."""
    from app.library.models import ModelRegistry

    loaded = ModelRegistry(model_root, model_root / "no runs").get("two")
    path, report = order(loaded, tmp_path_factory.mktemp("onnx"), "onnx", None)
    return loaded, Exported(path.name, path.read_bytes(), report)


def test_the_controllable_network_as_onnx(controllable):
    loaded, exported = controllable
    assert exported.report["preference"] is None and exported.name == "two-controllable.onnx"
    with torch.no_grad():
        size = max(
            float(v.abs().max())
            for λ in ([1.0, 0.0], [0.0, 1.0])
            for v in loaded.model(loaded.example, torch.tensor(λ)).values()
        )
    assert exported.report["max_abs_difference_to_pytorch"] < 1e-5 * max(1, size)
    assert "largest difference to PyTorch" in exported.sentence


@pytest.mark.slow
def test_a_bundle_is_a_zip_of_a_folder_that_was_tried(roots, tmp_path):
    path, report = order(roots.registry.get("two"), tmp_path, "bundle", [0.3, 0.7])
    assert path.name == "two-bundle-at-0.30-0.70.zip"
    assert report["max_abs_difference_to_pytorch"] < 1e-4 * report["largest_number"]
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    wanted = {"README.md", "LICENCE.txt", "infer.py", "network.onnx", "controllable.onnx", "weights.safetensors"}
    assert wanted <= names and report["bytes"] == path.stat().st_size


def test_failed_exports_are_one_sentence(roots, monkeypatch):
    loaded = roots.registry.get("bare")
    with pytest.raises(UserError, match="without samples"):
        exporting.export(loaded, "onnx", None)

    class Done:
        returncode, stdout, stderr = 1, "", "Traceback\n  File x\nRuntimeError: an odd operator"

    monkeypatch.setattr(exporting.subprocess, "run", lambda *a, **k: Done)
    with pytest.raises(UserError, match="an odd operator") as error:
        exporting.export(roots.registry.get("digits"), "onnx", None)
    assert "\n" not in str(error.value)


# -- the one-file page ------------------------------------------------------------------------------------------------
def test_the_page_holds_everything_and_loads_nothing(roots):
    loaded = roots.registry.get("three")
    page = build.compose(loaded, FAKE, b"script", b"binary")
    assert not re.search(r"(src|href)=[\"']https?:", page) and "@PLAYER@" not in page and "MIT License" in page
    config = json.loads(re.search(r'id="config">(.*?)</script>', page)[1])
    assert [task["view"] for task in config["tasks"]] == ["segmentation", "depth", "normals"]
    assert len(config["samples"]) == 4 and "1.5e-06" in config["difference"] and "synthetic" in config["about"]
    assert "import {" not in page and "\nexport " not in page


def test_titles_are_inert(roots):
    loaded = roots.registry.get("three")
    loaded.card["title"] = "</script><script>alert(1)</script>"
    try:
        page = build.compose(loaded, FAKE, b"", b"")
    finally:
        loaded.card.pop("title")
    assert "<script>alert" not in page


@pytest.mark.browser
def test_the_page_runs_from_disk(controllable, chromium, tmp_path):
    if not runtime._kept():
        pytest.skip(f"{runtime.PACKAGE} is not in the cache")
    loaded, exported = controllable
    file = tmp_path / "two.html"
    file.write_text(build.compose(loaded, exported, *runtime.parts()), encoding="utf-8")
    context = chromium.new_context(offline=True)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(file.as_uri())
    page.set_default_timeout(WAIT)
    page.wait_for_selector("body[data-painted]")
    before = page.evaluate(READ)
    page.focus("#pad")
    page.keyboard.press("1")
    page.wait_for_selector("body[data-painted='1 0']")
    after = page.evaluate(READ)
    assert len(before) == 4 * 64 * 96 and before != after and not problems
    with torch.no_grad():
        labels = loaded.model(loaded.example[:1], torch.tensor([1.0, 0.0]))["segmentation"][0].argmax(0)
    colours = torch.tensor(after).reshape(64, 96, 4)[..., :3]
    wanted = torch.tensor(
        [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in loaded.views["segmentation"].legend()["colours"]]
    )
    assert (colours == wanted[labels]).all(-1).float().mean() > 0.999, "what PyTorch says"
    context.close()


def test_packed_models_are_readable_zips(roots):
    import zipfile

    with zipfile.ZipFile(io.BytesIO(transfer.packed(roots.registry.entry("run:first")))) as archive:
        assert archive.testzip() is None
