"""Model folders: round trips, and one sentence for each kind of damage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import small_language
import torch
from safetensors.torch import load_file, save_file

from palora_core import checkpoint
from palora_core.errors import UserError
from palora_core.machine import without_memory
from palora_core.networks.base import networks
from palora_core.storage.runs import Run
from palora_core.training.setup import configure
from palora_core.training.start import load_start
from palora_core.training.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent

LAMBDA = torch.tensor([0.3, 0.7])


def train(folder, method="palora", **settings):
    small = {"train_images": 64, "test_images": 32, "epochs": 1, "batch_size": 32, "front_points": 3, "samples": 2}
    bench, chosen, options = configure("multimnist", method, {**small, **settings})
    trainer = Trainer(Run(folder), bench.problem(Path("nowhere")), chosen, options, device="cpu")
    trainer.start()
    return trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("model") / "run", norm_layers=True)


@pytest.fixture
def model(trained, tmp_path):
    for name in ("model.safetensors", "card.json"):
        (tmp_path / name).write_bytes((trained.run.folder / name).read_bytes())
    return tmp_path


def refused(folder, match):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=match) as caught:
        checkpoint.load(folder)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_loaded_model_predicts_what_the_trained_one_did(trained, model):
    loaded, card = checkpoint.load(model)
    x = torch.rand(3, 1, 28, 28)
    with torch.no_grad():  # by whatever way of computing is the quicker one without gradients
        expected, found = trained.model.eval()(x, LAMBDA), loaded(x, LAMBDA)
    assert not loaded.training
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert card["parameters"]["base"] == trained.base_parameters
    assert [task["name"] for task in card["tasks"]] == ["top_left", "bottom_right"]


def test_a_network_that_started_from_imagenet_is_built_where_its_weights_are_not(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    options = {"outputs": {"top_left": 10, "bottom_right": 10}, "pretrained": True}
    card = {**checkpoint.read_card(trained.run.folder), "network": {"name": "mobilenet", "options": options}}
    with torch.device("meta"):  # as an import does, to see a model's size before it takes memory
        model = checkpoint.build(card)
    assert set(model.network.heads) == {"top_left", "bottom_right"}


def test_best_weights_have_a_card_of_their_own(trained):
    _, card = checkpoint.load(trained.run.folder, "best.safetensors")
    assert card["training"]["steps"] == 2


def test_saving_again_gives_the_same_bytes(model):
    loaded, card = checkpoint.load(model)
    written = checkpoint.save(model / "again", loaded, card)
    assert written["weights_sha256"] == card["weights_sha256"]
    assert (model / "again" / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


@pytest.mark.parametrize("keep", [0, 7, 100, 5_000])
def test_truncated_weights(model, keep):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(model, "damaged or not a safetensors file")


def test_one_changed_byte(model):
    path = model / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    refused(model, "does not belong to")


def test_a_pickle_is_never_opened(model):
    torch.save({"weight": torch.zeros(1)}, model / "model.safetensors")
    refused(model, "not a safetensors file")


def rehash(folder, state):
    save_file(state, folder / "model.safetensors")
    change_card(folder, weights_sha256=checkpoint.sha256(folder / "model.safetensors"))


def change_card(folder, **values):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **values}))


def test_foreign_weights(model):
    rehash(model, {"something": torch.zeros(3)})
    refused(model, "do not fit the network of the card: the file misses")


def test_one_name_too_many_and_one_other_shape(model):
    state = load_file(model / "model.safetensors")
    rehash(model, {**state, "more": torch.zeros(1)})
    refused(model, "unknown 'more'")
    name = next(iter(state))
    rehash(model, {**state, name: torch.zeros(2, 2)})
    refused(model, r"is \[2, 2\], expected")


def test_weights_with_nan(model):
    state = load_file(model / "model.safetensors")
    name = next(name for name in state if name.endswith("weight"))
    state[name].view(-1)[0] = float("nan")
    rehash(model, state)
    refused(model, f"NaN or infinite values in '{name}'")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"format": 99}, "card format 99"),
        ({"network": {"name": "lenett", "options": {}}}, "did you mean 'lenet'"),
        ({"network": {"name": "lenet", "options": {"depth": 3}}}, "no network that can be built"),
        ({"network": {"name": "lenet", "options": {"outputs": {"a": -1}}}}, "no network that can be built"),
        ({"network": []}, "its network is \\[\\]; expected an object"),
        ({"method": {"name": "palora", "conditioning": {"name": "lowrank", "rank": 0}}}, "rank must be"),
        ({"method": {"name": "palora", "flavour": 1}}, "has no option 'flavour'"),
        ({"method": {}}, "the name of its method"),
        ({"tasks": 3}, "its tasks are 3"),
    ],
)
def test_cards_that_do_not_match(model, values, match):
    change_card(model, **values)
    refused(model, match)


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '"text"'])
def test_damaged_cards(model, content):
    (model / "card.json").write_text(content)
    refused(model, "damaged|not a PaLoRA model card")


def test_missing_parts(model, tmp_path):
    with pytest.raises(UserError, match="no model folder"):
        checkpoint.load(tmp_path / "elsewhere")
    (model / "model.safetensors").unlink()
    refused(model, "has a card but no model")
    (model / "card.json").unlink()
    refused(model, "no model card")


def test_plain_weights_come_from_a_model_a_state_dict_or_safetensors(trained, model):
    merged = trained.model.merge(torch.tensor([0.5, 0.5]))
    torch.save(merged.state_dict(), model / "plain.pt")
    save_file({name: value.contiguous() for name, value in merged.state_dict().items()}, model / "plain.safetensors")
    for source in (model, model / "plain.pt", model / "plain.safetensors"):
        network = trained.model.merge(torch.tensor([1.0, 0.0]))
        load_start(network, source)
        assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), merged.state_dict().values()))


def test_plain_weights_that_are_damaged_or_code_are_refused(trained, model):
    network = trained.model.merge(LAMBDA)
    (model / "damaged.pt").write_bytes(b"PK\x03\x04 nothing")
    torch.save({"weight": [1, 2]}, model / "list.pt")
    torch.save(network, model / "code.pt")  # a pickled module could run anything
    for name in ("damaged.pt", "list.pt", "code.pt", "missing.pt"):
        with pytest.raises(UserError, match=name.partition(".")[0]):
            load_start(network, model / name)


@pytest.mark.slow
def test_looking_at_a_card_leaves_the_compiler_alone():
    """Initialising tensors without memory imports it: more than a second before a first model is there."""
    code = (
        "import sys; import palora_core as pc; pc.load('trained_models/multimnist'); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", list(networks))
def test_networks_are_built_without_memory(name, tmp_path):
    given = {"outputs": {"a": 3, "b": 2}, **({"inputs": 4} if name == "mlp" else {})}
    if name == "causal_lm":
        small_language.small_base(tmp_path)
        given = {"base": str(tmp_path), "pretrained": False}
    with without_memory():
        built = networks.get(name)(**given)
    assert all(parameter.is_meta for parameter in built.parameters())
