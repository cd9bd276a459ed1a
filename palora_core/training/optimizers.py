"""The optimizer that options name, or that a program's factory makes."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim import Optimizer

from palora_core.errors import UserError
from palora_core.training.live import Factory
from palora_core.training.options import TrainingOptions


def make_optimizer(options: TrainingOptions, groups: list[dict[str, Any]], factory: Factory | None = None) -> Optimizer:
    """An optimizer of ``groups``, each of which has its ``lr``; every group keeps it as ``base_lr``.

    Raises:
        UserError: a factory whose optimizer is none, has a learning rate of its own, or other parameters.
    """
    given = [parameter for group in groups for parameter in group["params"]]
    optimizer = _made(factory, groups, options) if factory is not None else _named(options, groups)
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if own != {id(parameter) for parameter in given}:
        raise UserError(
            f"The optimizer that the factory made holds {len(own)} tensors and the model trains {len(given)}, not all "
            "of them the same; make it of the groups that it is called with, all of them: lambda groups: Adam(groups)."
        )
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer


def _named(options: TrainingOptions, groups: list[dict[str, Any]]) -> Optimizer:
    lr, decay = options.lr, options.weight_decay
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=options.momentum, weight_decay=decay, fused=True)
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    first, second = options.betas
    return kind(groups, lr=lr, betas=(first, second), weight_decay=decay, fused=True)


def _made(factory: Factory, groups: list[dict[str, Any]], options: TrainingOptions) -> Optimizer:
    try:
        optimizer = factory([dict(group) for group in groups])
    except Exception as error:
        raise UserError(
            f"The optimizer's factory failed ({type(error).__name__}: {error}); expected a function of parameter "
            "groups that gives a torch optimizer."
        ) from error
    if not hasattr(optimizer, "param_groups") or not callable(getattr(optimizer, "step", None)):
        raise UserError(f"The optimizer's factory gave a {type(optimizer).__name__}; expected a torch optimizer.")
    if any(not isinstance(group.get("lr"), float | int) for group in optimizer.param_groups):
        raise UserError("The optimizer's groups have no lr as a number, which a schedule needs; give each one.")
    own, usual = getattr(optimizer, "defaults", {}).get("lr"), inspect.signature(type(optimizer)).parameters.get("lr")
    if own is not None and usual is not None and own not in (usual.default, options.lr):
        raise UserError(
            f"The optimizer was made with lr={own:g}, which the groups' own learning rates (lr={options.lr:g}) "
            f"replace; give lr={own:g} as an option of the training instead."
        )
    return optimizer
