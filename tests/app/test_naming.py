"""What runs are called: by what differs from the defaults, whoever started them, whatever their files hold."""

import json
import re
from dataclasses import dataclass

import pytest

from app.jobs import naming
from palora_core.config import options
from palora_core.methods.base import methods
from palora_core.training.card import run_config
from palora_core.training.options import TrainingOptions
from palora_core.training.setup import configure


def config(benchmark, method, settings=(), parts=()):
    bench, *rest = configure(benchmark, method, dict(settings), dict(parts))
    return json.loads(json.dumps(run_config(bench.problem(), *rest)))


@pytest.mark.parametrize("method", methods.names())
def test_a_run_with_the_defaults_differs_in_nothing(method):
    for benchmark in ("multimnist", "rooms"):
        assert naming.differing(config(benchmark, method)) == ()


def test_only_what_differs_is_named():
    found = naming.differing(config("multimnist", "palora", {"rank": 2, "lr": 0.01, "train_images": 64}))
    assert dict(found) == {"train_images": "64", "conditioning.rank": "2", "lr": "0.01"}
    assert naming.described(found) == "train images 64, rank 2, learning rate 0.01"


def test_options_are_told_to_people():
    told = naming.described((("conditioning.reinit", "true"), ("bounded", "False"), ("conditioning.conv_form", "flat")))
    assert told == "with members drawn anew, without bounded, form of convolutions flat"
    known = {option.name for name in methods.names() for option in options(methods.get(name)())}
    known |= {option.name for option in options(TrainingOptions())}
    assert set(naming.OPTION_NAMES) <= known, "an option that is gone needs no name"


def test_a_replaced_part_is_named_and_its_options_are_compared_with_its_own_defaults():
    parts = {"sampler": "dirichlet"}
    assert naming.differing(config("multimnist", "palora", (), parts)) == (("sampler", "dirichlet"),)
    found = naming.differing(config("multimnist", "palora", {"concentration": 3}, parts))
    assert dict(found) == {"sampler": "dirichlet", "sampler.concentration": "3.0"}


def test_both_sources_of_settings_agree():
    asked = naming.asked_for(["--benchmark", "multimnist", "--method", "palora", "--set", "method.conditioning.rank=2"])
    assert asked == (("conditioning.rank", "2"),) == naming.differing(config("multimnist", "palora", {"rank": 2}))


@pytest.mark.parametrize("broken", [{}, {"benchmark": 3}, {"benchmark": {"name": "gone"}}, [], None, "text"])
def test_any_configuration_is_read(broken):
    assert naming.differing(broken) == () and naming.settings_of(broken) == {}


def test_folder_names_say_what_differs_and_are_names_of_folders():
    stem = naming.folder_stem("multimnist-palora", {"training.epochs": 3, "method.conditioning.unfrozen": "a/../b c"})
    assert stem == "multimnist-palora-epochs3-unfrozena..bc"
    long = naming.folder_stem("multimnist-palora", {f"option_{i}": "x" * 300 for i in range(9)})
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,89}", long), "a name that every file system takes"


@dataclass(frozen=True)
class One:
    title: str


def test_equal_titles_are_numbered_from_the_oldest():
    assert [one.title for one in naming.told_apart([One("a"), One("b"), One("a")])] == ["a (2)", "b", "a (1)"]


def test_titles_use_the_names_for_people():
    assert naming.title("palora", "multimnist", (("rank", "2"),)) == "PaLoRA on MultiMNIST · rank 2"
    assert naming.title("gone", "", ()) == "gone on ?"
