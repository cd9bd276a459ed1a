"""All registries by kind: ``register("method", "mine")`` files an extension from outside of this package."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from palora_core.balancing.base import balancers
from palora_core.benchmarks._functions import from_function
from palora_core.benchmarks.base import benchmarks
from palora_core.conditioning.base import conditionings
from palora_core.errors import UserError
from palora_core.inputs.base import inputs
from palora_core.methods.base import methods
from palora_core.networks.base import networks
from palora_core.registry import Registry
from palora_core.samplers import samplers
from palora_core.tasks.base import tasks

REGISTRIES: dict[str, Registry] = {
    registry.kind: registry
    for registry in (methods, benchmarks, networks, samplers, conditionings, balancers, tasks, inputs)
}


def register(kind: str, name: str) -> Callable[[Any], Any]:
    """Decorator that files a class or factory as the ``kind`` called ``name``.

    Example:
        >>> @register("sampler", "mine")
        ... class Mine: ...

    Args:
        kind: ``"method"``, ``"benchmark"``, ``"network"``, ``"sampler"``, ``"conditioning"``, ``"balancer"``,
            ``"task"`` or ``"input"``.
        name: under which it is chosen on a command line and in the dashboard.

    A benchmark may also be a function that returns a :class:`palora_core.Problem`; its parameters, which need defaults,
    are the benchmark's options.

    Raises:
        UserError: an unknown kind, or a name that is taken.
    """
    if kind not in REGISTRIES:
        raise UserError(f"There is no kind {kind!r} to register; the kinds are {', '.join(sorted(REGISTRIES))}.")
    REGISTRIES[kind].discover()  # first, so that it is the newcomer who is told that a name is taken
    if kind == benchmarks.kind:
        return lambda entry: _filed_benchmark(name, entry)
    return REGISTRIES[kind].register(name)


def _filed_benchmark(name: str, entry: Any) -> Any:
    """A benchmark is a class, or a function that returns a problem; either is given back as it is."""
    benchmarks.register(name)(from_function(entry) if inspect.isfunction(entry) else entry)
    return entry
