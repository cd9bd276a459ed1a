"""What one forward pass shows of a network's wiring: which layer reads what another one wrote, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Trace:
    """Layers of a network as they ran on an example.

    Attributes:
        order: names of the layers that own parameters, by their first call.
        calls: name → number of calls.
        writer: name of a layer → name of the layer whose output it read, at its first call.
        source: name of a layer → identity and version of the tensor it read, for finding layers that read the same one.
        readers: name of a layer → names of the layers that read its output.
        outputs: what the network gave for the example.
    """

    order: list[str] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    writer: dict[str, str] = field(default_factory=dict)
    source: dict[str, tuple[int, int]] = field(default_factory=dict)
    readers: dict[str, list[str]] = field(default_factory=dict)
    outputs: Any = None

    def only_reader(self, name: str) -> str | None:
        """The one layer that reads what ``name`` wrote, both running once; None if that is not so.

        What reads it besides layers (an addition, say) is not seen: check the outputs after acting on this.
        """
        readers = self.readers.get(name, [])
        if self.calls.get(name) != 1 or len(readers) != 1 or self.calls.get(readers[0]) != 1:
            return None
        return readers[0]


def trace(network: nn.Module, run: Callable[[], Any]) -> Trace:
    """``run`` the network once and watch its layers: modules with parameters or buffers of their own."""
    found = Trace()
    layers = {module: name for name, module in network.named_modules() if _owns(module)}
    # Kept alive, so that identities stay unique; the version tells whether something wrote into the tensor meanwhile.
    outputs: list[tuple[Tensor, int, str]] = []
    inputs: list[Tensor] = []

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        name = layers[module]
        if name not in found.calls:
            found.order.append(name)
        found.calls[name] = found.calls.get(name, 0) + 1
        if not args or not isinstance(args[0], Tensor):
            return
        inputs.append(args[0])
        version = args[0]._version
        writer = next((layer for output, then, layer in outputs if output is args[0] and then == version), None)
        if writer is not None:
            found.readers.setdefault(writer, []).append(name)
            found.writer.setdefault(name, writer)
        found.source.setdefault(name, (id(args[0]), version))

    def after(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.append((output, output._version, layers[module]))

    handles = [module.register_forward_pre_hook(before) for module in layers]
    handles += [module.register_forward_hook(after) for module in layers]
    try:
        with torch.no_grad():
            found.outputs = run()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _owns(module: nn.Module) -> bool:
    return any(p is not None for p in (*module._parameters.values(), *module._buffers.values()))
