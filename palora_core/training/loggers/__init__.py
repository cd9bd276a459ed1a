"""Loggers: callbacks that tell a tool for experiments of a training; each imports its tool when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from palora_core.errors import UserError, quoted

# Name → (module here, class, package to install).
LOGGERS = {
    "tensorboard": ("tensorboard", "TensorBoard", "tensorboard"),
    "wandb": ("wandb", "WandB", "wandb"),
    "mlflow": ("mlflow", "MLflow", "mlflow"),
}


def logger(given: Any) -> Any:
    """The logger of a name; an object is taken as it is, as a callback.

    Raises:
        UserError: another name, or a tool that is not installed.
    """
    if not isinstance(given, str):
        return given
    if given not in LOGGERS:
        raise UserError(f"There is no logger {quoted(given)}; expected one of {', '.join(LOGGERS)}, or an object.")
    module, kind, _ = LOGGERS[given]
    return getattr(importlib.import_module(f"{__name__}.{module}"), kind)()


def tool(name: str, module: str) -> ModuleType:
    """The module of a logger's tool.

    Raises:
        UserError: it is not installed, or broken.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # broken installations fail in many ways
        package = LOGGERS[name][2]
        raise UserError(
            f"The logger {name} needs {package}, which cannot be imported ({type(error).__name__}: {error}); install "
            f"it (pip install {package}), or leave the logger out."
        ) from None


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What ``on_step`` or ``on_front`` tells, by flat names.

    ``loss/NAME``, ``lr``, ``tau``; ``SPLIT/hypervolume``, and per objective and metric the best value on the front:
    ``SPLIT/NAME/loss``, ``SPLIT/NAME/METRIC`` at the preference of the best loss.
    """
    if "front" not in values:
        found = {f"loss/{name}": float(value) for name, value in values["losses"].items()}
        return {**found, "lr": float(values["lr"]), "tau": float(values["tau"])}
    front, split = values["front"], values["split"]
    found = {f"{split}/hypervolume": float(values["hypervolume"])}
    places = {name: int(front.objectives[:, t].argmin()) for t, name in enumerate(front.tasks)}
    found |= {f"{split}/{name}/loss": float(front.objectives[at, t]) for t, (name, at) in enumerate(places.items())}
    for name, column in front.metrics.items():
        found[f"{split}/{name}"] = float(column[places[name.rpartition("/")[0]]])
    return found
