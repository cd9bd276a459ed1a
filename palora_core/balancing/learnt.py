"""State that balancers keep besides their options: learnt vectors with an Adam of their own, random generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor


class LearntVector:
    """A vector [T] trained by its own Adam from gradients given to it.

    Args:
        start: the T first values.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 coefficient.
        device: where the vector lives.
    """

    def __init__(
        self, start: Sequence[float], lr: float, weight_decay: float = 0.0, device: torch.device | str = "cpu"
    ) -> None:
        self.values = torch.tensor(start, device=device, dtype=torch.float32)
        self.optimizer = torch.optim.Adam([self.values], lr=lr, weight_decay=weight_decay)

    def descend(self, gradient: Tensor) -> None:
        """One step against ``gradient`` [T].

        Raises:
            FloatingPointError: its squares are not finite: Adam would keep them, and the vector never move again.
        """
        self.values.grad = gradient.detach().to(self.values)
        if not torch.isfinite(self.values.grad.square()).all():
            raise FloatingPointError("the gradient of the task weights is not finite")
        self.optimizer.step()
        self.values.grad = None

    @property
    def state(self) -> dict[str, Any]:
        """A copy of the values and of Adam's moments, for a checkpoint."""
        inner = self.optimizer.state_dict()["state"].get(0, {})
        return {"values": self.values.clone(), "adam": {name: value.clone() for name, value in inner.items()}}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.values.copy_(state["values"])
        whole = self.optimizer.state_dict()
        moments = dict(state["adam"])
        if moments:
            moments["step"] = moments["step"].cpu()  # where Adam keeps it, wherever the checkpoint was loaded
        whole["state"] = {0: moments} if moments else {}
        self.optimizer.load_state_dict(whole)


class LearntWeights:
    """Mixin of balancers that learn what they weigh by: ``setup`` makes ``vector``, kept in checkpoints."""

    state: ClassVar[tuple[str, ...]] = ("learnt",)
    vector: LearntVector

    @property
    def learnt(self) -> dict[str, Any]:
        """The vector and its optimizer."""
        return self.vector.state

    @learnt.setter
    def learnt(self, state: dict[str, Any]) -> None:
        self.vector.state = state


class Randomness:
    """A random generator seeded like the run, apart from it, with a state that fits in a checkpoint.

    The seed is that of ``torch.manual_seed``: the same in every process of a distributed run that seeds alike, and
    independent of how many numbers others have drawn since.

    Args:
        device: where numbers are drawn.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.generator = torch.Generator(device).manual_seed(torch.initial_seed())

    @property
    def state(self) -> dict[str, Any]:
        """The generator's state, for a checkpoint."""
        return {"generator": self.generator.get_state()}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        # Another kind of device has another kind of state: a run that moved cannot continue bit for bit anyway.
        if state["generator"].shape == self.generator.get_state().shape:
            self.generator.set_state(state["generator"].cpu())


class Stochastic:
    """Mixin of balancers that draw numbers: ``setup`` makes ``randomness``, whose state goes into checkpoints."""

    state: ClassVar[tuple[str, ...]] = ("random",)
    randomness: Randomness

    @property
    def random(self) -> dict[str, Any]:
        """The generator's state."""
        return self.randomness.state

    @random.setter
    def random(self, state: dict[str, Any]) -> None:
        self.randomness.state = state
