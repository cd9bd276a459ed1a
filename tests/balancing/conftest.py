"""A tiny multi-task network and the training loop's contract in a dozen lines."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from palora_core.balancing.base import Balancer, GradientBalancer, Step
from palora_core.conditioning.base import Conditioning, ParetoModel, Pass
from palora_core.conditioning.unconditioned import Unconditioned
from palora_core.networks.base import MultiTaskNetwork


def tiny_model(conditioning: Conditioning, num_tasks: int, dtype: torch.dtype, seed: int = 0) -> ParetoModel:
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5), nn.Tanh())
    heads = {f"task{t}": nn.Linear(5, 2) for t in range(num_tasks)}
    return conditioning.condition(MultiTaskNetwork(trunk, heads).to(dtype), num_tasks)


def losses_of(outputs: dict[str, Tensor], num_tasks: int, targets: Tensor) -> list[Tensor]:
    return [(t + 1) * (outputs[f"task{t}"] - targets[t]).square().mean() + 0.05 for t in range(num_tasks)]


@dataclass
class Loop:
    """What the trainer does: M passes, an optimizer step, the balancer's hooks; two steps an epoch."""

    balancer: Balancer
    model: ParetoModel
    num_tasks: int
    dtype: torch.dtype
    adjust: Callable[[list[Tensor], int], list[Tensor]] = lambda losses, number: losses  # what a step's losses become

    def __post_init__(self) -> None:
        self.balancer = copy.deepcopy(self.balancer)
        self.balancer.setup(self.num_tasks)
        groups = [*self.model.parameter_groups(1e-2)]
        if self.balancer.parameters():
            groups.append({"params": self.balancer.parameters(), "lr": 1e-2})
        self.optimizer = torch.optim.Adam(groups)

    def data(self, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(12, 6, generator=generator, dtype=self.dtype)
        return x, torch.randn(self.num_tasks, 12, 2, generator=generator, dtype=self.dtype)

    def gradients(self, number: int, preferences: Tensor) -> Step:
        x, targets = self.data(number)
        held_x, held_targets = self.data(1000 + number)
        self.optimizer.zero_grad()
        with self.model.accumulate() as at:
            for preference in preferences:
                one = at(preference)
                losses = self.adjust(losses_of(one.forward(x), self.num_tasks, targets), number)

                def held_out(one: Pass = one) -> list[Tensor]:
                    return self.adjust(losses_of(one.forward(held_x), self.num_tasks, held_targets), number)

                names = [f"task{t}" for t in range(self.num_tasks)]
                step = Step(losses, one, self.model, None, held_out, 1e-2, names)
                self.balancer.backward(step)
        return step

    def train(self, numbers: range, preferences: Tensor) -> None:
        for number in numbers:
            step = self.gradients(number, preferences)
            x, targets = self.data(number)
            self.optimizer.step()

            def losses_now(step: Step = step, x: Tensor = x, targets: Tensor = targets, at: int = number) -> Tensor:
                with torch.no_grad():
                    found = losses_of(self.model(x, step.preference), self.num_tasks, targets)
                    return torch.stack(self.adjust(found, at))

            self.balancer.after_step(step, losses_now)
            if number % 2 == 1:
                self.balancer.end_epoch()

    def saved(self) -> io.BytesIO:
        file = io.BytesIO()
        state = {part: getattr(self, part).state_dict() for part in ("model", "optimizer", "balancer")}
        torch.save(state, file)
        file.seek(0)
        return file

    def load(self, file: io.BytesIO) -> None:
        state = torch.load(file, weights_only=True)
        for part, value in state.items():
            getattr(self, part).load_state_dict(value)


def make_loop(
    balancer: Balancer,
    num_tasks: int = 2,
    conditioning: Conditioning | None = None,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Loop:
    model = tiny_model(conditioning or Unconditioned(), num_tasks, dtype, seed)
    return Loop(balancer, model, num_tasks, dtype)


def direction(balancer: GradientBalancer, jacobian: Tensor, preference: Tensor | None = None, **losses: Any) -> Tensor:
    """The combined gradient that the balancer makes of a Jacobian [T, n] handed to it as T linear losses."""
    num_tasks = len(jacobian)
    leaf = torch.zeros(jacobian.shape[1], dtype=jacobian.dtype, requires_grad=True)
    if preference is None:
        preference = torch.full((num_tasks,), 1 / num_tasks, dtype=jacobian.dtype)
    one = Pass(preference, lambda x: x, [leaf], [[] for _ in range(num_tasks)])
    values = losses.get("losses", torch.ones(num_tasks, dtype=jacobian.dtype))
    balancer.backward(Step([value + row @ leaf for value, row in zip(values, jacobian)], one, None))  # type: ignore[arg-type]
    assert leaf.grad is not None
    return leaf.grad


def random_jacobian(num_tasks: int, seed: int, size: int = 30) -> Tensor:
    """Rows of different length that conflict now and then."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(num_tasks, size, generator=generator, dtype=torch.float64)
    common = torch.randn(size, generator=generator, dtype=torch.float64)
    lengths = 10 ** (2 * torch.rand(num_tasks, 1, generator=generator, dtype=torch.float64) - 1)
    return lengths * (rows + (seed % 3 - 1) * 0.3 * common)


@pytest.fixture
def loop() -> Any:
    return make_loop


@pytest.fixture(name="direction")
def _direction() -> Any:
    return direction


@pytest.fixture
def jacobian() -> Any:
    return random_jacobian
