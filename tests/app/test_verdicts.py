"""The words below the bars come from their numbers."""

from dataclasses import replace

import numpy as np
import pytest

from app.analysis import verdicts
from app.analysis.probes import Layer
from palora_core.evaluation import probing
from palora_core.tasks import Classification, Depth


def layer(task, best, limit):
    return Layer(task, task.metrics[0], np.zeros((1, 1)), best, limit, limit)


@pytest.fixture
def layers():
    return [layer(Classification("left", 10), 0.96, 0.48), layer(Depth("depth"), 0.5, 1.0)]


def values(left, depth):
    return {"left/accuracy": left, f"depth/{Depth('depth').metrics[0].name}": depth}


PSEUDO = probing.pseudo_preferences(2)


def test_every_preference_has_a_sentence_by_the_rule_of_the_bars(layers):
    named = dict(zip(PSEUDO, (values(0.7, 0.6), values(0.95, 1.4), values(0.3, 0.55), values(0.48, float("nan")))))
    told = verdicts.sentences(layers, named, PSEUDO)
    assert told[0] == "At **(0, 0)** left stays (70.0 % of 96.0 % at best) and depth stays (0.6 of 0.5 at best)."
    assert told[1].endswith("and depth is **forgotten** (1.4, no less than 1).")
    assert "left is **forgotten** (30.0 %, no more than 48.0 %)" in told[2]
    assert told[3].count("**forgotten**") == 2
    assert verdicts.divided(layers, named, PSEUDO) == (2, 2) and "in its own adapters.**" in told[-1]


def test_what_lies_within_the_uncertainty_of_the_limit_is_said_to_be_close(layers):
    close = replace(layers[0], uncertainty=0.06)
    told = [
        verdicts.sentences([close], {"(0, 0)": {"left/accuracy": v}}, {"(0, 0)": [0.0]})[0] for v in (0.45, 0.5, 0.6)
    ]
    assert ["too close to call" in sentence for sentence in told] == [True, True, False]
    assert ["**forgotten**" in sentence for sentence in told] == [True, False, False]


@pytest.mark.parametrize(
    ("first", "second", "right", "said"),
    [
        (values(0.9, 1.4), values(0.3, 0.6), 2, "in its own adapters.**"),
        (values(0.9, 1.4), values(0.9, 0.6), 1, "at 1 of 2 such preferences"),
        (values(0.3, 1.4), values(0.9, 0.6), 0, "At none of these"),
    ],
)
def test_the_summary_counts_where_just_what_was_taken_away_is_lost(layers, first, second, right, said):
    named = dict(zip(PSEUDO, (values(0.9, 0.6), first, second, values(0.1, 2))))
    assert verdicts.divided(layers, named, PSEUDO) == (right, 2)
    assert said in verdicts.sentences(layers, named, PSEUDO)[-1]
