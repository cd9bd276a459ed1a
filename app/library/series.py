"""Evaluated models joined over seeds: one configuration of a method is one line of a figure, one row of a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.jobs import as_text
from app.jobs.naming import option_name, option_told
from app.library.leaderboards import EvaluatedModel
from palora_core.config import method_from_dict, options
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.methods.base import methods
from palora_core.training.options import TrainingOptions

# Hypervolumes of more tasks take too long to rank models by.
MOST_RANKED = 4


@dataclass(frozen=True, eq=False)
class Series:
    """One configuration of a method with all its seeds: one line of a figure, one row of a table.

    Attributes:
        name: for people, unique in its figure.
        members: its seeds.
        variation: number among the configurations of the same method.
        place: its place among groups that are no methods: colours tell these apart then.
    """

    name: str
    members: tuple[EvaluatedModel, ...]
    variation: int = 0
    place: int | None = None

    @property
    def method(self) -> str:
        """Registry name."""
        return self.members[0].method

    @property
    def published(self) -> bool:
        """Whether the numbers are a paper's."""
        return self.members[0].published

    @property
    def fronts(self) -> list[Front]:
        """One per seed."""
        return [member.front for member in self.members]

    @property
    def single(self) -> bool:
        """Whether it is one solution instead of a front."""
        return len(self.members[0].front.preferences) == 1

    @property
    def steered(self) -> bool:
        """Whether λ changes what it predicts."""
        method = self.method
        return methods.get(method)().controllable if method in methods else not self.single

    @cached_property
    def aligned(self) -> bool:
        """Whether all seeds were evaluated at the same preferences, so that points can be averaged."""
        first = self.fronts[0].preferences
        return all(f.preferences.shape == first.shape and np.allclose(f.preferences, first) for f in self.fronts)

    @cached_property
    def mean(self) -> Front:
        """The mean over seeds at each preference; the first seed where they cannot be averaged."""
        first, fronts = self.fronts[0], self.fronts
        if len(fronts) == 1 or not self.aligned:
            return first
        shared = [name for name in first.metrics if all(name in f.metrics for f in fronts)]
        metrics = {name: np.mean([f.metrics[name] for f in fronts], axis=0) for name in shared}
        objectives = np.mean([f.objectives for f in fronts], axis=0)
        return Front(first.preferences, objectives, metrics, first.tasks, first.reference, first.about)


def series(models: Sequence[EvaluatedModel]) -> list[Series]:
    """Join the seeds of each configuration; configurations of one name are told apart by the options that differ."""
    groups: dict[str, list[EvaluatedModel]] = {}
    for model in models:
        key = json.dumps([model.title, model.published, model.settings], sort_keys=True, default=str)
        group = groups.get(key, [])
        weights = model.card.get("weights_sha256")
        if weights and any((m.seed, m.card.get("weights_sha256")) == (model.seed, weights) for m in group):
            continue  # a copy of the same model in another folder
        taken = [member.seed for member in group]
        again = model.seed is None or model.seed in taken
        groups.setdefault(f"{key}{model.id}" if again else key, []).append(model)
    by_title: dict[str, list[list[EvaluatedModel]]] = {}
    for members in groups.values():
        by_title.setdefault(members[0].title, []).append(members)
    found: list[Series] = []
    for title, alike in by_title.items():
        names = [title] if len(alike) == 1 else _named(title, alike)
        for name, members in zip(names, alike):
            earlier = sum(s.method == members[0].method and s.published == members[0].published for s in found)
            found.append(Series(name, tuple(sorted(members, key=lambda m: m.seed or 0)), earlier))
    return found


def shown_first(everything: Sequence[Series], most: int) -> list[str]:
    """Names of what to draw before anybody has chosen: of each kind those with the largest hypervolume.

    Two thirds of the places go to fronts, the rest to single solutions, of which a figure bears more.
    """
    own = [one for one in everything if not one.published]
    if len(own) <= most:
        return [one.name for one in own]
    small = len(own[0].mean.tasks) <= MOST_RANKED
    ranked = sorted(own, key=lambda one: -one.mean.hypervolume()) if small else own
    fronts, points = ([one.name for one in ranked if one.single is single] for single in (False, True))
    places = max(most - len(points), 2 * most // 3)
    kept = {*fronts[:places], *points[: most - len(fronts[:places])]}
    return [one.name for one in own if one.name in kept]


def _named(title: str, alike: Sequence[Sequence[EvaluatedModel]]) -> list[str]:
    """A name for each of several configurations of one title: what people call it, or options in which they differ."""
    firsts = [members[0] for members in alike]
    keys = differing_options(firsts)
    names = []
    for first, members in zip(firsts, alike):
        told = (
            [first.name]
            if first.name and len(members) == 1
            else [option_told(key, as_text(first.settings.get(key))) for key in keys]
        )
        names.append(f"{title} ({', '.join(told) or first.id})")
    return names if len(set(names)) == len(names) else [f"{title} ({c.id.removeprefix('run:')})" for c in firsts]


def differing_options(firsts: Sequence[EvaluatedModel]) -> list[str]:
    """Up to two options that differ between configurations, as ``"method.conditioning.rank"``."""
    keys = dict.fromkeys(key for model in firsts for key in model.settings)
    return [key for key in keys if len({json.dumps(c.settings.get(key), default=str) for c in firsts}) > 1][:2]


def explained(shown: Sequence[Series]) -> dict[str, str]:
    """What the options mean that the names of these series tell apart: option → its description."""
    found: dict[str, str] = {}
    for title in dict.fromkeys(one.members[0].title for one in shown if not one.published):
        firsts = [one.members[0] for one in shown if one.members[0].title == title]
        for key in differing_options(firsts) if len(firsts) > 1 else []:
            text = _description(key, firsts[0])
            if text:
                found[option_name(key)] = text
    return found


def _description(key: str, model: EvaluatedModel) -> str:
    group, _, path = key.partition(".")
    try:
        config = method_from_dict(model.card["method"]) if group == "method" else TrainingOptions()
    except (UserError, KeyError, TypeError, ValueError):
        return ""
    return next((option.help for option in options(config) if option.path == path), "")
