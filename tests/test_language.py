"""Texts as data, and preference losses, on a language model of a few thousand parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.errors import UserError
from palora_core.language import IGNORED, answer_pairs, answers, packed
from palora_core.objectives.dpo import DPO, log_likelihoods
from palora_core.tasks import Classification, NextToken

V = 11


class Network(nn.Module):
    """Embeds, sums what came before, and answers as transformers' models do."""

    def __init__(self):
        super().__init__()
        self.words, self.mix, self.head = nn.Embedding(V, 8), nn.Linear(8, 8), nn.Linear(8, V)

    def forward(self, input_ids):
        return {"logits": self.head(self.mix(self.words(input_ids).cumsum(1)).tanh())}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


def test_packed_texts_do_not_begin_as_if_they_went_on():
    split = packed([[5, 6], [7, 8, 9], [4]], 4, end=1)
    tokens, labels = split.inputs["input_ids"], split.targets["labels"]
    assert tokens.tolist() == [[5, 6, 1, 7], [8, 9, 1, 4]]
    assert labels.tolist() == [[IGNORED, 6, 1, IGNORED], [8, 9, 1, IGNORED]]
    with pytest.raises(UserError, match="2 tokens together, fewer than one block of 4"):
        packed([[5]], 4, end=1)


def test_of_a_prompt_with_its_answer_only_the_answer_is_asked_for(network):
    split = answers([([3, 4], [5, 6]), ([3], [7])], 5)
    inputs, targets = split.batch(torch.arange(2))
    assert inputs["input_ids"].tolist() == [[3, 4, 5, 6, 0], [3, 7, 0, 0, 0]]
    assert targets["labels"].tolist() == [[IGNORED, IGNORED, 5, 6, IGNORED], [IGNORED, 7, *[IGNORED] * 3]]
    outputs = network(**inputs)
    logs = outputs["logits"].log_softmax(-1)
    expected = torch.stack([logs[0, 1, 5], logs[0, 2, 6], logs[1, 0, 7]])
    torch.testing.assert_close(NextToken("t", V).loss(outputs, (inputs, targets)), -expected.mean())
    torch.testing.assert_close(
        log_likelihoods(outputs["logits"], targets["labels"]), torch.stack([expected[:2].sum(), expected[2]])
    )


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ([], "no answer to learn from"),
        ([([1], [])], "empty answer"),
        ([([1, 2], [3, 4])], "4 tokens, and a row holds 3"),
    ],
)
def test_answers_that_cannot_be_used(pairs, sentence):
    with pytest.raises(UserError, match=sentence):
        answers(pairs, 3)


def test_dpo_is_its_formula_and_starts_where_the_reference_is(network):
    split = answer_pairs(network, [([3], [4], [5]), ([6, 2], [7], [8, 9])], 4)
    inputs, targets = split.batch(torch.tensor([0, 1]))
    assert inputs["input_ids"].shape == (4, 4)
    one = DPO("polite", beta=0.5)
    assert one.loss(network(**inputs), (inputs, targets)).item() == pytest.approx(0.693147, abs=1e-5)
    with torch.no_grad():
        network.head.bias[4] += 2.0  # the first chosen answer
    outputs = network(**inputs)
    gained = log_likelihoods(outputs["logits"], targets["labels"]) - targets["reference"]
    margins = torch.stack([gained[0] - gained[1], gained[2] - gained[3]])
    expected = -torch.sigmoid(0.5 * margins).log().mean()
    torch.testing.assert_close(one.loss(outputs, (inputs, targets)), expected)
    sums = one.accumulator()
    for row in range(2):
        batch = split.batch(torch.tensor([row]))
        sums.update(network(**batch[0]), batch)
    values = sums.compute()
    assert values["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert values["preferred"] == float((margins > 0).float().mean())


def test_dpo_refuses_what_is_no_pair(network):
    split = answer_pairs(network, [([3], [4], [5])], 4)
    inputs, targets = split.batch(torch.tensor([0]))
    half = {name: tensor[:1] for name, tensor in targets.items()}
    with pytest.raises(UserError, match="got 1 answers; expected pairs"):
        DPO("polite").loss(network(input_ids=inputs["input_ids"][:1]), (inputs, half))
    with pytest.raises(UserError, match=r"reads labels and reference, found dict of labels"):
        DPO("polite").loss(network(**inputs), (inputs, {"labels": targets["labels"]}))


def test_a_language_loss_and_a_preference_train_together_each_with_data_of_its_own(network, tmp_path):
    liked = answer_pairs(network, [([word], [4], [5]) for word in range(6, 10)] * 2, 3)
    text = packed([[6, 7, 8, 9]] * 16, 5, end=1)
    problem = pc.Problem(
        network,
        [NextToken("text", V), DPO("liked", beta=1.0)],
        **{split: {"text": text, "liked": liked} for split in ("train", "val", "test")},
    )
    run = pc.fit(problem, epochs=12, batch_size=4, lr=0.03, out=tmp_path / "run", evaluate_every=0)
    front = run.front()
    assert front.metrics["liked/preferred"].max() == 1 and front.objectives[:, 1].min() < 0.2
    assert front.metrics["text/perplexity"].min() < 2 and set(front.effects) == {"text"}


def test_a_text_as_a_whole_has_a_class(network):
    """Sequence classification: whatever a model calls its logits."""
    task = Classification("topic", V, output=lambda outputs: outputs["logits"][:, -1], target="topic")
    outputs = network(torch.randint(V, (3, 4)))
    batch = None, {"topic": torch.tensor([1, 2, 3])}
    expected = torch.nn.functional.cross_entropy(outputs["logits"][:, -1], batch[1]["topic"])
    torch.testing.assert_close(task.loss(outputs, batch), expected)
