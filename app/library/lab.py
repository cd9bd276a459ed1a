"""Runs as a laboratory's table: what each is called, in which settings they differ, which pass, how they group."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.jobs import as_text
from app.jobs.naming import option_name, option_told
from app.library.entries import RUNS
from app.library.leaderboards import EvaluatedModel
from app.library.series import Series, series

METHOD, SEED = "method", "seed"
CONFIGURATION, RUN = "configuration", "run"  # ways to group that are no settings
NOT_SET = "–"
Value = float | str | None
Range = tuple[float, float] | frozenset[str]


@dataclass(frozen=True, eq=False)
class Lab:
    """The runs of one leaderboard.

    Attributes:
        models: what was evaluated.
        figures: name of a figure → its value per run, by model id.
    """

    models: Sequence[EvaluatedModel]
    figures: Mapping[str, Mapping[str, float | None]]

    @cached_property
    def names(self) -> dict[str, str]:
        """What every run is called, by id; no two alike."""
        told = {one.id: one.name or f"{one.title} · {one.id.removeprefix(RUNS)}" for one in self.models}
        count = Counter(told.values())
        return {key: f"{name} ({key.removeprefix(RUNS)})" if count[name] > 1 else name for key, name in told.items()}

    @cached_property
    def settings(self) -> dict[str, dict[str, Value]]:
        """The settings in which runs differ, as ``"method.conditioning.rank"``, and their values by id."""
        own = {one.id: {METHOD: one.title, SEED: one.seed, **_plain(one.settings)} for one in self.models}
        keys = dict.fromkeys(key for told in own.values() for key in told if key != "method.name")
        found = {key: {model: _value(told.get(key)) for model, told in own.items()} for key in keys}
        return {key: values for key, values in found.items() if len(set(values.values())) > 1}

    def values(self, axis: str) -> Mapping[str, Value]:
        """The values of a setting or figure by id."""
        return self.settings[axis] if axis in self.settings else self.figures[axis]

    def is_number(self, axis: str) -> bool:
        """Whether all values that are there are numbers."""
        return all(value is None or isinstance(value, float) for value in self.values(axis).values())

    @cached_property
    def axes(self) -> list[str]:
        """All that can be an axis: settings, then figures."""
        return [*self.settings, *self.figures]

    # -- what passes -------------------------------------------------------------------------------------------------
    def passing(self, find: str, brush: Mapping[str, Range]) -> list[EvaluatedModel]:
        """The runs in which every word is found, numbers behind the word before them, and that lie in all ranges."""
        words = find.lower().split()
        return [one for one in self.models if self._told_of(one, words) and self._within(one, brush)]

    def _told_of(self, one: EvaluatedModel, words: Sequence[str]) -> bool:
        if not words:
            return True
        own = [option_told(key, text(values[one.id])) for key, values in self.settings.items() if key != METHOD]
        told = " ".join([self.names[one.id], one.title, one.note.text, *one.note.tags, *own]).lower().split()
        return all(_is_in(told, word, words[place - 1] if place else "") for place, word in enumerate(words))

    def _within(self, one: EvaluatedModel, brush: Mapping[str, Range]) -> bool:
        for axis, kept in brush.items():
            value = self.values(axis)[one.id]
            if isinstance(kept, frozenset):
                if text(value) not in kept:
                    return False
            elif not isinstance(value, float) or not kept[0] <= value <= kept[1]:
                return False
        return True

    def checked(self, brush: Any) -> dict[str, Range]:
        """What a browser or a link says of ranges; what it cannot mean is left out."""
        found: dict[str, Range] = {}
        for axis, kept in brush.items() if isinstance(brush, Mapping) else ():
            if axis not in self.axes or not isinstance(kept, list):
                continue
            if self.is_number(axis):
                numbers = [v for v in kept if isinstance(v, int | float) and not isinstance(v, bool)]
                if len(numbers) == len(kept) == 2 and all(map(math.isfinite, numbers)):
                    found[axis] = (float(min(numbers)), float(max(numbers)))
            elif all(isinstance(v, str) for v in kept):
                found[axis] = frozenset(kept)
        return found

    # -- groups ------------------------------------------------------------------------------------------------------
    def grouped(self, models: Sequence[EvaluatedModel], by: str) -> list[Series]:
        """Runs joined as seeds are: by configuration, each for itself, or by the value of a setting."""
        if by == CONFIGURATION:
            return series(models)
        if by == RUN:
            return [Series(self.names[one.id], (one,), place=i) for i, one in enumerate(models)]
        values, groups = self.settings[by], dict[str, list[EvaluatedModel]]()
        for one in models:
            groups.setdefault(text(values[one.id]), []).append(one)
        names = sorted(groups, key=lambda name: (_as_number(name), name))
        told = {name: name if by == METHOD else option_told(by, name) for name in names}
        return [Series(told[name], tuple(groups[name]), place=place) for place, name in enumerate(names)]


def heading(axis: str) -> str:
    """What an axis or a column is called; the name of a method's part is called like the part."""
    if axis.endswith(".name") and " " not in axis:
        return axis.split(".")[-2]
    return axis if "." not in axis or " " in axis else option_name(axis)


def headings(axes: Sequence[str]) -> dict[str, str]:
    """What axes are called, each by another name: settings of one name with their group."""
    told = {axis: heading(axis) for axis in axes}
    count = Counter(told.values())
    return {a: f"{name} ({a.rpartition('.')[0]})" if count[name] > 1 and "." in a else name for a, name in told.items()}


def text(value: Value) -> str:
    """A value as tables and axes show it."""
    if value is None:
        return NOT_SET
    return f"{value:.10g}" if isinstance(value, float) else value


def _is_in(told: Sequence[str], word: str, before: str) -> bool:
    """Whether a word is a part of one of these; a number is the whole of one, behind the word that stands before it."""
    if math.isinf(_as_number(word)):
        return any(word in one for one in told)
    return any(one == word and before in told[max(0, place - 1)] for place, one in enumerate(told))


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "training.seed"}


def _value(value: Any) -> Value:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else str(value)
    return as_text(value) if isinstance(value, bool | list | tuple) else json.dumps(value, default=str)


def _as_number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return math.inf
