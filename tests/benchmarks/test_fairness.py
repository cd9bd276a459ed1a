"""Fairness: the packed rows are the released ones, the front is a trade-off, corners keep a floor, refusals."""

import hashlib

import numpy as np
import pytest
import torch

from palora_core.benchmarks import _adult
from palora_core.benchmarks.base import benchmarks
from palora_core.benchmarks.fairness import HELD, Fairness
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.storage.runs import Run
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

# Of adult.csv with a header line and no spaces, 32,561 rows.
RELEASED = "c30ce1e55a965b04950321870db74c19f4aa437120a692f32e72f6a4fa31c418"
PEOPLE = _adult.bundled()


def text_of(people) -> str:
    return "\n".join(map(",".join, people.lines())) + "\n"


def test_the_packed_rows_are_the_released_file_to_the_byte():
    assert hashlib.sha256(text_of(PEOPLE).encode()).hexdigest() == RELEASED


def test_packing_gives_what_was_unpacked(tmp_path, monkeypatch):
    (tmp_path / "adult.csv").write_text(text_of(PEOPLE))
    again = _adult.pack(tmp_path / "adult.csv", tmp_path / "adult.npz")
    assert again.fields == PEOPLE.fields
    for name in ("codes", "earns", "weights"):
        np.testing.assert_array_equal(getattr(again, name), getattr(PEOPLE, name))
    assert (tmp_path / "adult.npz").stat().st_size < 500_000


def test_marginals_are_those_that_the_literature_gives():
    men, white = PEOPLE.is_one_of("sex", "Male"), PEOPLE.is_one_of("race", "White")
    assert (len(PEOPLE), PEOPLE.earns.sum(), men.sum(), white.sum()) == (32_561, 7_841, 21_790, 27_816)
    assert PEOPLE.earns[men].mean() == pytest.approx(0.3057, abs=1e-4)
    assert PEOPLE.earns[~men].mean() == pytest.approx(0.1095, abs=1e-4)


def test_splits_share_nobody_and_depend_on_their_own_seed_alone():
    splits = Fairness().load()
    assert {name: len(split) for name, split in splits.items()} == {"train": 22_000, "val": 2_561, "test": 8_000}
    rows = np.concatenate([split.inputs for split in splits.values()])
    np.testing.assert_array_equal(np.sort(rows, 0), np.sort(PEOPLE.codes, 0))
    other = Fairness(split_seed=1).load()["test"]
    assert not np.array_equal(other.inputs, splits["test"].inputs)
    first = Fairness().at_hand(300)
    np.testing.assert_array_equal(first.inputs, splits["test"].inputs[:300])
    assert len(Fairness().at_hand(10**9)) == HELD["test"]


def test_features_are_standardised_numbers_and_one_per_category():
    bench = Fairness()
    x, targets = bench.load()["train"].batch(torch.arange(4000))
    assert x.shape == (4000, bench.network[1]["inputs"]) == (4000, 109) and x.dtype == torch.float32
    whole = (x == 0) | (x == 1)
    categories = whole.all(0)
    assert (x[:, categories].sum(1) == sum(bool(field.values) for field in bench.input_kind.fields)).all()
    numbers = x[:, ~categories]
    assert numbers.shape[1] == 7 and numbers.mean(0).abs().max() < 0.1
    assert (numbers.std(0) - 1).abs().max() < 0.2
    assert set(targets) == {"income", "group"} and targets["income"].dtype == torch.int64


@pytest.mark.parametrize("code", [-1, 2])
def test_a_code_that_no_value_has_is_refused(code):
    row = PEOPLE.codes[:1].copy()
    row[0, PEOPLE.place("sex")] = code
    with pytest.raises(UserError, match="code for sex that is none of its 2 values"):
        Fairness().convert(torch.from_numpy(row), {})


@pytest.mark.parametrize(
    ("gaps", "names"),
    [
        ("both", ["income", "equal_outcomes", "equal_chances"]),
        ("outcomes", ["income", "equal_outcomes"]),
        ("chances", ["income", "equal_chances"]),
    ],
)
@pytest.mark.parametrize("group", ["sex", "race"])
def test_objectives_read_one_decision(gaps, names, group):
    bench = Fairness(gaps=gaps, group=group)
    assert [one.name for one in bench.tasks] == names and len(bench.reference) == len(names)
    assert bench.outputs == {"income": 2}
    assert bench.problem().about.title == ("Fairness" if gaps == "both" else f"Fairness, equal {gaps} only")
    x, targets = bench.load()["test"].batch(torch.arange(2000))
    logits = torch.stack([-targets["income"], targets["income"]], 1).float()
    member, earns = targets["group"] == 1, targets["income"] == 1
    expected = {"equal_outcomes": abs(earns[member].float().mean() - earns[~member].float().mean()), "equal_chances": 0}
    for one in bench.tasks[1:]:
        accumulator = one.accumulator()
        accumulator.update({"income": logits}, (x, targets))
        assert accumulator.compute()["gap"] == pytest.approx(100 * float(expected[one.name]), abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gaps": "all"}, "gaps"),
        ({"group": "age"}, "group"),
        ({"floor": -1}, "floor must be at least 0"),
        ({"sharpness": 0}, "sharpness must be above 0"),
        ({"hidden": ()}, "one width"),
        ({"hidden": (0,)}, "one width"),
        ({"split_seed": -1}, "split_seed"),
    ],
)
def test_options_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        configure("fairness", "palora", {f"benchmark.{key}": value for key, value in settings.items()})


def front_of(accuracy, outcomes, chances=None):
    gaps = {"equal_outcomes/gap": np.array(outcomes)}
    gaps |= {"equal_chances/gap": np.array(chances)} if chances else {}
    count = len(accuracy)
    metrics = {"income/accuracy": np.array(accuracy), **gaps}
    return Front(np.ones((count, 1)), np.ones((count, 1)), metrics, ("income",), (1.0,))


def test_what_equality_costs():
    bench = Fairness(gaps="outcomes")
    kept, lost = bench.questions
    front = front_of([0.85, 0.83, 0.82], [15, 1.9, 0.5])
    assert bench.answer(kept, front) == 0.83 and bench.answer(lost, front) == pytest.approx(2.0)
    assert np.isnan(bench.answer(kept, front_of([0.85], [15])))
    both = front_of([0.85, 0.83, 0.82], [15, 1.9, 0.5], [3, 12, 1.5])
    assert Fairness().answer(kept, both) == 0.82


@pytest.fixture(autouse=True)
def one_thread():
    """A network this small is slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(folder, **settings) -> Front:
    bench, method, options = configure("fairness", "palora", settings)
    Trainer(Run(folder), bench.problem(), method, options, device="cpu").start()
    return Front.load(folder / "front.json")


def test_the_slider_trades_accuracy_for_equal_outcomes(tmp_path):
    front = trained(tmp_path / "run", gaps="outcomes", epochs=6)
    accuracy, gap = front.metrics["income/accuracy"], front.metrics["equal_outcomes/gap"]
    assert accuracy[0] > 0.845 and gap[0] > 10 and gap[-1] < 3.5
    assert accuracy[-1] > 0.815  # the floor: not one answer for everybody, which is right for 75.7 %
    assert front.spearman()[0] < -0.95 and front.spearman()[1] < -0.6
    bench = benchmarks.get("fairness")(gaps="outcomes")
    assert bench.answer(bench.questions[1], front) < 3
    assert front.effect()["income"] > 0.05


@pytest.mark.slow
def test_three_sides_cannot_be_had_at_once(tmp_path):
    """Equal rates for all mean unequal ones for those who earn well, and the other way round."""
    front = trained(tmp_path / "run")
    outcomes, chances = front.metrics["equal_outcomes/gap"], front.metrics["equal_chances/gap"]
    good = front.metrics["income/accuracy"] > 0.82
    assert (outcomes[good & (chances < 4)] > 6).all() and (chances[good & (outcomes < 4)] > 8).all()
    assert (good & (outcomes < 4)).any() and (good & (chances < 4)).any()


def test_every_method_is_asked_about_its_front_but_not_several_networks_at_once(tmp_path):
    from palora_core.evaluation.tables import Result, joined, row

    bench = Fairness(gaps="outcomes")
    metrics = {"income/accuracy": [0.8], "income/auroc": [0.9], "income/calibration_error": [0.1]}
    metrics |= {"equal_outcomes/gap": [1.0]}
    front = Front(
        np.full((1, 2), 0.5),
        np.full((1, 2), 0.1),
        {name: np.array(values) for name, values in metrics.items()},
        ("income", "equal_outcomes"),
        bench.reference,
    )
    card = {"title": "LS on Fairness", "method": {"name": "ls"}, "training": {"seed": 0, "seconds": 1.0}}
    card |= {"parameters": {"base": 10, "extra": 0, "overhead_percent": 0.0}}
    one = Result(card, front)
    assert row([one], bench)["figure accuracy_when_equal"]["mean"] == 0.8
    assert "figure accuracy_when_equal" not in row([joined([one, one])], bench)
