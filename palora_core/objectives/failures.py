"""What goes wrong in an objective's own code, told with its name and what it was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError, one_line


@contextmanager
def objective_failures(name: str, outputs: Any, batch: Batch) -> Iterator[None]:
    """A block of the code of the objective ``name``, given ``outputs`` and ``batch``.

    Raises:
        UserError: in place of any error but another one, or too little memory.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"The objective {name!r} failed ({one_line(error)}) on outputs {batches.describe(outputs)} and targets "
            f"{batches.describe(batch[1])}."
        ) from error
