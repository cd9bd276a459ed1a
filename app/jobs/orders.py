"""What to train: checked before anything is made, turned into a command line, kept in ``job.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from palora_core.benchmarks.base import Benchmark
from palora_core.errors import UserError
from palora_core.methods.base import Method
from palora_core.storage import schema
from palora_core.storage.reading import SMALL, read_json
from palora_core.storage.writing import write_json
from palora_core.training.options import TrainingOptions
from palora_core.training.setup import configure, configure_expansion

FORBIDDEN_SETTINGS = ("start_from",)  # a path: not for browsers
SCRIPTS = ("train.py", "expand.py")
TIMES = ("created", "queued", "launched")
LATEST = 1e11  # seconds: the year 5138


Configured = tuple[Benchmark, Method, TrainingOptions]


@dataclass(frozen=True)
class Order:
    """What to train: names and settings as :func:`palora_core.training.setup.configure` takes them."""

    script: ClassVar[str] = "train.py"

    benchmark: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """How the name of the run begins."""
        return f"{self.benchmark}-{self.method}"

    def configured(self) -> Configured:
        """Benchmark, method and training options.

        Raises:
            UserError: anything that the training script would refuse.
        """
        _check_settings(self.settings)
        return configure(self.benchmark, self.method, self.settings, self.parts)

    def arguments(self) -> list[str]:
        """The training script's arguments, without the folder."""
        result = ["--benchmark", self.benchmark, "--method", self.method]
        for part, entry in self.parts.items():
            result += [f"--{part}", entry]
        return result + _sets(self.settings)


@dataclass(frozen=True)
class Expansion:
    """Pareto expansion (§4.4 of the paper) of a model that is here: new adapters, and only they are trained.

    Attributes:
        benchmark: registry name; the source's own.
        source: folder of the model; found by the model's id, never sent by a browser.
        title: the model's name for people.
        settings: as in :class:`Order`.
    """

    script: ClassVar[str] = "expand.py"
    method: ClassVar[str] = "palora"

    benchmark: str
    source: Path
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: ClassVar[Mapping[str, str]] = {}

    @property
    def stem(self) -> str:
        """How the name of the run begins."""
        return f"{self.benchmark}-expansion"

    def configured(self) -> Configured:
        """Benchmark, method and training options.

        Raises:
            UserError: anything that the script would refuse.
        """
        _check_settings(self.settings)
        return configure_expansion(self.benchmark, self.source, self.settings)

    def arguments(self) -> list[str]:
        """The script's arguments, without the folder."""
        settings = dict(self.settings)
        epochs = settings.pop("training.epochs", None)
        result = ["--benchmark", self.benchmark, "--from", str(self.source.resolve())]
        return result + ([] if epochs is None else ["--epochs", as_text(epochs)]) + _sets(settings)


def _check_settings(settings: Mapping[str, Any]) -> None:
    for key in settings:
        if key.rpartition(".")[2] in FORBIDDEN_SETTINGS:
            raise UserError(f"{key} is a path on the server and can only be given on the command line.")


def _sets(settings: Mapping[str, Any]) -> list[str]:
    return [text for key, value in settings.items() for text in ("--set", f"{key}={as_text(value)}")]


def as_text(value: Any) -> str:
    """An option's value as the command line takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(as_text(item) for item in value) or "none"
    return "none" if value is None else str(value)


def read_order(folder: Path) -> dict[str, Any]:
    """``job.json`` of a run folder, every part of its kind or None; {} if there is none that can be read."""
    try:
        order = schema.options(read_json(folder / "job.json", "job", SMALL), "the job")
        arguments = order.get("arguments") or []
        if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
            raise UserError("its arguments are no texts.")
        checked: dict[str, Any] = {"script": schema.text(order.get("script"), "script")}
        checked |= {name: schema.number(order.get(name), name, 0, LATEST) for name in TIMES}
        checked["threads"] = schema.whole(order.get("threads"), "threads", 1, 4096)
        checked["expands"] = schema.text(order.get("expands"), "expands", schema.MOST_TEXT)
    except UserError:
        return {}
    return {**order, **{name: value for name, value in checked.items() if value is not None}}


def write_order(folder: Path, order: Mapping[str, Any]) -> None:
    """Replace ``job.json`` of a run folder."""
    write_json(folder / "job.json", {"format": 1, **order})
