"""Learning rates over training: a factor for every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from palora_core.errors import UserError, quoted
from palora_core.training.options import TrainingOptions


def schedule_of(
    options: TrainingOptions, total: int, given: Callable[[int], Any] | None = None
) -> Callable[[int], float]:
    """The factor on the learning rates at each step, from 0 to ``total`` − 1.

    After w steps of warm-up, in which the factor rises by 1/w a step, training has R = total − w steps left; at the
    r-th of them it is ½(1 + cos(πr/R)) (cosine), 1 − r/R (linear) or 1 (constant). ``"milestones"`` multiplies by
    ``lr_factor`` at fractions of the whole training, whatever the warm-up.

    Args:
        options: ``schedule``, ``warmup``, ``lr_milestones``, ``lr_factor``.
        total: steps of the whole training.
        given: the factor as a function of the step, in place of ``schedule``.

    Raises:
        UserError: warm-up as long as training; or, when called, a function that gives no number of at least 0.
    """
    warmup = int(options.warmup) if options.warmup >= 1 else round(options.warmup * total)
    if warmup >= total > 0 and warmup:
        raise UserError(f"warmup takes {warmup} steps and training has {total}; shorten the one or lengthen the other.")
    rest = total - warmup
    shapes: dict[str, Callable[[int], float]] = {
        "milestones": lambda step: options.lr_factor ** sum(step >= at * total for at in options.lr_milestones),
        "cosine": lambda step: (1 + math.cos(math.pi * (step - warmup) / rest)) / 2,
        "linear": lambda step: 1 - (step - warmup) / rest,
        "constant": lambda step: 1.0,
    }
    shape = _checked(given) if given is not None else shapes[options.schedule]
    late = options.schedule in ("cosine", "linear") and given is None

    def factor(step: int) -> float:
        if step >= warmup:
            return shape(step)
        return (step + 1) / warmup * (1.0 if late else shape(step))

    return factor


def _checked(given: Callable[[int], Any]) -> Callable[[int], float]:
    def shape(step: int) -> float:
        try:
            value = float(given(step))
        except Exception as error:
            raise UserError(
                f"The schedule failed at step {step} ({type(error).__name__}: {error}); expected a function of the "
                "step that gives a factor on the learning rate."
            ) from error
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"The schedule gave {quoted(value)} at step {step}; expected a number of at least 0.")
        return value

    return shape
