"""Results from elsewhere: CSV and Optuna's studies become fronts, and what cannot be right is a sentence."""

import csv
import io

import numpy as np
import pytest

from app.components import front_table_files as files
from app.components.quantities import quantities
from app.library import leaderboards
from app.library.results import Meaning, fronts, guessed, read_csv
from app.library.series import series
from app.library.studies import read_studies
from palora_core.errors import UserError


@pytest.fixture
def board(roots):
    boards, _ = leaderboards.read(roots.registry.entries())
    return next(one for one in boards if [t.name for t in one.tasks] == ["segmentation", "depth"])


def labels(board):
    return {key: quantity.label for key, quantity in quantities(board).items()}


LOSSES = ("segmentation loss", "depth loss")


def test_our_own_files_come_back_as_the_fronts_they_were(board):
    known = quantities(board)
    text = files.points_csv(series(board.models), known, [task.name for task in board.tasks])
    table = read_csv("points.csv", text.encode())
    guess = guessed(table, board, labels(board))
    assert guess.losses == LOSSES and guess.weights == ("λ segmentation", "λ depth") and guess.seed == "seed"
    meaning = Meaning(
        guess.losses, guess.weights, "model", "seed", guess.metrics, {key: known[key].factor for key in guess.metrics}
    )
    found = fronts(table, meaning, board)
    wanted = {model.id: model.front for one in series(board.models) for model in one.members}
    assert [one.title for one in found] == list(wanted)
    for one in found:
        own = wanted[one.title]
        np.testing.assert_allclose(one.front.objectives, own.objectives, rtol=1e-7)
        np.testing.assert_allclose(one.front.preferences, own.preferences, rtol=1e-7)
        assert one.front.hypervolume() == pytest.approx(own.hypervolume(), rel=1e-6)
        for key, values in one.front.metrics.items():
            np.testing.assert_allclose(values, own.metrics[key], rtol=1e-6)


def test_rows_without_weights_are_runs_of_their_own(board):
    table = read_csv("x.csv", "\ufeffname;lr;segmentation;depth\nours;0.1;1,5;2\n".replace("1,5", "1.5").encode())
    guess = guessed(table, board, labels(board))
    (one,) = fronts(table, guess, board)
    assert one.title == "ours" and one.settings == {"lr": 0.1} and one.front.objectives.tolist() == [[1.5, 2.0]]
    two = read_csv("x.csv", b"segmentation,depth\n1,2\n1,3\n")
    assert [one.title for one in fronts(two, Meaning(("segmentation", "depth")), board)] == ["row 1", "row 2"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"\xff\xfe", "is no table in text form"),
        (b"a,b\n", "has no row below its head"),
        (b"a,a\n1,2\n", "two columns called 'a'"),
        (b"a,b\n1\n", "Row 1 of 'x.csv' has 1 cells, and the head 2"),
        (b"a,b\n" + b"1,2\n" * 20_001, "has 20,001 rows"),
        (b"segmentation,depth\n1,2\n1,much\n", "Row 2 of 'x.csv' has 'much' as depth; expected a number"),
        (b"segmentation,depth\n1,nan\n", "has 'nan' as depth"),
        (b"segmentation\n1\n", "Say which column holds the loss of depth"),
    ],
)
def test_what_is_no_table_of_results_is_a_sentence(board, text, sentence):
    def read():
        table = read_csv("x.csv", text)
        return fronts(table, guessed(table, board, labels(board)), board)

    with pytest.raises(UserError) as error:
        read()
    assert sentence in str(error.value)


def test_one_column_for_two_objectives_is_refused(board):
    with pytest.raises(UserError, match=r"Two objectives have the same column"):
        fronts(read_csv("x.csv", b"a\n1\n"), Meaning(("a", "a")), board)


@pytest.mark.parametrize("form", ["sqlite", "journal"])
def test_a_study_is_a_table_of_its_trials(tmp_path, board, form):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = tmp_path / "study.db"
    if form == "sqlite":
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    else:
        from optuna.storages.journal import JournalFileBackend

        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(storage=storage, study_name="mine", directions=["minimize", "maximize"])
    study.enqueue_trial({"lr": 0.25, "depth": 3})
    study.optimize(lambda t: (t.suggest_float("lr", 0, 1), float(t.suggest_int("depth", 1, 4))), n_trials=3)
    table = read_studies("study.db", path.read_bytes())["mine"]
    assert table.heads == ("trial", "lr", "depth", "value 0", "−value 1") and len(table.rows) == 3
    assert dict(table.rows[0]) == {
        "trial": "trial 0",
        "lr": "0.25",
        "depth": "3",
        "value 0": "0.25",
        "−value 1": "-3.0",
    }
    found = fronts(table, Meaning(("value 0", "−value 1"), name="trial"), board)
    assert [one.title for one in found] == ["trial 0", "trial 1", "trial 2"]
    assert found[0].settings == {"lr": 0.25, "depth": 3.0} and found[0].front.objectives.tolist() == [[0.25, -3.0]]


@pytest.mark.parametrize(
    "data", [b"", b"SQLite format 3\0 and then nothing", b'{"op_code": 77}\n', b"\xff" * 100, b"[" * 9999]
)
def test_what_is_no_study_is_a_sentence(data):
    pytest.importorskip("optuna")
    with pytest.raises(UserError, match=r"(no study that Optuna can read|no study with a finished trial)"):
        read_studies("x.db", data)


def test_ids_are_told_apart(board):
    table = read_csv("x.csv", b"name,segmentation,depth\nA,1,2\nA,3,4\n")
    ids = [one.id for one in fronts(table, guessed(table, board, labels(board)), board)]
    assert len(set(ids)) == 2 and list(csv.reader(io.StringIO(ids[0])))
