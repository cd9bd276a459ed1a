"""The network of one λ, or of all of them, in files that need none of this package; the difference is measured."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from palora_core.checkpoint import storable
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError
from palora_core.storage.writing import write_atomically, write_json


def export_safetensors(model: ParetoModel, preference: Sequence[float], path: Path) -> dict[str, Any]:
    """The plain state_dict of ``merge(λ)``, with λ in the file's metadata."""
    plain = model.merge(torch.as_tensor(preference, dtype=torch.float32)).eval()
    state = storable(plain.state_dict())
    metadata = {"preference": " ".join(f"{value:g}" for value in preference)}
    write_atomically(Path(path), lambda temporary: save_file(state, temporary, metadata))
    return _report(path, "safetensors", preference, 0.0)


def export_onnx(model: ParetoModel, example: Tensor, path: Path, preference: Sequence[float] | None) -> dict[str, Any]:
    """ONNX of ``merge(λ)``; with ``preference`` None of the whole controllable network, λ as a second input.

    Args:
        model: the conditioned network.
        example: one input [1, …]; the exported network takes inputs of this shape.
        path: the file.
        preference: λ [T], or None to keep λ as an input ``"preference"`` [T].

    Returns:
        What was exported and the largest difference to PyTorch over outputs and λ's tried, as written beside ``path``.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX export needs the package {error.name}; install it with: pip install {error.name}"
        ) from None
    wrapped = _Flat(model, None if preference is None else torch.as_tensor(preference, dtype=torch.float32)).eval()
    inputs = (example,) if preference is not None else (example, torch.full((model.num_tasks,), 1 / model.num_tasks))
    with torch.no_grad():
        names = wrapped.names(*inputs)
        program = torch.onnx.export(
            wrapped,
            inputs,
            dynamo=True,
            verbose=False,
            input_names=["input", "preference"][: len(inputs)],
            output_names=names,
        )
    assert program is not None  # torch's other exporter gives none
    write_atomically(Path(path), lambda temporary: program.save(str(temporary), external_data=False))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = max(_difference(wrapped, session, example, p, names) for p in _probes(model.num_tasks, preference))
    return _report(path, "onnx", preference, difference)


class _Flat(nn.Module):
    """Outputs as a tuple in a fixed order, λ as a tensor input or fixed."""

    def __init__(self, model: ParetoModel, preference: Tensor | None) -> None:
        super().__init__()
        self.fixed = preference is not None
        self.model: Any = model.merge(preference) if preference is not None else copy.deepcopy(model)

    def names(self, *inputs: Tensor) -> list[str]:
        outputs = self._outputs(*inputs)
        return list(outputs) if isinstance(outputs, dict) else [f"output_{i}" for i in range(len(outputs))]

    def _outputs(self, x: Tensor, preference: Tensor | None = None) -> Any:
        outputs = self.model(x) if self.fixed else self.model(x, preference)
        return (outputs,) if isinstance(outputs, Tensor) else outputs

    def forward(self, x: Tensor, preference: Tensor | None = None) -> tuple[Tensor, ...]:
        outputs = self._outputs(x, preference)
        return tuple(outputs.values()) if isinstance(outputs, dict) else tuple(outputs)


def _probes(num_tasks: int, preference: Sequence[float] | None) -> list[Tensor]:
    if preference is not None:
        return [torch.as_tensor(preference, dtype=torch.float32)]
    corners = torch.eye(num_tasks)[: min(num_tasks, 3)]
    return [torch.full((num_tasks,), 1 / num_tasks), *corners]


def _difference(wrapped: _Flat, session: Any, example: Tensor, preference: Tensor, names: list[str]) -> float:
    feeds = {"input": example.numpy()}
    arguments = [example]
    if not wrapped.fixed:
        feeds["preference"] = preference.numpy()
        arguments.append(preference)
    with torch.no_grad():
        expected = wrapped(*arguments)
    found = session.run(names, feeds)
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(found, expected))


def _report(path: Path, form: str, preference: Sequence[float] | None, difference: float) -> dict[str, Any]:
    report = {
        "file": Path(path).name,
        "format": form,
        "preference": None if preference is None else [float(value) for value in preference],
        "max_abs_difference_to_pytorch": difference,
        "bytes": Path(path).stat().st_size,
    }
    write_json(Path(path).with_suffix(Path(path).suffix + ".json"), report)
    return report
