"""Callbacks: objects with any of five methods, which training calls with itself and a mapping of what happened.

``on_start`` (as the start event has it), ``on_step`` (``step``, ``epoch``, ``tau``, ``lr``, ``losses`` by name,
``preferences`` [M, T]), ``on_epoch`` (``step``, ``epoch``), ``on_front`` (``step``, ``epoch``, ``split``, ``front``,
``hypervolume``), ``on_end`` (``step``, ``reason``: ``"finished"``, ``"stopped"`` or ``"failed"``). The first argument
is the :class:`palora_core.training.trainer.Trainer`; its ``stop()`` ends training after the step. Rank 0 calls them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palora_core import distributed
from palora_core.errors import UserError

MOMENTS = ("on_start", "on_step", "on_epoch", "on_front", "on_end")


class Callbacks:
    """Several callbacks as one.

    Args:
        given: objects.

    Raises:
        UserError: one has none of the methods.
    """

    def __init__(self, given: Sequence[Any]) -> None:
        for one in given:
            if isinstance(one, type) or not any(callable(getattr(one, moment, None)) for moment in MOMENTS):
                name = one.__name__ if isinstance(one, type) else type(one).__name__
                raise UserError(
                    f"The callback {name} is {'a class' if isinstance(one, type) else 'an object'} without use; "
                    f"expected an object with at least one of {', '.join(MOMENTS)}."
                )
        self.given = tuple(given) if distributed.is_main() else ()

    def hear(self, moment: str) -> bool:
        """Whether anyone wants to be called then."""
        return any(hasattr(one, moment) for one in self.given)

    def call(self, moment: str, trainer: Any, values: Mapping[str, Any]) -> None:
        """Call everyone who has ``moment``.

        Raises:
            UserError: one of them failed; it is named, and the cause is chained.
        """
        for one in self.given:
            method = getattr(one, moment, None)
            if method is None:
                continue
            try:
                method(trainer, dict(values))
            except Exception as error:
                raise UserError(
                    f"The callback {type(one).__name__} failed in {moment} at step {values.get('step', 0)} "
                    f"({type(error).__name__}: {error}); mend it, or leave it out. The last saved state is kept."
                ) from error
