"""Every kind of task and input is shown: words or pictures, a legend, and JSON that a browser can read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from app.inputs import input_view_of
from app.kinds import View, view_of
from palora_core.inputs import RGB, Audio, Grey, Input, Table, Text
from palora_core.tasks import (
    Classification,
    Depth,
    KeyPoints,
    MultiLabel,
    Normals,
    Ordinal,
    Quantile,
    Regression,
    Segmentation,
    Task,
    Tokens,
)

torch.manual_seed(0)
CASES = [
    (Segmentation("s", 4), torch.randint(-1, 4, (3, 6, 8))),
    (Depth("d"), torch.rand(3, 1, 6, 8)),
    (Normals("n"), torch.randn(3, 3, 6, 8)),
    (Classification("c", 4), torch.tensor([0, 3, -1])),
    (Regression("r", unit="m"), torch.tensor([0.5, 2.0, torch.nan])),
    (MultiLabel("m", 3, classes=("cat", "dog", "cow")), torch.tensor([[0, 1, -1], [1, 1, 0], [0, 0, 0]])),
    (Ordinal("o", 4, classes=("bad", "fair", "good", "best")), torch.tensor([0, 3, -1])),
    (Quantile("q", unit="€"), torch.tensor([1.0, 2.0, torch.nan])),
    (KeyPoints("k", 2), torch.tensor([[[0.2, 0.3], [torch.nan, 0.1]]]).repeat(3, 1, 1)),
    (Tokens("t", 3, classes=("O", "B", "I")), torch.tensor([[0, 1, 2], [1, -100, 0], [2, 2, 2]])),
]


@pytest.mark.parametrize(("task", "targets"), CASES, ids=lambda value: getattr(value, "kind", ""))
def test_every_prediction_and_target_is_shown(task, targets):
    view, predictions = view_of(task, targets=lambda: [targets]), task.constant_answer(targets)
    assert type(view) is not View and view.kind == task.kind
    json.dumps(view.legend(), allow_nan=False), json.dumps(view.page(), allow_nan=False)
    for prediction, target in zip(predictions, targets):
        if view.pictured:
            for picture in (view.draw(prediction), view.draw_target(target), view.draw_error(prediction, target)):
                assert picture.encode()[0] and picture.to_rgb().ndim == 3
            continue
        told, known = view.values(prediction), view.target_values(target)
        json.dumps([told, known], allow_nan=False)
        assert set(told) & {"numbers", "probabilities", "rows"} and view.cell(told) not in (None, "")
        assert all(isinstance(part, str) for row in view.rows(told) for part in row)
        view.cell(known), view.mark(told, known)


def test_words_of_further_kinds():
    labels = view_of(CASES[5][0])
    assert labels.cell(labels.values(torch.tensor([5.0, -5.0, 5.0]))) == "cat, cow"
    assert labels.rows(labels.target_values(torch.tensor([0, 1, -1]))) == [("cat", "no"), ("dog", "yes"), ("cow", "?")]
    grades = view_of(CASES[6][0])
    told = grades.values(torch.tensor([4.0, 4.0, -4.0]))
    assert grades.cell(told).startswith("good (") and sum(told["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert grades.mark(told, {"top": 2}) == " ✓"
    assert view_of(CASES[7][0]).cell({"rows": [["10 %", "1 €"], ["90 %", "2 €"]]}) == "1 € … 2 €"
    tokens = view_of(CASES[9][0])
    assert tokens.cell(tokens.values(torch.eye(3) * 9)) == "O B I"


def test_key_points_are_where_they_are():
    view = view_of(CASES[8][0])
    pixels = view.draw(torch.tensor([0.25, 0.75, 2.0, 2.0])).pixels
    rows, columns = np.nonzero(pixels == 0)
    assert abs(rows.mean() / 128 - 0.75) < 0.01 and abs(columns.mean() / 128 - 0.25) < 0.01 and not (pixels == 1).any()


def test_what_nobody_knows_is_shown_as_numbers():
    class Odd(Task):
        """A task of no registered kind."""

    view = view_of(Odd("odd"))
    assert type(view) is View and view.values(torch.tensor([1.0, torch.nan])) == {"numbers": [1.0, None]}
    many = view.values(torch.arange(100.0))
    assert many == {"rows": [["numbers", "100"], ["smallest", "0"], ["mean", "49.5"], ["largest", "99"]]}
    assert view.values(torch.full((50,), torch.nan))["rows"][0][1].endswith("none of them known")


@pytest.mark.parametrize(
    ("kind", "x"),
    [
        (RGB((8, 9)), torch.rand(3, 8, 9)),
        (Grey((8, 9)), torch.rand(1, 8, 9)),
        (Table(("a", "b")), torch.rand(2)),
        (Table(), torch.rand(200)),
        (Text(6), torch.tensor([72, 73, 0, 0, 0, 0])),
        (Audio(100, 50), torch.rand(1, 50)),
        (Input(), torch.rand(3, 4, 5)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_every_input_is_shown(kind, x):
    view = input_view_of(kind)
    shown = kind.to_shown(x)
    assert view.pictured == (view.picture(shown) is not None)
    if not view.pictured:
        told = view.told(shown)
        json.dumps(told, allow_nan=False)
        assert len(told) == 1 and next(iter(told)) in ("rows", "text", "sound")
