"""The network of one λ, or of all of them, in files that need none of this package; the difference is measured."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from palora_core import batches
from palora_core.batches import Caller
from palora_core.checkpoint import storable
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError
from palora_core.objectives import Objective
from palora_core.storage.writing import cannot_write, why_not_written, write_atomically, write_json
from palora_core.tasks import Task

PREFERENCE = "preference"  # λ among the inputs
_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}


def export_safetensors(model: ParetoModel, preference: Sequence[float], path: Path) -> dict[str, Any]:
    """The plain state_dict of ``merge(λ)``, with λ in the file's metadata."""
    plain = model.merge(torch.as_tensor(preference, dtype=torch.float32)).eval()
    state = storable(plain.state_dict())
    metadata = {"preference": " ".join(f"{value:g}" for value in preference)}
    write_atomically(Path(path), lambda temporary: save_file(state, temporary, metadata))
    return _report(path, "safetensors", preference, 0.0)


def export_folder(model: ParetoModel, preference: Sequence[float], folder: Path, codec: Any = None) -> dict[str, Any]:
    """``merge(λ)`` in the layout of its own library, for networks with a ``save_pretrained`` (transformers, diffusers).

    Args:
        model: the conditioned network.
        preference: λ [T].
        folder: a new or empty one.
        codec: what saves the tokenizer beside it, by ``codec.save(folder)``; None for none.

    Returns:
        As written in ``palora.json`` there: format, λ, and that weights are those of ``merge(λ)`` to the bit.

    Raises:
        UserError: a network without such a layout, or the folder holds something.
    """
    plain, folder = model.merge(torch.as_tensor(preference, dtype=torch.float32)).eval(), Path(folder)
    if not can_save_itself(plain):
        raise UserError(
            f"A {type(plain).__name__} has no folder layout of its own (no save_pretrained); export "
            "safetensors instead."
        )
    empty_folder(folder)
    try:
        plain.save_pretrained(folder)  # type: ignore[operator]
        if codec is not None and hasattr(codec, "save"):
            codec.save(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise cannot_write(folder, why_not_written(error) or "the disk refused") from None
    report = {"format": "folder", "preference": [float(value) for value in preference], "bytes": size}
    write_json(folder / "palora.json", {**report, "max_abs_difference_to_pytorch": 0.0})
    return {**report, "file": folder.name, "max_abs_difference_to_pytorch": 0.0}


def empty_folder(folder: Path) -> Path:
    """The folder, made where it is missing.

    Raises:
        UserError: it holds something, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            return folder
    except OSError as error:
        raise cannot_write(folder, why_not_written(error) or "the disk refused") from None
    raise UserError(f"The folder {folder} is not empty; choose a new one.")


def can_save_itself(network: nn.Module) -> bool:
    """Whether :func:`export_folder` knows how."""
    return callable(getattr(network, "save_pretrained", None))


def input_tensors(inputs: Any, caller: Caller) -> dict[str, Tensor]:
    """The tensors that an exported network takes, by name: floats in single precision, integers as they are.

    A lone tensor is called ``input``; those of a nesting are called after their places (``input_ids``, ``image.left``,
    ``input_0``).
    """
    return batches.named(batches.floating(caller.read(inputs), torch.float32), "input")


def export_onnx(
    model: ParetoModel,
    example: Any,
    path: Path,
    preference: Sequence[float] | None,
    caller: Caller | None = None,
    objectives: Sequence[Objective] = (),
) -> dict[str, Any]:
    """ONNX of ``merge(λ)``; with ``preference`` None of the whole controllable network, λ as a further input.

    The number of items of a call is free, unless the network itself is made for a fixed one.

    Args:
        model: the conditioned network.
        example: inputs of some items, any nesting; the exported network takes tensors of these shapes and formats, any
            number of items along the axis of the items.
        path: the file.
        preference: λ [T], or None to keep λ as an input ``"preference"`` [T].
        caller: how inputs become arguments; by default as the network's ``forward`` asks.
        objectives: of which the tasks' predictions are outputs by the tasks' names, beside what the network puts out.

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
    caller = caller or Caller(model.network)
    inputs = batches.floating(caller.read(example), torch.float32)
    pair = batches.repeated(batches.rows(inputs, slice(0, 1)), 2)  # of one item torch believes that it stays one
    wrapped = _Flat(model, preference, pair, caller, objectives).eval()
    program, names = _program(wrapped, pair, _probes(model.num_tasks, preference)[0])
    program.model.metadata_props.update(_metadata(preference, objectives))
    write_atomically(Path(path), lambda temporary: program.save(str(temporary), external_data=False))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = max(
        _difference(wrapped, session, batches.named(batches.rows(pair, slice(0, items)), "input"), at, names)
        for items in ((1, 2) if _is_free(session) else (1,))
        for at in _probes(model.num_tasks, preference)
    )
    told = {"inputs": _forms(session.get_inputs()), "outputs": _forms(session.get_outputs())}
    return _report(path, "onnx", preference, difference, **told)


def _program(wrapped: _Flat, pair: Any, preference: Tensor) -> tuple[Any, list[str]]:
    """The traced network and the names of its outputs; with one item for ever where more cannot be had."""
    given, failure = batches.named(pair, "input"), None
    for free in (True, False):
        inputs = given if free else batches.named(batches.rows(pair, slice(0, 1)), "input")
        shapes = tuple({0: torch.export.Dim("batch")} if _is_per_item(x, pair) else None for x in inputs.values())
        inputs, shapes = (inputs, shapes) if wrapped.fixed else ({**inputs, PREFERENCE: preference}, (*shapes, None))
        with torch.no_grad():
            names = list(wrapped.outputs(*inputs.values()))
            try:
                program = torch.onnx.export(
                    wrapped,
                    tuple(inputs.values()),
                    dynamo=True,
                    verbose=False,
                    input_names=list(inputs),
                    output_names=names,
                    dynamic_shapes={"given": shapes} if free else None,
                )
                return program, names
            except Exception as error:
                failure = error
    assert failure is not None
    raise failure


def _is_per_item(tensor: Tensor, tree: Any) -> bool:
    return tensor.dim() > 0 and len(tensor) == batches.count(tree)


def _is_free(session: Any) -> bool:
    return any(not isinstance(size, int) for one in session.get_inputs() for size in one.shape[:1])


def _metadata(preference: Sequence[float] | None, objectives: Sequence[Objective]) -> dict[str, str]:
    """What a file says about itself: λ, and how the tasks' outputs are to be read."""
    told = {"tasks": json.dumps([task.told() for task in objectives if isinstance(task, Task)], ensure_ascii=False)}
    return told if preference is None else {**told, PREFERENCE: " ".join(f"{value:g}" for value in preference)}


class _Flat(nn.Module):
    """Tensors in, tensors out, both in a fixed order, λ as the last one in or fixed.

    Args:
        model: the conditioned network.
        preference: λ [T], or None for an input.
        inputs: an example of what the network is given.
        caller: how that becomes arguments.
        objectives: whose tasks' predictions are outputs, too.
    """

    def __init__(
        self,
        model: ParetoModel,
        preference: Sequence[float] | None,
        inputs: Any,
        caller: Caller,
        objectives: Sequence[Objective],
    ) -> None:
        super().__init__()
        self.fixed = preference is not None
        at = torch.as_tensor(preference, dtype=torch.float32) if preference is not None else None
        self.model: Any = copy.deepcopy(model) if at is None else model.merge(at)
        self._inputs, self._caller = inputs, caller
        self._tasks = [task for task in objectives if isinstance(task, Task)]

    def outputs(self, *given: Tensor) -> dict[str, Tensor]:
        """What the network puts out, by name, and every task's prediction by the task's."""
        tensors = given if self.fixed else given[:-1]
        inputs = batches.filled(self._inputs, tensors)
        found = self._caller(self.model, inputs) if self.fixed else self._caller.at(self.model, inputs, given[-1])
        named = batches.named((found,) if isinstance(found, Tensor) else found, "output")
        for task in self._tasks:
            prediction = task.prediction_of(found)
            if named.get(task.name) is not prediction:
                named[task.name] = prediction.clone()  # two outputs of one tensor would have one name
        return named

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.outputs(*given).values())


def _probes(num_tasks: int, preference: Sequence[float] | None) -> list[Tensor]:
    if preference is not None:
        return [torch.as_tensor(preference, dtype=torch.float32)]
    corners = torch.eye(num_tasks)[: min(num_tasks, 3)]
    return [torch.full((num_tasks,), 1 / num_tasks), *corners]


def _difference(wrapped: _Flat, session: Any, given: dict[str, Tensor], preference: Tensor, names: list[str]) -> float:
    inputs = given if wrapped.fixed else {**given, PREFERENCE: preference}
    with torch.no_grad():
        expected = wrapped(*inputs.values())
    known = {one.name for one in session.get_inputs()}  # what no output depends on is no input of the file
    found = session.run(names, {name: tensor.numpy() for name, tensor in inputs.items() if name in known})
    pairs = zip(found, (tensor.numpy() for tensor in expected))
    return max(float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) for a, b in pairs)


def _forms(places: Sequence[Any]) -> dict[str, Any]:
    """Shape and format of every tensor, for whoever calls the file; ``"batch"`` stands for any number of items."""
    return {
        one.name: {"shape": list(one.shape), "dtype": _DTYPES.get(one.type, one.type.removeprefix("tensor(")[:-1])}
        for one in places
    }


def _report(
    path: Path, form: str, preference: Sequence[float] | None, difference: float, **told: Any
) -> dict[str, Any]:
    report = {
        "file": Path(path).name,
        "format": form,
        "preference": None if preference is None else [float(value) for value in preference],
        "max_abs_difference_to_pytorch": difference,
        "bytes": Path(path).stat().st_size,
        **told,
    }
    write_json(Path(path).with_suffix(Path(path).suffix + ".json"), report)
    return report
