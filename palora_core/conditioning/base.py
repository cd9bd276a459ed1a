"""What a λ-conditioned network is: ``forward(x, λ)``, ``merge(λ)``, and one training pass at one λ."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core import distributed, identity
from palora_core.active import Active, ActivePreference
from palora_core.errors import UserError
from palora_core.fast_layers import restore_layers_, use_fast_layers_
from palora_core.normalisation import AnchoredBatchNorm, match_statistics
from palora_core.registry import Registry
from palora_core.sharding import is_fsdp, is_sharded, whole
from palora_core.simplex import check_preference, check_preferences

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
    forward: Callable[..., Any]
    shared: list[Tensor]
    specific: list[list[Tensor]]
    extra_gramian: Callable[[Sequence[Sequence[Tensor]]], Tensor] | None = None


class ShardedPass(Pass):
    """A pass whose gradients FSDP2 reduces while ``backward`` runs; nothing else reaches its parameters."""

    def __init__(self, preference: Tensor, forward: Callable[..., Any]) -> None:
        self.preference, self.forward = preference, forward

    def __getattr__(self, name: str) -> Any:
        if name not in ("shared", "specific", "extra_gramian"):
            raise AttributeError(name)
        raise UserError(
            "The parameters are sharded (FSDP2), so their gradients come by loss.backward() only; use a balancer "
            "that needs no gradients per task, or torchrun without FSDP2."
        )


class ParetoModel(nn.Module):
    """A network together with the way λ enters it. Subclasses say how; this class is the plain "not at all".

    Args:
        network: the wrapped network; it becomes part of the model, and some of its layers are computed another way (see
            :mod:`palora_core.fast_layers`); :meth:`merge` gives it back as it was written.
        num_tasks: T.
    """

    kind: ClassVar[str] = "unconditioned"
    controllable: ClassVar[bool] = False

    def __init__(self, network: nn.Module, num_tasks: int) -> None:
        super().__init__()
        use_fast_layers_(network)
        self.network = network
        self.num_tasks = num_tasks
        self.active = ActivePreference()

    # -- use ---------------------------------------------------------------------------------------------------------
    def forward(self, *args: Any, preference: Any = None, **kwargs: Any) -> Any:
        """What the network gives at one preference λ [T]; any real λ is allowed. Or at one per sample, λ [B, T].

        ``model(x, λ)`` or ``model(*args, preference=λ, **kwargs)``; all but λ goes to the network's own ``forward``.
        """
        if preference is None:
            if len(args) + len(kwargs) < 2:
                raise UserError("No preference was given; call model(inputs, preference) or model(…, preference=λ).")
            *args, preference = args  # type: ignore[assignment]
        preference = self._asked(preference)
        if preference.dim() > 1:
            self._check_samples(preference, args, kwargs)
        with self.active.use(*self._active_at(preference)):
            return self.network(*args, **kwargs)

    @contextmanager
    def at(self, preference: Any) -> Iterator[nn.Module]:
        """A block in which the network is that of λ, for anything it can do: ``with model.at(λ) as network: …``.

        λ is [T], or [B, T], one per sample (then the first axis of what layers read has to be that of the samples).
        Backward may run inside of the block or after it; gradient checkpointing is right in both.

        Raises:
            UserError: FSDP2 holds the weights and gathers them only where the model itself is called.
        """
        if is_fsdp(self):
            raise UserError(
                "The whole model is sharded, and FSDP2 gathers its weights only where the model itself is called; call "
                "model(…, preference=λ), or call fully_shard on model.network and its parts instead of the model."
            )
        preference = self._asked(preference)
        with self.active.use(*self._active_at(preference)), self._checking_samples(preference):
            yield self.network

    def _active_at(self, preference: Tensor) -> Active:
        """What the layers read in a pass at λ."""
        return Active(preference)

    def merge(self, preference: Any) -> nn.Module:
        """The plain network for λ [T]: same class and state_dict keys as the network put in, sharing no memory.

        Of a sharded model (FSDP2) every rank gets all of it, so all ranks have to call.
        """
        if is_sharded(self):
            return whole(self).merge(preference)
        preference = self.as_preference(preference)
        network = copy.deepcopy(self.network)
        with torch.no_grad():
            self._merge_into(network, preference)
        restore_layers_(network)  # last: a class that the conditioning put on a layer may stand on a fast one
        for layer in list(network.modules()):
            if isinstance(layer, AnchoredBatchNorm):
                layer.plain_(preference)
        return network

    def push_to_hub(self, repo: str, **options: Any) -> str:
        """Share this model; see :func:`palora_core.hub.push_to_hub`."""
        hub = importlib.import_module("palora_core.hub")  # a convenience that looks upward, and only when called
        address: str = hub.push_to_hub(self, repo, **options)
        return address

    def as_preference(self, preference: Any) -> Tensor:
        """``preference`` as a checked tensor [T] on the model's device, in single precision at least.

        Every layer reads it in a format of its own; the model's first floating-point parameter says how exact it is.
        """
        return self._placed(check_preference(preference, self.num_tasks))

    def _asked(self, preference: Any) -> Tensor:
        """A caller's λ [T] or, one per sample, [B, T], like :meth:`as_preference`."""
        checked = self._placed(check_preferences(preference, self.num_tasks))
        if checked.dim() > 1 and len(checked) == 1:
            return checked[0]
        if checked.dim() > 1:
            self._check_per_sample()
        return checked

    def _check_samples(self, preference: Tensor, args: Any, kwargs: Any) -> None:
        """Refuse a call in which a layer would not see the samples that λ [B, T] is for."""

    @contextmanager
    def _checking_samples(self, preference: Tensor) -> Iterator[None]:
        """A block in which the first call of the network itself is checked likewise."""
        if preference.dim() == 1:
            yield
            return
        handle = self.network.register_forward_pre_hook(
            lambda _, args, kwargs: self._check_samples(preference, args, kwargs), with_kwargs=True
        )
        try:
            yield
        finally:
            handle.remove()

    def _check_per_sample(self) -> None:
        """Refuse one preference per sample.

        Raises:
            UserError: saying what cannot have it.
        """
        raise UserError(
            f"{type(self).__name__} takes one preference [{self.num_tasks}] for a whole batch; only low-rank adapters "
            "can have one per sample."
        )

    def _placed(self, checked: Tensor) -> Tensor:
        like = next((p for p in self.parameters() if p.is_floating_point()), None)
        if like is None:
            return checked
        return checked.to(device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))

    def _replicate_for_data_parallel(self) -> Any:
        raise UserError(
            "nn.DataParallel cannot copy a model whose weights depend on a preference; use DDP or torchrun."
        )

    # -- training ----------------------------------------------------------------------------------------------------
    @contextmanager
    def accumulate(
        self, dtype: torch.dtype | None = None, average: bool | None = None, passes: int | None = None
    ) -> Iterator[Callable[[Any], Pass]]:
        """A block in which gradients of several passes are collected: ``with model.accumulate() as at: at(λ)``.

        Backward may run after each pass or after several. When the block ends without an error, gradients are in
        ``.grad`` of the model's parameters, added to what is there.

        Args:
            dtype: autocast's format, where the passes run under it. Leaves that it would round may then be rounded
                already, and so are their gradients: for whoever only calls ``backward`` (see ``Balancer.scalar``).
            average: on several ranks, whether the gradients become their mean over the ranks when the block ends;
                wrappers like DDP do not see them. FSDP2 averages by itself.
            passes: how many passes there will be, if that is known. From the first of several, results of frozen parts
                below the first adapted layer are kept for the others, see :mod:`palora_core.conditioning._prefix`.

        Raises:
            UserError: several ranks, and ``average`` does not say who averages.
        """
        sharded = is_sharded(self)
        if average is None and not sharded and distributed.world_size() > 1:
            raise UserError(
                "Several ranks train this model, and DDP does not see the gradients that accumulate() collects: say "
                "accumulate(average=True) to have them averaged when the block ends, or False to do it yourself."
            )
        if sharded:
            yield self._sharded_pass
            return
        with self._passes(dtype, passes != 1) as at:
            yield at
        if average:
            distributed.average_gradients_([p for p in self.parameters() if p.requires_grad])

    def _passes(self, dtype: torch.dtype | None, once: bool) -> AbstractContextManager[Callable[[Any], Pass]]:
        """The block behind :meth:`accumulate`; here passes go through autograd."""
        return nullcontext(self.plain_pass)

    def _sharded_pass(self, preference: Any) -> ShardedPass:
        preference = self.as_preference(preference)
        # Calling the model runs its hooks, which gather the weights and later reduce their gradients.
        return ShardedPass(preference, lambda *args, **kwargs: self(*args, preference=preference, **kwargs))

    def plain_pass(self, preference: Any) -> Pass:
        """A pass through autograd, with the parameters themselves as leaves."""
        preference = self.as_preference(preference)
        shared, specific = self.split_parameters()

        def forward(*args: Any, **kwargs: Any) -> Any:
            return self(*args, preference=preference, **kwargs)

        return Pass(preference, forward, shared, specific)

    def split_parameters(self) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(parameters that all tasks share, per task those of its head), trainable ones only.

        A network with ``heads`` (an ``nn.ModuleDict`` of T heads) is cut there; any other one is all shared, whatever
        its attribute ``heads`` may be.
        """
        heads = getattr(self.network, "heads", None)
        cut = isinstance(heads, nn.ModuleDict) and len(heads) == self.num_tasks
        groups = [list(head.parameters()) for head in heads.values()] if cut else []  # type: ignore[union-attr]
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

    # -- state -------------------------------------------------------------------------------------------------------
    def describe(self) -> dict[str, Any]:
        """What the model is beside its tensors, as JSON; a state with another description is not for this model."""
        return {"conditioning": self.kind, "tasks": self.num_tasks}

    def get_extra_state(self) -> Tensor:
        """:meth:`describe` as a tensor of bytes."""
        like = next(self.parameters(), None)
        return identity.encode(self.describe(), "cpu" if like is None or like.is_meta else like.device)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse the state of another model.

        Raises:
            UserError: naming what differs.
        """
        if not state.is_meta:
            identity.check(self.describe(), identity.decode(state))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        # As BatchNorm's statistics are in the state, so they are in the model: per preference, or one set.
        match_statistics(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        missing: list[str] = rest[2]  # local_metadata, strict, missing_keys, …
        if prefix + identity.KEY in missing:  # states of earlier versions do not say what they are
            missing.remove(prefix + identity.KEY)

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
