"""Nobody outside the rooms of kinds asks for a kind by name: the rooms and their objects answer instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import palora_core as pc
from palora_core.objectives import Objective

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("palora_core/tasks", "palora_core/inputs", "app/kinds", "app/inputs")
NAMES = "|".join(sorted({*pc.tasks(), *pc.inputs()}, key=len, reverse=True))
# A comparison with a name of a kind, on either side, or a list of them to look in; in Python and in JavaScript.
QUOTED = rf"""["'](?:{NAMES})["']"""
COMPARED = re.compile(rf"(?:[!=]==?|\bin|\bcase)\s*[\[({{]?\s*{QUOTED}|{QUOTED}\s*(?:[!=]==?|\bin\b.*\bkinds?\b)")
LISTED = re.compile(rf"[\[({{]\s*{QUOTED}\s*,\s*{QUOTED}")
ASKED = re.compile(r"\b(?:task|objective|view)s?(?:\[\w+\])?\.kind\s*(?:[!=]==?|\bin\b|\bnot in\b)")
BY_CLASS = re.compile(r"isinstance\(\s*\w*(?:task|objective)\w*,(?!\s*(?:Task|Objective)\b)")
# Tasks, outputs and fields of data sets may be called like the kind that they are of.
EXAMPLE = re.compile("``.*?``", re.DOTALL)  # in a docstring
DATA = ("palora_core/benchmarks/", "palora_core/preparation/", "palora_core/scenes/")


def sources() -> list[Path]:
    found = [path for folder in ("app", "palora_core") for path in sorted((ROOT / folder).rglob("*"))]
    outside = [path for path in found if not path.relative_to(ROOT).as_posix().startswith(ROOMS)]
    return [path for path in outside if path.suffix in (".py", ".js") and "__pycache__" not in path.parts]


def comparisons(text: str) -> list[str]:
    asks = (COMPARED, LISTED, ASKED, BY_CLASS)
    return [line.strip() for line in EXAMPLE.sub("", text).splitlines() if any(ask.search(line) for ask in asks)]


def test_no_kind_is_compared_outside_its_room():
    wrong = {}
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        lines = comparisons(path.read_text(encoding="utf-8"))
        if name.startswith(DATA):
            lines = [line for line in lines if ASKED.search(line)]
        if lines:
            wrong[name] = lines
    assert not wrong


@pytest.mark.parametrize(
    "line",
    [
        'if task.kind == "segmentation":',
        "const pictured = kind === 'depth' ? 1 : 0",
        "PICTURED = ('segmentation', 'depth')",
        'if "normals" == kind:',
        "if task.kind in PICTURED:",
        "case 'regression':",
        'return self.benchmark.input_kind in ("rgb", "grey")',
        "classes = [t for t in tasks if isinstance(task, Classification)]",
    ],
)
def test_what_used_to_be_there_would_be_found(line):
    assert comparisons(line)


def test_the_rooms_have_the_same_kinds_on_both_sides():
    from app.inputs import input_views
    from app.kinds import views

    assert set(pc.tasks()) <= set(views()) and set(pc.inputs()) == set(input_views())
    pc.benchmarks()  # they import the objectives that are no tasks
    assert set(views()) - set(pc.tasks()) <= kinds_of(Objective)


def kinds_of(made: type) -> set[str]:
    return {made.kind}.union(*map(kinds_of, made.__subclasses__()))
