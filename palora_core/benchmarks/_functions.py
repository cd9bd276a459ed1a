"""Benchmarks made of a function that returns a problem: the shortest way to register one's own."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from palora_core.benchmarks.base import Benchmark, Progress, Recipe, benchmarks
from palora_core.errors import UserError
from palora_core.inputs import Input
from palora_core.objectives import Objective
from palora_core.problem import NamedNetwork, Problem


@dataclasses.dataclass(frozen=True)
class FunctionBenchmark(Benchmark):
    """What a registered function's problem is as a benchmark; see :func:`from_function`."""

    function: ClassVar[Callable[..., Problem]]
    recipe: ClassVar[Recipe] = Recipe(epochs=10, batch_size=64, lr=1e-3)

    @cached_property
    def made(self) -> Problem:
        """The function's problem, told what it is called; made once."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        problem = type(self).function(**given)
        if not isinstance(problem, Problem):
            name = type(self).function.__qualname__
            raise UserError(f"{name} gave a {type(problem).__name__}; expected a pc.Problem.")
        problem.name, problem.options = benchmarks.name_of(self), given
        if not problem.about.title:
            problem.about = dataclasses.replace(problem.about, title=self.title, summary=self.summary)
        return problem

    def problem(self, data: Path = Path(), progress: Progress | None = None) -> Problem:
        """The function's own; its data are where it says."""
        return self.made

    @property
    def tasks(self) -> tuple[Objective, ...]:
        """The problem's objectives."""
        return self.made.objectives

    @property
    def input_kind(self) -> Input | str:
        """The problem's."""
        return self.made.inputs

    @property
    def reference(self) -> tuple[float, ...]:
        """The problem's; ones where it is proposed from the first front."""
        given = self.made.reference
        return tuple(given) if given is not None else (1.0,) * len(self.made.objectives)

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """The registered name and options of the problem's network, where it has them."""
        network = self.made.network
        return (network.name, dict(network.options)) if isinstance(network, NamedNetwork) else ("", {})


def from_function(function: Callable[..., Problem]) -> type[FunctionBenchmark]:
    """A benchmark whose options are the function's parameters, which need default values.

    Raises:
        UserError: a parameter without a default.
    """
    hints = typing.get_type_hints(function)
    fields = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is parameter.empty:
            raise UserError(
                f"{function.__qualname__} cannot be registered as a benchmark: its parameter {parameter.name!r} has no "
                "default, and options have one."
            )
        kind = hints.get(parameter.name, type(parameter.default))
        fields.append((parameter.name, kind, dataclasses.field(default=parameter.default)))
    text = inspect.getdoc(function) or ""
    told = {
        "function": staticmethod(function),
        "title": function.__name__.replace("_", " "),
        "summary": text.partition("\n")[0],
        "__doc__": text,
        "__module__": function.__module__,
    }
    made = dataclasses.make_dataclass(
        function.__name__, fields, bases=(FunctionBenchmark,), namespace=told, frozen=True
    )
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    return typing.cast("type[FunctionBenchmark]", made)
