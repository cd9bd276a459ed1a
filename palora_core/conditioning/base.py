"""What a λ-conditioned network is: ``forward(x, λ)``, ``merge(λ)``, and one training pass at one λ."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core.active import ActivePreference
from palora_core.normalisation import AnchoredBatchNorm
from palora_core.quick import plain_, quicken_
from palora_core.registry import Registry
from palora_core.simplex import check_preference

conditionings: Registry = Registry("conditioning", package="palora_core.conditioning")


@dataclass
class Pass:
    """One forward pass of a training step at one λ, and the tensors its gradients belong to.

    Attributes:
        preference: λ [T].
        forward: inputs → predictions at λ.
        shared: leaves that every task's loss depends on (for PaLoRA the merged trunk weights at λ).
        specific: per task, the leaves of its own head.
        extra_gramian: given T lists of gradients of ``shared``, the part [T, T] of their inner products that lives in
            parameters behind the leaves (adapters); zero by default.
    """

    preference: Tensor
    forward: Callable[[Tensor], Any]
    shared: list[Tensor]
    specific: list[list[Tensor]]
    extra_gramian: Callable[[Sequence[Sequence[Tensor]]], Tensor] | None = None


class ParetoModel(nn.Module):
    """A network together with the way λ enters it. Subclasses say how; this class is the plain "not at all".

    Args:
        network: the wrapped network; it becomes part of the model, and some of its layers are computed another way (see
            :mod:`palora_core.quick`); :meth:`merge` gives it back as it was written.
        num_tasks: T.
    """

    controllable: ClassVar[bool] = False

    def __init__(self, network: nn.Module, num_tasks: int) -> None:
        super().__init__()
        quicken_(network)
        self.network = network
        self.num_tasks = num_tasks
        self.active = ActivePreference()

    # -- use ---------------------------------------------------------------------------------------------------------
    def forward(self, x: Tensor, preference: Tensor) -> Any:
        """Predictions for inputs ``x`` [B, …] at one preference λ [T]; any real λ is allowed."""
        with self.active.use(self.as_preference(preference)):
            return self.network(x)

    def merge(self, preference: Tensor) -> nn.Module:
        """The plain network for λ [T]: same class and state_dict keys as the network put in, sharing no memory."""
        preference = self.as_preference(preference)
        network = copy.deepcopy(self.network)
        with torch.no_grad():
            self._merge_into(network, preference)
        plain_(network)  # last: a class that the conditioning put on a layer may stand on a quick one
        for layer in list(network.modules()):
            if isinstance(layer, AnchoredBatchNorm):
                layer.plain_(preference)
        return network

    def as_preference(self, preference: Any) -> Tensor:
        """``preference`` as a checked tensor [T] on the model's device and in its precision."""
        like = next(self.parameters())
        return check_preference(preference, self.num_tasks).to(device=like.device, dtype=like.dtype)

    # -- training ----------------------------------------------------------------------------------------------------
    def accumulate(self, dtype: torch.dtype | None = None) -> AbstractContextManager[Callable[[Tensor], Pass]]:
        """A block in which gradients of several passes are collected: ``with model.accumulate() as at: at(λ)``.

        Each pass's backward must run before the next one is made. When the block ends without an error, gradients
        are in ``.grad`` of the model's parameters.

        Args:
            dtype: autocast's format, where the passes run under it. Leaves that it would round may then be rounded
                already, and so are their gradients: for whoever only calls ``backward`` (see ``Balancer.scalar``).
        """
        return nullcontext(self.plain_pass)

    def plain_pass(self, preference: Tensor) -> Pass:
        """A pass through autograd, with the parameters themselves as leaves."""
        preference = self.as_preference(preference)
        shared, specific = self.split_parameters()
        return Pass(preference, lambda x: self(x, preference), shared, specific)

    def split_parameters(self) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(parameters that all tasks share, per task those of its head), trainable ones only.

        A network with ``heads`` (an ``nn.ModuleDict`` of T heads) is cut there; any other one is all shared.
        """
        heads = getattr(self.network, "heads", None)
        groups = [list(head.parameters()) for head in heads.values()] if heads is not None else []
        specific = [[p for p in group if p.requires_grad] for group in groups] or [[] for _ in range(self.num_tasks)]
        owned = {id(p) for group in specific for p in group}
        return [p for p in self.parameters() if p.requires_grad and id(p) not in owned], specific

    def progress(self, tau: float) -> None:
        """Called before every step with the training time τ in [0, 1]; for models that change on the way."""

    def regulariser(self) -> Tensor | None:
        """A scalar added to the loss once a step, or None."""
        return None

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Optimizer groups; by default one with every trainable parameter at ``lr``."""
        return [{"params": [p for p in self.parameters() if p.requires_grad], "lr": lr}]

    # -- serving -----------------------------------------------------------------------------------------------------
    def basis(self) -> Mapping[str, tuple[Tensor, Tensor]] | None:
        """Names of the network's tensors that are affine in λ → (base, per-task deltas [T, …]); None if not affine."""
        return {}

    def _merge_into(self, network: nn.Module, preference: Tensor) -> None:
        """Make the deep copy ``network`` the plain network of λ."""


class Conditioning:
    """Options of one way in which λ enters a network; ``condition`` applies them. Subclasses are frozen dataclasses."""

    controllable: ClassVar[bool] = True

    def condition(self, network: nn.Module, num_tasks: int) -> ParetoModel:
        """Wrap ``network`` (not copied) for T tasks."""
        raise NotImplementedError

    def check(self, network: Callable[[], nn.Module]) -> None:
        """Refuse, before long work, options that do not fit what ``network`` makes (shapes only, on the meta device).

        Raises:
            UserError: naming the option.
        """
