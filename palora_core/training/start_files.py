"""Reading weights to start from: model folders, safetensors, and the plain data in what torch saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core import checkpoint
from palora_core.errors import UserError, quoted

# Where training programs put the weights inside of what they save; the plain ones before their moving average.
NESTS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"),
    *("state_dict_ema", "model_ema", "ema_model", "ema_state_dict", "ema", "params_ema"),
)
DEPTH = 4  # nests inside each other


def read_start(source: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The plain weights in a model folder, merged at the centre, or in a file.

    Returns:
        (the tensors by name, what else there is of that kind and was not chosen: a moving average).

    Raises:
        UserError: nothing there, damaged, or something that would have to be unpickled.
    """
    if source.is_dir():
        model, _ = checkpoint.load(source)
        return dict(model.merge(torch.full((model.num_tasks,), 1 / model.num_tasks)).state_dict()), []
    if not source.is_file():
        raise UserError(f"There is no checkpoint {source}; give a model folder or a state_dict file.")
    if source.suffix == ".safetensors":
        state: dict[str, Tensor] = checkpoint.read_weights(source)
        beside: list[str] = []
    else:
        state, beside = _weights_in(_loaded(source), source)
    bad = [name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise UserError(f"{source} holds NaN or infinite values in {quoted(bad[0])}; use an earlier checkpoint.")
    if any(name.endswith(".adapter_a") for name in state):
        raise UserError(f"{source} holds adapters, which belong to their card; give the model folder that it is in.")
    return state, beside


def _loaded(path: Path) -> Any:
    with torch.serialization.safe_globals(_plain_numpy()):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch reports damage and refused pickles in many ways
            found = _refused(path)
            if found:
                raise UserError(
                    f"{path} holds Python objects beside tensors ({quoted(', '.join(found))}), and those are never "
                    "loaded; save the weights alone: torch.save(model.state_dict(), …)."
                ) from None
            raise UserError(f"{path} is damaged or not a plain state_dict ({type(error).__name__}).") from None


def _refused(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not even an archive
        return []


def _plain_numpy() -> list[Any]:
    """What numpy's numbers and arrays of numbers are pickled as: no code of anybody runs in them."""
    core = getattr(np, "_core", None) or np.core
    made = {"scalar": core.multiarray.scalar, "_reconstruct": core.multiarray._reconstruct}
    places = [(function, f"numpy.{part}.multiarray.{name}") for name, function in made.items() for part in _PARTS]
    return [*places, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdg"}]


_PARTS = ("core", "_core")  # before numpy 2, and since


def _weights_in(found: Any, source: Path) -> tuple[dict[str, Tensor], list[str]]:
    beside: list[str] = []
    for _ in range(DEPTH):
        nests = [key for key in NESTS if isinstance(found, Mapping) and _has_tensors(found.get(key))]
        if not nests:
            break
        beside += [f"{key}.*" for key in nests[1:]]
        found = found[nests[0]]
    state = {str(n): v for n, v in found.items() if isinstance(v, Tensor)} if isinstance(found, Mapping) else {}
    if not state:
        raise UserError(f"{source} is not a plain state_dict of tensors.")
    return state, beside


def _has_tensors(found: Any, depth: int = DEPTH) -> bool:
    values: Iterator[Any] = iter(found.values()) if isinstance(found, Mapping) else iter(())
    return any(isinstance(value, Tensor) or (depth > 0 and _has_tensors(value, depth - 1)) for value in values)
