"""Options come from the dataclasses alone: every one can be listed, set from text, written and read back."""

import json
from dataclasses import dataclass
from typing import Literal

import pytest

from palora_core.benchmarks.base import benchmarks
from palora_core.config import from_dict, method_from, method_from_dict, name_of, options, override, to_dict
from palora_core.errors import UserError
from palora_core.methods.base import methods
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
    assert name_of(methods, again) == name


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
        name_of(methods, Sample())
