"""What comes back from the canvas, and who may draw."""

import base64

import pytest

from app.components.canvas import as_png
from app.inputs.base import input_view_of
from palora_core.benchmarks.multimnist import MultiMNIST
from palora_core.benchmarks.multimnist3 import MultiMNIST3
from palora_core.inputs import RGB, Grey


def test_only_a_png_of_the_canvas_is_taken():
    assert as_png("data:image/png;base64," + base64.b64encode(b"abc").decode()) == b"abc"
    for other in (None, "", 3, "data:image/svg+xml;base64,YWJj", "data:image/png;base64,%%%"):
        assert as_png(other) is None


def test_networks_of_bright_figures_are_drawn_for_first():
    assert input_view_of(Grey((28, 28), dark=True)).sources == ("Draw", "File", "Camera")
    assert input_view_of(Grey((28, 28))).sources == input_view_of(RGB((8, 8))).sources == ("File", "Camera")


@pytest.mark.parametrize("bench", [MultiMNIST(), MultiMNIST3()])
def test_marks_of_digits_lie_in_the_picture_as_the_digits_do(bench):
    marks = bench.input_kind.marks
    assert len(marks) == len(bench.tasks)
    for (left, top, width, height), (row, column) in zip(marks, bench.offsets.values()):
        assert (left, top) == pytest.approx(((column + 4) / bench.canvas, (row + 4) / bench.canvas))
        assert width == height == pytest.approx(20 / bench.canvas) and left + width <= 1 and top + height <= 1
