"""Models whose parameters lie on several ranks: what FSDP2 does with them, and what other wrappers cannot do.

torch.distributed is looked at only where somebody has imported it, since importing it takes long.
"""

from __future__ import annotations

import copy
import sys
from typing import Any, TypeVar, cast

from torch import nn

Module = TypeVar("Module", bound=nn.Module)

# What FSDP2 leaves on modules, beside its class and its hooks.
_MARKS = ("_is_fsdp_managed_module", "_fsdp_use_orig_params", "__composable_api")


def _known(module: str, name: str) -> type | tuple[()]:
    """A class of a module that is imported already; otherwise nothing is one of its instances."""
    return getattr(sys.modules.get(module), name, ())


def is_sharded_tensor(tensor: Any) -> bool:
    """Whether a tensor is spread over ranks."""
    return isinstance(tensor, _known("torch.distributed.tensor", "DTensor"))


def is_fsdp(module: nn.Module) -> bool:
    """Whether ``fully_shard`` was called with this very module."""
    return isinstance(module, _known("torch.distributed.fsdp", "FSDPModule"))


def is_sharded(module: nn.Module) -> bool:
    """Whether FSDP2 holds parameters of ``module``, itself or in parts of it."""
    if isinstance(_known("torch.distributed.fsdp", "FSDPModule"), tuple):
        return False
    return any(is_fsdp(part) for part in module.modules()) or any(map(is_sharded_tensor, module.parameters()))


def whole(module: Module) -> Module:
    """``module`` itself, or, where it is sharded, a plain copy with whole tensors; then all ranks have to call."""
    return _gathered_copy(module) if is_sharded(module) else module


def _gathered_copy(module: Module) -> Module:
    made: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        if is_sharded_tensor(tensor):
            full = tensor.full_tensor().detach()  # type: ignore[attr-defined]
            made[id(tensor)] = nn.Parameter(full, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else full
    # FSDP2 forbids copies of its modules: their hooks lead to process groups. So those are made by hand, without.
    parts = [part for part in module.modules() if is_fsdp(part)]
    for part in parts:
        plain = cast("type[nn.Module]", type(part).__bases__[1])  # (FSDPModule, the module's own class)
        made[id(part)] = plain.__new__(plain)
    for part in parts:
        made[id(part)].__dict__.update(copy.deepcopy(_unmarked(part), made))
    copied = copy.deepcopy(module, made)
    for part in copied.modules():
        for name in [name for name in vars(part) if name.startswith(_MARKS)]:
            del vars(part)[name]
    return copied


def _unmarked(part: nn.Module) -> dict[str, Any]:
    kept = {name: value for name, value in vars(part).items() if not name.startswith(_MARKS)}
    for name in ("_forward_pre_hooks", "_forward_hooks"):
        hooks = {key: hook for key, hook in kept[name].items() if not _is_fsdp_hook(hook)}
        kept[name] = type(kept[name])(hooks)
    return kept


def _is_fsdp_hook(hook: Any) -> bool:
    return type(getattr(hook, "__self__", None)).__module__.startswith("torch.distributed.fsdp")
