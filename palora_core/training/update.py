"""From gradients to weights: learning rate, unscaling, clipping, the optimizer's step, the moving average."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from palora_core.conditioning.base import ParetoModel
from palora_core.training.average import MovingAverage
from palora_core.training.live import Live
from palora_core.training.optimizers import make_optimizer
from palora_core.training.options import TrainingOptions
from palora_core.training.parts import by_part, part_factors
from palora_core.training.schedules import schedule_of

LEAST_SCALE = 1.0  # of fp16 gradients; one that must be smaller still has diverged


class Update:
    """What a step does once its gradients are there.

    Args:
        model: the conditioned network.
        learnt: a balancer's parameters that the main optimizer trains.
        options: of training.
        live: a factory or a schedule of the program's own.
        steps: of the whole training.
        scaler: of fp16's gradients; None in other precisions.
    """

    def __init__(
        self,
        model: ParetoModel,
        learnt: Sequence[Tensor],
        options: TrainingOptions,
        live: Live,
        steps: int,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        groups = by_part(model.parameter_groups(options.lr), model.network, part_factors(options.lr_parts))
        self.learnt = list(learnt)
        if self.learnt:
            groups.append({"params": self.learnt, "lr": options.lr})
        self.options, self.scaler = options, scaler
        self.optimizer = make_optimizer(options, groups, live.optimizer)
        self.factor: Callable[[int], float] = schedule_of(options, steps, live.schedule)
        self.average = MovingAverage(model, options.ema) if options.ema else None

    def trained(self) -> list[Tensor]:
        """All tensors that the optimizer trains."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def gradients(self) -> list[Tensor]:
        """Those that have come."""
        return [p.grad for p in self.trained() if p.grad is not None]

    @property
    def lr(self) -> float:
        """The learning rate of the first group, that of the network."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def scale(self) -> Tensor | None:
        """What gradients are multiplied by on their way through fp16; None in other precisions."""
        if self.scaler is None:
            return None
        parameter = self.trained()[0]
        return self.scaler.scale(torch.ones((), device=parameter.device))

    def begin(self, step: int) -> None:
        """Learning rates of ``step``, and no gradients."""
        factor = self.factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)

    def measure(self) -> Tensor:
        """Make the gradients those of one batch's mean in full scale, and give their norm."""
        if self.options.accumulate > 1:
            torch._foreach_div_(self.gradients(), float(self.options.accumulate))
        if self.scaler is not None:
            reached = [p.grad for p in self.learnt if p.grad is not None]
            if reached:  # by the values of the losses, not through the scaled graph
                torch._foreach_mul_(reached, self.scaler.get_scale())
            self.scaler.unscale_(self.optimizer)
        return torch.nn.utils.get_total_norm(self.gradients())

    @property
    def may_overflow(self) -> bool:
        """Whether gradients that are not finite only mean that the scale is to be lowered."""
        return self.scaler is not None and self.scaler.get_scale() > LEAST_SCALE

    def apply(self, norm: Tensor) -> None:
        """Clip, step, average; under fp16 a step whose gradients overflowed is left out and the scale lowered."""
        if self.options.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(self.trained(), self.options.clip_norm, norm)
        self._lay_out()
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if self.average is not None:
            self.average.update()

    def averaged(self) -> AbstractContextManager[None]:
        """A block in which the model has its averaged weights, where there are any."""
        return self.average.in_place() if self.average is not None and self.average.begun else nullcontext()

    def _lay_out(self) -> None:
        """Give every gradient its parameter's strides: fused Adam pairs the two by their place in memory."""
        for parameter in self.trained():
            if parameter.grad is not None and parameter.grad.stride() != parameter.stride():
                parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)

    # -- state -------------------------------------------------------------------------------------------------------
    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield "optimizer", self.optimizer
        if self.scaler is not None:
            yield "scaler", self.scaler
        if self.average is not None:
            yield "average", self.average

    def state_dict(self) -> dict[str, Any]:
        """For an exact resume."""
        return {name: part.state_dict() for name, part in self._parts()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for name, part in self._parts():
            part.load_state_dict(state[name])
