"""Options come from the dataclasses alone: every one can be listed, set from text, written and read back."""

import json
import re
from dataclasses import dataclass
from typing import Literal

import pytest

from palora_core.benchmarks.base import benchmarks
from palora_core.config import PARTS, from_dict, method_from, method_from_dict, options, override, to_dict
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.ranges import Range
from palora_core.training.options import TrainingOptions
from palora_core.training.setup import configure


@dataclass(frozen=True)
class Sample:
    """Something to set.

    Attributes:
        count: how many,
            and on a second line.
        rate: how fast.
        name: what.
        flag: whether.
        some: a few numbers.
        perhaps: one or none.
        mode: which.
        level: which number.
    """

    count: int = 1
    rate: float = 0.5
    name: str = "a"
    flag: bool = False
    some: tuple[float, ...] = ()
    perhaps: float | None = None
    mode: Literal["x", "y"] = "x"
    level: Literal[1, 2] = 1


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        *(("count", "12", 12), ("count", 3, 3), ("count", 3.0, 3), ("rate", "1e-3", 1e-3), ("rate", "2", 2.0)),
        *(("name", "some text", "some text"), ("flag", "true", True), ("flag", "No", False), ("flag", True, True)),
        *(("some", "0.5,0.75", (0.5, 0.75)), ("some", "(0.5, 0.75)", (0.5, 0.75)), ("some", "[1]", (1.0,))),
        *(("some", "", ()), ("some", "none", ()), ("some", [1, 2], (1.0, 2.0)), ("perhaps", "none", None)),
        *(("perhaps", "0.25", 0.25), ("mode", "y", "y"), ("level", "2", 2), ("level", 2, 2)),
    ],
)
def test_text_becomes_the_type_of_the_option(key, text, value):
    found = getattr(override(Sample(), {key: text}), key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("count", "1.5"), ("count", "many"), ("count", float("inf")), ("count", None), ("count", 2.5)),
        *(("rate", "fast"), ("rate", None), ("flag", "perhaps"), ("some", "a,b"), ("some", "((1,2),3)"), ("some", 3)),
        *(("some", "1,__import__('os')"), ("some", "[" * 5000), ("mode", "z"), ("level", "3"), ("perhaps", "x")),
    ],
)
def test_values_of_another_type_are_refused_by_name(key, text):
    with pytest.raises(UserError, match=f"^{key} must be"):
        override(Sample(), {key: text})


def test_help_is_read_from_the_docstring():
    found = {option.name: option for option in options(Sample())}
    assert found["count"].help == "how many, and on a second line."
    assert found["mode"].choices == ("x", "y")
    assert found["perhaps"].value is None


def test_unknown_options_name_the_closest():
    with pytest.raises(UserError, match="did you mean 'count'"):
        override(Sample(), {"cuont": 1})
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        configure("multimnist", "palora", {"epoch": 3})
    with pytest.raises(UserError, match="did you mean 'multimnist'"):
        configure("multi-mnist", "palora", {})
    with pytest.raises(UserError, match="did you mean 'palora'"):
        configure("multimnist", "paolra", {})
    with pytest.raises(UserError, match="did you mean 'dirichlet'"):
        configure("multimnist", "palora", {}, {"sampler": "dirichlett"})
    with pytest.raises(UserError, match="no part 'network'"):
        configure("multimnist", "palora", {}, {"network": "lenet"})


def test_settings_go_where_their_names_belong():
    bench, method, training = configure(
        "multimnist",
        "palora",
        {"rank": "3", "sampler.temperature": "0.5", "epochs": 4, "train_images": "64", "training.lr": "0.01"},
        {"balancer": "gradient_normalised"},
    )
    assert (bench.train_images, method.conditioning.rank, method.sampler.temperature) == (64, 3, 0.5)
    assert (training.epochs, training.lr) == (4, 0.01)
    assert type(method.balancer).__name__ == "GradientNormalised"


def test_an_option_of_two_owners_must_say_which():
    bench, _, training = configure("multimnist", "palora", {"benchmark.data_seed": 3, "training.seed": 2})
    assert bench.data_seed == 3
    assert training.seed == 2


@pytest.mark.parametrize("name", methods.names())
def test_every_method_survives_json(name):
    method = method_from(name)
    data = json.loads(json.dumps({"name": name, **to_dict(method)}))
    again = method_from_dict(data)
    assert type(again) is type(method)
    assert to_dict(again) == to_dict(method)
    assert methods.name_of(again) == name


@pytest.mark.parametrize("name", benchmarks.names())
def test_every_benchmark_and_its_training_survive_json(name):
    bench = benchmarks.get(name)()
    assert from_dict(type(bench), json.loads(json.dumps(to_dict(bench)))) == bench
    training = TrainingOptions.of(bench)
    assert from_dict(TrainingOptions, json.loads(json.dumps(to_dict(training)))) == training


@pytest.mark.parametrize("name", methods.names())
def test_every_option_of_a_method_has_help_and_accepts_its_own_value(name):
    method = method_from(name)
    for option in options(method):
        assert option.help, f"{option.path} of {name} is not described in its docstring"
        assert override(method, {option.path: option.value}).num_preferences == method.num_preferences


OWN = [name for name in benchmarks.names() if benchmarks.get(name).__module__.startswith("palora_core.")]


@pytest.mark.parametrize("name", OWN)
def test_every_option_of_a_benchmark_has_help(name):
    missing = [option.path for option in options(benchmarks.get(name)()) if not option.help]
    assert missing == []
    assert [option.path for option in options(TrainingOptions()) if not option.help] == []


def test_parts_that_are_not_registered_cannot_be_named():
    with pytest.raises(UserError, match="Sample is not a registered"):
        methods.name_of(Sample())


# -- ranges -----------------------------------------------------------------------------------------------------------
ALL = [
    *((f"method {name}", methods.get(name)) for name in methods.names()),
    *((f"benchmark {name}", benchmarks.get(name)) for name in OWN),
    *((f"{part} {name}", entry) for part, registry in PARTS.items() for name, entry in registry().items()),
    ("training", TrainingOptions),
]
FREE = {"minimum", "ideal"}  # bounds of losses, which may be any number


@pytest.mark.parametrize(("name", "kind"), ALL, ids=[name for name, _ in ALL])
def test_every_number_has_a_range_that_holds_its_default_and_refuses_what_lies_outside(name, kind):
    config = kind()
    for option in options(config):
        if option.type not in (int, float) or option.name in FREE or option.choices:
            continue
        assert option.range is not None, f"{option.path} of {name} may be anything"
        assert option.value in option.range
        for wrong in (option.range.low - 1, option.range.high + 1, float("nan"), float("inf")):
            with pytest.raises(UserError, match=rf"^{re.escape(option.path)} must be "):
                override(config, {option.path: wrong})


def test_ranges_say_what_they_are():
    assert str(Range(1)) == "at least 1"
    assert str(Range(0, open_low=True)) == "above 0"
    assert str(Range(0, 1)) == "from 0 to 1"
    assert str(Range(0, 0.5, open_low=True, open_high=True)) == "above 0 and below 0.5"
    assert str(Range(0, 2**63, open_high=True)) == "at least 0 and below 2^63"
    assert str(Range(1, 1000)) == "from 1 to 1,000"
    assert True not in Range(0) and "1" not in Range(0) and 0 not in Range(0, open_low=True)


@pytest.mark.parametrize(
    ("settings", "parts", "sentence"),
    [
        (
            {"rank": -1},
            {},
            "conditioning.rank must be from 1 to 4,096, found -1|rank must be from 1 to 4,096, found -1",
        ),
        ({"alpha": "-5"}, {}, "alpha must be above 0 and at most 1,000,000, found -5.0"),
        ({"lr": "1e9"}, {}, "lr must be above 0 and below 10, found 1000000000.0"),
        ({"unfrozen": "nonsense(("}, {}, "nothing is frozen; set adapters_only=true"),
        (
            {"unfrozen": "nonsense((", "adapters_only": True},
            {},
            r"has no part 'nonsense\(\(' to leave unfrozen; it has ",
        ),
        ({"layer": "nowhere"}, {"conditioning": "inputconcat"}, "no Linear, Conv or Embedding layer at 'nowhere'"),
        ({"task": 5}, {"sampler": "one_task"}, "task is 5"),
        ({"preference": "1,2,3"}, {"sampler": "constant"}, "3"),
        ({"rank": "9" * 300}, {}, "found 9|found '9|rank must be"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(settings, parts, sentence):
    with pytest.raises(UserError, match=sentence) as refused:
        configure("multimnist", "palora", settings, parts)
    assert len(str(refused.value)) < 400


def test_parts_that_exist_may_be_left_unfrozen():
    _, method, _ = configure("multimnist", "palora", {"unfrozen": "heads", "adapters_only": True})
    assert method.conditioning.unfrozen == "heads"
