"""How long a run will take: from earlier runs like it, else roughly from whatever was trained on the benchmark."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from app.jobs.folders import folder_of, names
from app.jobs.orders import Expansion, Order
from app.jobs.status import read_events
from app.settings import models_root
from palora_core import checkpoint
from palora_core.config import to_dict
from palora_core.errors import UserError
from palora_core.storage.runs import Run

# Runs and cards that are read for one estimate.
MOST_READ = 100


@dataclass(frozen=True)
class Estimate:
    """Seconds, and whether they come from runs that differ in seed, length and rates only."""

    seconds: float
    alike: bool


def estimate(order: Order | Expansion) -> Estimate | None:
    """How long ``order`` will take; None where nothing was trained on its benchmark yet.

    Without a run like it, the time per item and preference of other runs and of shipped models is scaled by the
    epochs, the preferences per step and the training items: right to about a factor of two on the same machine.
    """
    bench, method, training = order.configured()
    wanted = _Work(order.benchmark, to_dict(bench), {"name": order.method, **to_dict(method)}, to_dict(training))
    alike, rough = [], []
    for work, seconds in _known(order.benchmark):
        with contextlib.suppress(KeyError, TypeError, ValueError, ArithmeticError):
            if work.key == wanted.key:
                alike.append(seconds / work.epochs * wanted.epochs)
            rough.append(seconds / work.amount * wanted.amount)
    found = alike or rough
    return Estimate(median(found), bool(alike)) if found else None


@dataclass(frozen=True)
class _Work:
    name: str
    benchmark: Mapping[str, Any]
    method: Mapping[str, Any]
    training: Mapping[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """What the time of an epoch depends on."""
        costly = ("batch_size", "precision", "evaluate_every", "front_points", "eval_batch_size", "batch_norm")
        return dict(self.benchmark), str(self.method), [self.training.get(name) for name in costly]

    @property
    def epochs(self) -> int:
        return int(self.training["epochs"])

    @property
    def amount(self) -> float:
        """Epochs × preferences of a step × training items (1 where the benchmark has no option for them)."""
        items = self.benchmark.get("train_images") or 1
        return float(self.epochs * int(self.method.get("num_preferences") or 1) * items)


def _known(benchmark: str) -> Iterator[tuple[_Work, float]]:
    """Finished trainings on a benchmark with their seconds: runs first, then the cards of shipped models."""
    for name in names()[:MOST_READ]:
        with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
            folder = folder_of(name)
            config, seconds = Run(folder).config(), _seconds(read_events(folder))
            if seconds and config["benchmark"]["name"] == benchmark:
                yield _Work(benchmark, config["benchmark"]["options"], config["method"], config["training"]), seconds
    for card_file in sorted(models_root().glob(f"*/{checkpoint.CARD}"))[:MOST_READ]:
        with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
            card = checkpoint.read_card(card_file.parent)
            seconds = float(card["training"].get("seconds") or 0)
            if seconds and card["benchmark"]["name"] == benchmark:
                yield _Work(benchmark, card["benchmark"]["options"], card["method"], card["training"]), seconds


def _seconds(events: list[dict[str, Any]]) -> float | None:
    """Of a run that went through in one go."""
    starts = [e for e in events if e["kind"] == "start"]
    whole = len(starts) == 1 and events[-1]["kind"] == "end" and events[-1].get("reason") == "finished"
    return events[-1]["time"] - starts[0]["time"] if whole else None
