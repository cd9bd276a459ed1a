"""Single-task learning: one network for one task, the yardstick of every multi-task method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.methods.base import Method, methods
from palora_core.samplers import OneTask, PreferenceSampler


@methods.register("stl")
@dataclass(frozen=True)
class SingleTask(Method):
    """One network trained on one loss alone: ``--set task=1`` for the second task; the other heads stay as they are."""

    title: ClassVar[str] = "STL"
    source: ClassVar[str] = "folklore; the single-task baseline"

    sampler: PreferenceSampler = field(default_factory=OneTask)
