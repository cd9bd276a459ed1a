"""Checkpoints and adapters that somebody drops on the Models page become a model, or are refused in a sentence."""

import io
import json
import zipfile
from functools import partial

import pytest
import torch
from safetensors.torch import save, save_file

from app.components import model_cards
from app.library import leaderboards, transfer
from app.library.loading import load
from app.library.merging import Dropped, choices, merged
from app.library.models import ModelRegistry
from app.library.series import series
from app.services import services
from app.settings import runs_root
from palora_core import checkpoint
from palora_core.benchmarks.multimnist import MultiMNIST
from palora_core.commands import main
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.networks.base import networks
from tests.app.pages import open_on, spelt, texts
from tests.app.toy import Toy, make_model

SMALL = MultiMNIST(train_images=8, test_images=8, norm_layers=True)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def state(benchmark, seed):
    """Weights of the benchmark's network, drawn from a seed."""
    torch.manual_seed(seed)
    name, options = benchmark.network
    network = networks.get(name)(**options)
    for module in network.modules():
        if hasattr(module, "running_mean") and module.running_mean is not None:
            module.running_mean.normal_()
    return network.state_dict()


def dropped(benchmark, seed, name):
    return Dropped(name, io.BytesIO(save(dict(state(benchmark, seed)))))


def nothing_left(root) -> bool:
    return not (root / transfer.FOLDER).exists() or not any((root / transfer.FOLDER).iterdir())


def test_two_files_become_a_model_with_a_front(root):
    files = [dropped(SMALL, 1, "tuned left.safetensors"), dropped(SMALL, 2, "b.safetensors")]
    name, notes = merged(files, SMALL)
    assert notes == []  # the data are at hand, so statistics are measured
    entry = ModelRegistry(root / "none", root).entry(name)
    found = load(entry)
    assert found.problems == [] and found.front is not None and len(found.samples) == 8
    assert entry.title.startswith("tuned left + b on MultiMNIST")
    boards, problems = leaderboards.read([entry])
    assert problems == [] and [one.name for one in series(boards[0].models)] == ["tuned left + b"]
    assert found.card["merged"]["statistics"] == "measured" and found.card["merged"]["error"] < 1e-6
    corner = found.model.merge([0.0, 1.0]).state_dict()
    for key, tensor in state(SMALL, 2).items():
        if "running" not in key and "tracked" not in key:
            torch.testing.assert_close(corner[key], tensor, rtol=1e-5, atol=1e-6)


def test_without_data_it_says_so_and_statistics_are_mixed(root, monkeypatch):
    files = [dropped(Toy("digits"), 1, "a.safetensors"), dropped(Toy("digits"), 2, "b.safetensors")]

    def load_nothing(self, data, progress=None):
        raise UserError("The toy's data are not here; prepare them.")

    monkeypatch.setattr(Toy, "load", load_nothing)
    name, notes = merged(files, Toy("digits"))
    assert notes == ["The front is not evaluated: The toy's data are not here; prepare them."]
    assert load(ModelRegistry(root / "none", root).entry(name)).front is None


def adapters(folder, seed):
    """A zip of a LoRA on the first convolution of a LeNet, as PEFT lays it out."""
    generator = torch.Generator().manual_seed(seed)
    prefix = "base_model.model.heads.top_left.2."
    shapes = {f"{prefix}lora_A.weight": (2, 50), f"{prefix}lora_B.weight": (10, 2)}
    folder.mkdir()
    save_file({k: torch.randn(s, generator=generator) for k, s in shapes.items()}, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["top_left.2"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{folder.name}/{path.name}")
        archive.writestr(f"{folder.name}/README.md", "mine")
    return Dropped(f"{folder.name}.zip", buffer)


def test_adapter_folders_rest_on_a_base(root, tmp_path):
    parts = [adapters(tmp_path / name, seed) for seed, name in enumerate(("one", "two"))]
    with pytest.raises(UserError, match=r"multimnist has no weights of its own .* as the base\."):
        merged(parts, SMALL)
    assert nothing_left(root)
    name, _ = merged(parts, SMALL, dropped(SMALL, 3, "base.safetensors"))
    found = load(ModelRegistry(root / "none", root).entry(name))
    assert [layer.adapter_rank for layer in found.model.layers] == [2]


def refused():
    good = dropped(SMALL, 1, "a.safetensors")
    yield [good, Dropped("b.pt", io.BytesIO(b"pickle"))], r"b is no \.safetensors file"
    yield [good, Dropped("b.safetensors", io.BytesIO(b"nonsense"))], r"b\.safetensors is damaged or not a safetensors"
    yield [good], r"multimnist has 2 objectives \(top_left, bottom_right\) and there are 1 parts"
    yield [good, Dropped("b.zip", io.BytesIO(b"nonsense"))], r"not a zip file that can be read"
    lacking = {k: v for k, v in state(SMALL, 1).items() if not k.startswith("heads.bottom_right")}
    yield [good, Dropped("b.safetensors", io.BytesIO(save(lacking)))], r"b\.safetensors has no 'heads\.bottom_right"
    yield [good, dropped(Toy("table", 2), 1, "b.safetensors")], r"b\.safetensors"


def test_what_cannot_be_merged_is_said_without_paths_and_leaves_nothing(root):
    for files, sentence in refused():
        for part in files:
            part.file.seek(0)
        with pytest.raises(UserError, match=sentence) as found:
            merged(files, SMALL)
        assert str(root.parent) not in str(found.value) and "/tmp" not in str(found.value)
        assert nothing_left(root)


def test_the_command_writes_the_same_folder(root, tmp_path, capsys):
    for seed, name in enumerate("ab"):
        save_file(dict(state(SMALL, seed)), tmp_path / f"{name}.safetensors")
    words = ["a.safetensors", "b.safetensors", "--benchmark", "multimnist", "--out", "merged", "--error", "0.3"]
    settings = [word for pair in ("train_images=8", "test_images=8", "norm_layers=true") for word in ("--set", pair)]
    assert main(["merge", *words, *settings]) == 0
    assert "relative error 0.2" in capsys.readouterr().out
    model, card = checkpoint.load(tmp_path / "merged")
    assert card["merged"]["parts"][0]["name"] == "a" and len(card["merged"]["parts"][0]["sha256"]) == 64
    assert len(Front.load(tmp_path / "merged" / "front.json").preferences) == 11
    assert model.num_tasks == 2
    assert main(["merge", *words, *settings]) == 2, "a folder that is there is not written into"


@pytest.fixture
def page_of_digits(tmp_path, monkeypatch):
    """The Models page with one model of toy digits; what opens it."""
    from app.services import reset

    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    make_model(tmp_path / "models" / "digits", Toy("digits"), "Toy digits", samples=2)
    reset()
    yield partial(open_on, "models")
    reset()


def test_files_dropped_on_the_page_open_as_a_model(page_of_digits):
    app = page_of_digits()
    assert not app.exception and not app.error
    known = choices(services().registry.entries())
    assert app.selectbox(key="merge_network0").options == list(known)
    assert known["as Toy digits"] == Toy("digits")
    assert all(2 <= len(one.tasks) <= 5 for one in known.values())
    sent = [
        (one.name, one.file.getvalue(), "application/octet-stream")
        for one in (dropped(Toy("digits"), 1, "right one.safetensors"), dropped(Toy("digits"), 2, "left.safetensors"))
    ]
    app.file_uploader(key="merge_files0").set_value(sent[:1]).run()
    assert "Sent: 1. Send 2" in texts(app.caption)
    app.file_uploader(key="merge_files0").set_value(sent).run()
    assert [box.value for box in app.selectbox][1:] == ["left.safetensors", "right one.safetensors"], "told by names"
    app.button(key="merge_go").click().run()
    assert not app.exception and not app.error
    assert spelt(app.title[0].value) == "left + right one on Toy"
    (folder,) = (runs_root() / transfer.FOLDER).iterdir()
    _, card = checkpoint.load(folder)
    assert [part["name"] for part in card["merged"]["parts"]] == ["left", "right one"]
    facts = model_cards.read(services().registry.entry(f"run:imported/{folder.name}")).facts
    assert facts["Merged"]["at its corners"] == "left: left, right: right one"
    assert facts["Network"]["method"] == "merged, not trained"


def test_damaged_files_are_refused_on_the_page(page_of_digits):
    app = page_of_digits()
    good = dropped(Toy("digits"), 1, "a.safetensors")
    sent = [("a.safetensors", good.file.getvalue(), ""), ("b.safetensors", b"nonsense", "")]
    app.file_uploader(key="merge_files0").set_value(sent).run()
    app.button(key="merge_go").click().run()
    assert not app.exception and "damaged or not a safetensors file" in spelt(app.error[0].value)
