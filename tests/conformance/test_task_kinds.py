"""Every registered kind of task knows its name, what chance is, and how much two predictions differ."""

from __future__ import annotations

import inspect

import pytest

import palora_core as pc
from palora_core.tasks import Task


@pytest.mark.parametrize("name", pc.tasks())
def test_a_kind_is_a_whole_task(name):
    made = pc.tasks()[name]
    assert issubclass(made, Task) and made.kind == name
    hooks = ("out_channels", "_terms", "constant_answer", "effect")
    assert all(inspect.getattr_static(made, hook) is not inspect.getattr_static(Task, hook) for hook in hooks)


def test_a_subclass_that_is_not_registered_is_of_the_kind_it_extends():
    class Own(pc.tasks()["depth"]):
        pass

    assert Own("d").kind == "depth"


def test_a_kind_from_outside_has_the_name_it_was_filed_under():
    from palora_core.registries import REGISTRIES

    @pc.register("task", "of the test")
    class Mine(Task):
        pass

    try:
        assert Mine("m").kind == "of the test" and pc.tasks()["of the test"] is Mine
        with pytest.raises(pc.UserError, match="'depth' is taken"):
            pc.register("task", "depth")(Mine)
        assert Mine.kind == "of the test"
    finally:
        del REGISTRIES["task"]._entries["of the test"]


@pytest.mark.parametrize("name", ["classification", "segmentation"])
def test_classes_have_as_many_names_as_there_are(name):
    made = pc.tasks()[name]
    assert made("t", 2, classes=("a", "b")).classes == ("a", "b")
    with pytest.raises(pc.UserError, match=r"'t' .* has 3 names for 2 classes"):
        made("t", 2, classes=("a", "b", "c"))


def test_even_where_all_are_right_some_could_be_wrong():
    assert pc.tasks()["classification"]("t", 2).least_uncertainty(30) == pytest.approx(0.1)
    assert pc.tasks()["depth"]("t").least_uncertainty(30) == 0
