"""What a view of a task is; this one shows any prediction as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from app.pictures.drawing import Picture
from app.views import Views
from palora_core.batches import Batch
from palora_core.objectives import Objective
from palora_core.serving import Served

Values = Mapping[str, Any]
Given = tuple[str, str, str, Values]  # a model's name, its colour, the pattern of its bars, its values

MOST_NUMBERS = 12  # of a prediction; of more, their extent is told


class View:
    """How one task of a model is shown, wherever it is: this base shows numbers, whatever the prediction.

    A subclass, filed by ``@views.register("kind")``, either draws (``pictured``: ``draw``, ``draw_target``,
    ``draw_error``) or tells (``values``, ``target_values``). What is told goes to pages and browsers as JSON in one of
    three forms: ``{"numbers": [..]}``, ``{"probabilities": [..], "top": i}`` with the classes of the legend, or
    ``{"rows": [[what, text], ..]}``; beside these there may be more, for the kind's own script. Everything else
    follows from those, and may be overridden.

    Args:
        task: the task.
        told: what a card says of it: ``classes``, ``unit``.
        targets: gives the targets [B, …] of the model's samples, for scales of colours.
    """

    kind: ClassVar[str] = ""
    pictured: ClassVar[bool] = False
    joint: ClassVar[bool] = False  # all tasks of the kind read one prediction: the first of them tells it for all
    goes_on: ClassVar[bool] = False  # see :meth:`go_on`
    decides: ClassVar[bool] = False  # whether a prediction is a choice of one class, that λ may flip
    policy: ClassVar[bool] = False  # whether λ sets a policy with it, which pages then tell in a sentence

    def __init__(
        self, task: Objective, told: Values | None = None, targets: Callable[[], Sequence[Tensor]] = tuple
    ) -> None:
        self.task: Any = task
        self._told, self._targets = told or {}, targets

    @property
    def unit(self) -> str:
        """Of what is told, "" if it has none."""
        return str(getattr(self.task, "unit", "") or self._told.get("unit") or "")

    # -- pictures ----------------------------------------------------------------------------------------------------
    def draw(self, prediction: Tensor) -> Picture:
        """A picture of one prediction, without the batch dimension."""
        raise NotImplementedError

    def draw_target(self, target: Tensor) -> Picture:
        """A picture of the ground truth of one item; what is unknown is clear or grey."""
        raise NotImplementedError

    def draw_error(self, prediction: Tensor, target: Tensor) -> Picture:
        """Where, and by how much, one prediction is wrong."""
        raise NotImplementedError

    # -- words -------------------------------------------------------------------------------------------------------
    def values(self, prediction: Tensor) -> dict[str, Any]:
        """What is told of one prediction."""
        return numbers(prediction)

    def values_of(self, prediction: Tensor, x: Any) -> dict[str, Any]:
        """The same for kinds that tell it by the input ``x``, a batch of one."""
        return self.values(prediction)

    def excerpt(self, x: Any, own: bool = False) -> Any:
        """What is shown of a sample ``x``, or of a person's ``own`` input, where ``goes_on``; both a batch of one."""
        return x

    def left_out(self, x: Any) -> str:
        """What of a person's own input is not shown, in a sentence; "" where all is."""
        return ""

    def go_on(self, network: Served, x: Any, preference: Tensor, seed: int) -> Iterator[dict[str, Any] | None]:
        """What follows an input (a batch of one) at λ [T], where ``goes_on``: parts as JSON, each all there is so far.

        Each step of the iterator should last no longer than one drag may wait; it gives None where there is nothing to
        be seen of it. ``seed`` is of what is drawn at random.
        """
        raise NotImplementedError

    def target_values(self, target: Tensor) -> dict[str, Any]:
        """The ground truth in the form of :meth:`values`; unknown numbers are None."""
        return self.values(target)

    def of_many(self, outputs: Any, batch: Batch) -> dict[str, Any]:
        """What is told of an objective that predicts nothing by itself: of the outputs for many items, at one λ."""
        return {"rows": []}

    def decision(self, prediction: Tensor) -> Tensor:
        """Logits [C] of which the largest is the decision about one input, where the kind ``decides``."""
        raise NotImplementedError

    def legend(self) -> dict[str, Any]:
        """How to read it, for pages and browsers; the same for all inputs of a model.

        ``classes`` with ``colours``; ``ramp`` (colours) with ``range``, ``ends`` (words) and ``unit``; ``text``;
        for errors ``error`` (a ramp of its own), or ``wrong`` (one colour) where places are only right or wrong;
        ``overlaid``: its picture lies over the input, with the names of classes on their regions.
        """
        return {"unit": self.unit}

    def rows(self, values: Values) -> list[tuple[str, str]]:
        """(what, text) of what is told, for people."""
        if "rows" in values:
            return [(str(what), str(text)) for what, text in values["rows"]]
        unit = f" {self.unit}" if self.unit else ""
        return [("value", "" if number is None else f"{number:.4g}{unit}") for number in values.get("numbers", ())]

    def cell(self, values: Values | None) -> Any:
        """All that is told in one cell of a table: a number, a text, or None."""
        if not values:
            return None
        if len(values.get("numbers", ())) == 1:
            return values["numbers"][0]
        return ", ".join(text if what == "value" else f"{what} {text}" for what, text in self.rows(values)) or None

    def mark(self, values: Values, expected: Values | None) -> str:
        """ " ✓" or " ✗" behind a prediction that is right or wrong, "" where that cannot be said."""
        return ""

    def chart(self, given: Sequence[Given], expected: Values | None) -> Any:
        """A figure of what several models tell (plotly), or None: then they stand in a table."""
        return None

    def charted(self) -> bool:
        """Whether :meth:`chart` gives one."""
        return type(self).chart is not View.chart

    def page(self) -> dict[str, Any]:
        """What the one-file page must know to show outputs: the legend, by default."""
        return self.legend()


views = Views("view of a task", "app.kinds", View)


def view_of(task: Objective, told: Values | None = None, targets: Callable[[], Sequence[Tensor]] = tuple) -> View:
    """The view of a task: its kind's, or that of the nearest kind it extends, or numbers."""
    made: View = views.showing(type(task))(task, told, targets)
    return made


def numbers(values: Tensor, scale: float = 1.0) -> dict[str, Any]:
    """A few numbers as they are, of many their extent."""
    flat = values.detach().float().reshape(-1) * scale
    if flat.numel() <= MOST_NUMBERS:
        return {"numbers": [round(value, 5) if value == value else None for value in flat.tolist()]}
    known = flat[torch.isfinite(flat)]
    if not known.numel():
        return {"rows": [["numbers", f"{flat.numel():,}, none of them known"]]}
    parts = {"smallest": known.min(), "mean": known.mean(), "largest": known.max()}
    return {"rows": [["numbers", f"{flat.numel():,}"], *([name, f"{float(v):.4g}"] for name, v in parts.items())]}


def class_names(view: View) -> list[str] | None:
    """The names of a task's classes, from the task or else the card; None where neither says them all."""
    sizes = (getattr(view.task, name, 0) for name in ("num_classes", "num_labels", "num_points"))
    count = next(filter(None, sizes), view.task.out_channels)
    own, told = list(getattr(view.task, "classes", ())), list(view._told.get("classes") or [])
    return own or (told if len(told) == count else None)
