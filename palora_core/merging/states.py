"""The tensors of several checkpoints of one network, compared before anything is mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError, quoted
from palora_core.normalisation import BATCH_NORMS

State = Mapping[str, Tensor]
COUNTER = "num_batches_tracked"


def state_of(checkpoint: Any, what: str) -> State:
    """The state_dict of a network, or one as it is.

    Raises:
        UserError: it is neither, or depends on λ already.
    """
    if isinstance(checkpoint, ParetoModel):
        raise UserError(f"{what} depends on a preference itself; give model.merge(λ), the plain network of one λ.")
    if isinstance(checkpoint, nn.Module):
        return checkpoint.state_dict()
    if isinstance(checkpoint, Mapping) and checkpoint and all(isinstance(v, Tensor) for v in checkpoint.values()):
        return checkpoint
    raise UserError(f"{what} is a {type(checkpoint).__name__}; expected a network or its state_dict of tensors.")


def check_alike(network: nn.Module, states: Mapping[str, State]) -> None:
    """Refuse checkpoints that are not all of one network.

    Args:
        network: says which tensors there are.
        states: of each checkpoint, by what it is called in messages.

    Raises:
        UserError: another name or shape, numbers that are not finite, tied weights that differ, or buffers that λ
            cannot steer and that are not the same in all.
    """
    own = network.state_dict()
    for what, state in states.items():
        missing, foreign = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or foreign:
            told = f"has no {quoted(missing[0])}" if missing else f"has {quoted(foreign[0])}"
            raise UserError(
                f"{what} {told}, unlike {type(network).__name__}; only checkpoints of one network can be mixed."
            )
        for name, tensor in state.items():
            if tensor.shape != own[name].shape:
                raise UserError(
                    f"{what} has {quoted(name)} of shape {list(tensor.shape)} and {type(network).__name__} "
                    f"{list(own[name].shape)}; only checkpoints of one network can be mixed."
                )
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise UserError(f"{what} holds NaN or infinite values in {quoted(name)}; use an earlier checkpoint.")
    _check_ties(network, states)
    _check_buffers(network, states)


def _check_ties(network: nn.Module, states: Mapping[str, State]) -> None:
    first: dict[int, str] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        for what, state in states.items():
            if known != name and not torch.equal(state[known], state[name]):
                raise UserError(
                    f"{quoted(known)} and {quoted(name)} are one tensor in {type(network).__name__} and differ in "
                    f"{what}; give a network in which they are untied."
                )


def _check_buffers(network: nn.Module, states: Mapping[str, State]) -> None:
    """Statistics of BatchNorm are steered, counters of batches mean nothing here; all other buffers have to agree."""
    norms = {name for name, module in network.named_modules() if isinstance(module, BATCH_NORMS)}
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    tensors = list(states.items())
    for name in network.state_dict():
        owner, _, key = name.rpartition(".")
        if name in parameters and all(state[name].is_floating_point() for state in states.values()):
            continue
        if key == COUNTER or owner in norms:
            continue
        for what, state in tensors[1:]:
            if not torch.equal(state[name], tensors[0][1][name]):
                raise UserError(
                    f"{quoted(name)} differs between {tensors[0][0]} and {what}, and is no weight that λ could mix; "
                    "give checkpoints in which it is the same."
                )


def differences(base: State, states: Sequence[State], name: str) -> list[Tensor]:
    """W_t − W₀ of one tensor, for every checkpoint, in float64."""
    centre = base[name].detach().double()
    return [state[name].detach().double().to(centre.device) - centre for state in states]


def mean_of(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of all floating-point tensors, in their own formats; the others as the first checkpoint has them."""
    found = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            total = torch.stack([state[name].detach().double().to(first.device) for state in states]).mean(0)
            found[name] = total.to(first.dtype)
        else:
            found[name] = first.detach().clone()
    return found
