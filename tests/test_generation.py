"""Texts at λ: what a kept cache gives is what the merged network gives, and one seed differs by λ alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.errors import UserError
from palora_core.serving import LiveNetwork
from palora_core.serving.generation import CHUNK, Reading, Sampling, continuation

V = 40
TEXT = [int(token) for token in torch.arange(CHUNK + 5) * 7 % V]


class Recurrent(nn.Module):
    """A causal network without a cache, of one argument, as people write them."""

    def __init__(self):
        super().__init__()
        self.table, self.net, self.head = nn.Embedding(V, 16), nn.GRU(16, 16, batch_first=True), nn.Linear(16, V)

    def forward(self, tokens):
        return self.head(self.net(self.table(tokens))[0])


def llama(**options):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=V, num_key_value_heads=1, **sizes, **options)
    return transformers.LlamaForCausalLM(config)


def logits_of(outputs):
    return outputs if isinstance(outputs, torch.Tensor) else outputs.logits


@pytest.fixture(scope="module", params=[llama, Recurrent])
def model(request):
    torch.manual_seed(0)
    model = pc.palorize(request.param(), 2, rank=2, alpha=8.0, freeze_base=True).eval()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    return model


def written(model, preference, most=12, **options):
    reading = Reading(model, preference, logits_of)
    return [token for token in continuation(reading, TEXT, most, Sampling(**options)) if token is not None]


@pytest.mark.parametrize("preference", [(1.0, 0.0), (0.3, 0.7), (1.0, -1.0)], ids=str)
def test_a_cache_gives_what_the_merged_network_gives_for_the_whole_text(model, preference):
    merged, text = model.merge(preference).eval(), list(TEXT)
    for token in written(model, preference, temperature=0):
        with torch.inference_mode():
            assert token == int(logits_of(merged(torch.tensor([text])))[0, -1].argmax())
        text.append(token)
    assert len(text) == len(TEXT) + 12
    live = LiveNetwork(model, torch.tensor([TEXT]))
    assert written(live, preference, temperature=0) == text[len(TEXT) :]


def test_one_seed_gives_one_text_and_another_another(model):
    texts = [written(model, (0.5, 0.5), seed=seed, temperature=2.0) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_noise_hangs_on_the_token_and_not_on_its_rank():
    torch.manual_seed(3)
    logits = torch.randn(V)
    near = logits + 1e-4 * torch.randn(V)
    pairs = [(Sampling(seed=seed).choose(logits, 0), Sampling(seed=seed).choose(near, 0)) for seed in range(200)]
    assert sum(a == b for a, b in pairs) >= 198, "a small step of λ changes few words"
    drawn = torch.bincount(
        torch.tensor([Sampling(1.0, 1.0, seed).choose(logits, 1) for seed in range(2000)]), minlength=V
    )
    assert (drawn / 2000 - logits.softmax(0)).abs().max() < 0.04, "and they are drawn as the network says"


def test_it_reads_in_parts_and_ends_where_the_text_ends(model):
    reading = Reading(model, (0.5, 0.5), logits_of)
    parts = list(continuation(reading, TEXT, 3, Sampling(temperature=0)))
    assert parts[0] is None and len(parts) == 4 and len(reading.tokens) == len(TEXT) + 2
    first = parts[1]
    again = Reading(model, (0.5, 0.5), logits_of)
    assert list(continuation(again, TEXT, 3, Sampling(temperature=0), ends=(first,))) == [None]


def test_what_is_no_number_is_a_sentence(model):
    with pytest.raises(UserError, match=r"no finite numbers at this λ"):
        Reading(model, (1e38, -1e38), logits_of).read(TEXT)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}], ids=str)
def test_sampling_that_cannot_be_is_refused(options):
    with pytest.raises(UserError, match=r"expected a finite temperature"):
        Sampling(**options)
