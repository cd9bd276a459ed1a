"""From the card of a model to what this program knows by its names: the benchmark, with the tasks of the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palora_core.benchmarks.base import Benchmark
from palora_core.checkpoint import NOT_BUILT, benchmark_of
from palora_core.errors import UserError


def checked_benchmark(card: Mapping[str, Any]) -> Benchmark:
    """The benchmark that a card names, with the options of the card.

    Raises:
        UserError: there is none, its options do not suit it, or its tasks are not those of the card.
    """
    name = card["benchmark"]["name"]
    try:
        benchmark = benchmark_of(card)
        known = [task.name for task in benchmark.tasks]
        _ = benchmark.reference, benchmark.network, benchmark.outputs  # what pages ask it for
    except UserError:
        raise
    except NOT_BUILT as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"The card's options do not suit the benchmark {name!r} ({reason}); restore the card."
        ) from None
    names = [task["name"] for task in card["tasks"]]
    if names != known:
        raise UserError(
            f"The tasks of its card ({', '.join(names[:8])}) are not those of the benchmark {name!r} "
            f"({', '.join(known[:8])}); use the version it was trained with."
        )
    return benchmark
