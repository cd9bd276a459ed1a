"""Language and vision models of transformers, tiny, with a frozen base: branches are W(λ), also sample by sample."""

import pytest
import torch
from torch import nn

import palora_core as pc

pytestmark = pytest.mark.slow
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def network_of(name):
    import transformers as hf

    torch.manual_seed(0)
    dropped = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
    return {
        "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=50, **dropped)),
        "bert": lambda: hf.BertForSequenceClassification(hf.BertConfig(**SMALL, vocab_size=50)),
        "opt": lambda: hf.OPTForCausalLM(hf.OPTConfig(**SMALL, ffn_dim=48, vocab_size=50, word_embed_proj_dim=32)),
        "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, vocab_size=50)),
        "t5": lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, vocab_size=50, dropout_rate=0.0)
        ),
        "vit": lambda: hf.ViTForImageClassification(hf.ViTConfig(**SMALL, image_size=32, patch_size=8)),
    }[name]().eval()


def inputs_of(name, batch=3):
    if name == "vit":
        return {"pixel_values": torch.randn(batch, 3, 32, 32, dtype=torch.float64)}
    ids = torch.randint(3, 50, (batch, 7))
    return {"input_ids": ids, **({"decoder_input_ids": ids[:, :4]} if name == "t5" else {})}


def filled(name, **options):
    model = pc.palorize(network_of(name), 2, 2, conv_form="kernel", freeze_base=True, **options).double().eval()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, std=0.2)
    return model


NAMES = ("gpt2", "bert", "opt", "llama", "t5", "vit")


@pytest.mark.parametrize("name", NAMES)
def test_branches_train_and_answer_as_merged_weights(name):
    model, inputs, found = filled(name), inputs_of(name), {}
    row = torch.tensor([0.3, 0.9])
    for how in ("merged", "branches", "auto"):
        model.compute = how
        model.zero_grad()
        logits = model(**inputs, preference=row).logits
        logits.square().mean().backward()
        found[how] = [logits.detach(), *(p.grad.clone() for p in model.parameters() if p.requires_grad)]
    assert all(g.abs().max() > 0 for g in found["auto"])
    for how in ("branches", "auto"):
        for one, other in zip(found["merged"], found[how], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(model.merge(row)(**inputs).logits, model(**inputs, preference=row).logits)


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_has_its_preference(name):
    model, inputs = filled(name), inputs_of(name)
    rows = torch.tensor([[0.3, 0.9], [1.0, 0.0], [-0.5, 1.2]])
    with torch.no_grad():
        logits = model(**inputs, preference=rows).logits
        for number, row in enumerate(rows):
            own = {key: value[number : number + 1] for key, value in inputs.items()}
            torch.testing.assert_close(logits[number : number + 1], model(**own, preference=row).logits)


@pytest.mark.parametrize("name", ["gpt2", "opt", "llama", "t5"])
def test_text_is_that_of_merged_networks_also_in_one_batch(name):
    model, inputs = filled(name), inputs_of(name)
    ids, rows = inputs["input_ids"], torch.tensor([[0.3, 0.9], [1.0, 0.0], [-0.5, 1.2]])
    how = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, "bos_token_id": 1}
    merged = [model.merge(row).generate(ids[n : n + 1], **how)[0] for n, row in enumerate(rows)]
    with model.at(rows) as network:
        assert torch.equal(torch.stack(merged), network.generate(ids, **how))
    with model.at(rows[0]) as network:
        assert torch.equal(merged[0], network.generate(ids[:1], **how)[0])
