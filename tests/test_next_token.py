"""The next token as a task: its loss, its metrics, chance, effect, and how it is shown."""

from __future__ import annotations

import math

import pytest
import torch

from app.kinds import view_of
from palora_core.errors import UserError
from palora_core.tasks import NextToken

V = 7


def texts(seed: int = 0, batch: int = 3, length: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, length, V, generator=source)
    labels = torch.randint(V, (batch, length), generator=source)
    labels[0, :3] = -100  # a prompt that is not asked for
    return logits, labels


def test_the_loss_is_that_of_transformers():
    loss_of = pytest.importorskip("transformers.loss.loss_utils").ForCausalLMLoss
    logits, labels = texts()
    found = NextToken("t", V).loss({"logits": logits}, (None, {"labels": labels}))
    torch.testing.assert_close(found, loss_of(logits, labels, V))


def test_perplexity_is_the_exponential_of_the_mean_over_tokens_not_over_batches():
    task, parts = NextToken("t", V), [texts(1, 2), texts(2, 5), texts(3, 1)]
    sums, losses = task.accumulator(), []
    for logits, labels in parts:
        sums.update({"logits": logits}, (None, {"labels": labels}))
        logs = logits[:, :-1].log_softmax(-1)
        losses += [-logs[b, i, labels[b, i + 1]] for b, i in (labels[:, 1:] != -100).nonzero().tolist()]
    values = sums.compute()
    mean = float(torch.stack(losses).double().mean())
    assert values["loss"] == pytest.approx(mean, rel=1e-6)
    assert values["perplexity"] == pytest.approx(math.exp(mean), rel=1e-6)


def test_each_token_has_its_log_probability_at_its_own_place():
    task, (logits, labels) = NextToken("t", V), texts()
    found = task.log_probabilities(logits, labels)
    assert found.shape == labels.shape and found[:, 0].isnan().all() and found[0, :3].isnan().all()
    assert found[1, 2] == logits[1, 1].log_softmax(-1)[labels[1, 2]]
    assert -found.nanmean() == pytest.approx(float(task.loss({"logits": logits}, (None, {"labels": labels}))), rel=1e-5)


def test_chance_is_how_often_tokens_occur():
    task = NextToken("t", V)
    labels = torch.tensor([[0, 1, 1, 2], [3, 1, 1, 2]])
    chance = task.chance(labels)
    entropy = -(4 / 6 * math.log(4 / 6) + 2 / 6 * math.log(2 / 6))
    assert chance["loss"] == pytest.approx(entropy, abs=1e-5)
    assert chance["perplexity"] == pytest.approx(math.exp(entropy), rel=1e-5)
    assert chance["next_accuracy"] == pytest.approx(4 / 6)
    assert chance["loss"] == pytest.approx(task.score(task.constant_answer(labels), labels)["loss"], abs=1e-5)


def test_effect_is_the_share_of_places_whose_likeliest_token_changes():
    first = torch.zeros(2, 4, V)
    first[..., 2] = 1
    second = first.clone()
    second[1, :2, 5] = 9
    assert NextToken("t", V).effect(first, second).tolist() == [0, 0.5]
    assert NextToken("t", V).agrees(first, first + 3) and not NextToken("t", V).agrees(first, second)


@pytest.mark.parametrize("bad", [V, -1])
def test_a_token_that_the_model_does_not_know_is_named(bad):
    logits, labels = texts()
    labels[1, 1] = bad
    with pytest.raises(UserError, match=rf"got the label {bad}; expected a class from 0 to {V - 1}"):
        NextToken("t", V).loss({"logits": logits}, (None, {"labels": labels}))


def test_shapes_that_do_not_fit_are_told():
    logits, labels = texts()
    with pytest.raises(UserError, match=r"expected a prediction \[B, L, 7\] and a target \[B, L\]"):
        NextToken("t", V).loss({"logits": logits}, (None, {"labels": labels[:, 1:]}))


def test_a_page_tells_the_words_that_may_come_next():
    words = ["a", "b", "\n", "sea", " tea", "", "."]
    task = NextToken("t", V, spell=lambda tokens: "".join(words[token] for token in tokens))
    logits = torch.zeros(2, V)
    logits[-1, [3, 2]] = torch.tensor([9.0, 5.0])
    shown = view_of(task)
    values = shown.values(logits)
    assert [word for word, _ in values["rows"][:2]] == ["sea", "⏎"]
    assert shown.cell(values).startswith("sea 98.1 %; ⏎ 1.8 %")
    assert shown.target_values(torch.tensor([-100, 3, 4])) == {"rows": [["text", "sea tea"]]}
    assert view_of(NextToken("t", V)).values(logits)["rows"][0][0] == "3"
