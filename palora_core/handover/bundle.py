"""Everything that somebody needs to use a network of ours without us, in one folder, tried before it is handed over."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from palora_core.batches import Caller, mapped, rows
from palora_core.benchmarks.base import Benchmark
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError
from palora_core.export import PREFERENCE, empty_folder, export_onnx, export_safetensors, input_tensors
from palora_core.handover.readme import licence, readme
from palora_core.handover.script import TENSORS, script
from palora_core.handover.trial import difference, tried
from palora_core.inputs import as_input
from palora_core.inputs.base import Preprocessing
from palora_core.serving import served
from palora_core.storage.writing import cannot_write, why_not_written, write_json
from palora_core.tasks import Task

REQUIREMENTS = "numpy\npillow\nonnxruntime\n"
MOST_BYTES = 1_500_000_000  # of weights: an ONNX file holds 2 GB


def export_bundle(
    model: ParetoModel,
    card: Mapping[str, Any],
    benchmark: Benchmark,
    example: Any,
    preference: Sequence[float],
    folder: Path,
) -> dict[str, Any]:
    """Weights, ONNX, preprocessing, classes, licence and a script of fifteen lines, tried on a sample.

    Args:
        model: the conditioned network.
        card: its card.
        benchmark: what it was trained on, which knows inputs and tasks.
        example: inputs of some items; the first travels along, and the script is tried on it.
        preference: λ [T].
        folder: a new or empty one.

    Returns:
        As written in ``report.json`` there: λ, differences, files.

    Raises:
        UserError: the folder holds something, a package is missing, the network cannot be exported, or the script does
            not run.
    """
    size = sum(parameter.nbytes for parameter in model.parameters())
    if size > MOST_BYTES:
        raise UserError(
            f"This network's weights have {size / 1e9:.1f} GB, more than an ONNX file holds; export a folder."
        )
    folder = empty_folder(folder)
    caller = Caller(model.network, benchmark.problem().passing)
    sample = _sample(benchmark, rows(example, slice(0, 1)), caller)
    tasks = [task for task in benchmark.tasks if isinstance(task, Task)]
    export_safetensors(model, preference, folder / "weights.safetensors")
    plain = export_onnx(model, sample.inputs, folder / "network.onnx", preference, caller, tasks)
    if model.controllable:
        export_onnx(model, sample.inputs, folder / "controllable.onnx", None, caller, tasks)
    told = {
        "model": card.get("title") or card.get("name") or "",
        PREFERENCE: [float(value) for value in preference],
        "objectives": [task.name for task in benchmark.tasks],
        "sample": sample.name,
        "inputs": plain["inputs"],
        "preprocessing": dict(sample.preprocessing.data),
        "about_preprocessing": sample.preprocessing.about,
        "outputs": [task.name for task in tasks],
        "tasks": [task.told() for task in tasks],
    }
    try:
        (folder / sample.name).write_bytes(sample.file)
        (folder / "infer.py").write_text(script(sample.preprocessing, model.controllable), encoding="utf-8")
        (folder / "requirements.txt").write_text(REQUIREMENTS)
    except OSError as error:
        raise cannot_write(folder, why_not_written(error) or "the disk refused") from None
    write_json(folder / "bundle.json", told)
    write_json(folder / "card.json", dict(card))
    report = _tried(model, caller, tasks, example, sample, preference, folder)
    (folder / "README.md").write_text(readme(told, card, report), encoding="utf-8")
    (folder / "LICENCE.txt").write_text(licence(card), encoding="utf-8")
    report["bytes"] = sum(path.stat().st_size for path in folder.iterdir())
    write_json(folder / "report.json", report)
    return {**report, "file": folder.name}


@dataclass(frozen=True)
class _Sample:
    """A file, how it is read without us, what a page reads from it, and the sample that it was made of."""

    name: str
    file: bytes
    preprocessing: Preprocessing
    inputs: Any
    stored: Any


def _sample(benchmark: Benchmark, x: Any, caller: Caller) -> _Sample:
    """An input as a person's file; as the network's own tensors where no file is read without us."""
    kind = as_input(benchmark.input_kind)
    preprocessing = kind.preprocessing()
    if preprocessing is not None:
        file = kind.to_file(kind.to_shown(mapped(lambda tensor: tensor[0], x)))
        return _Sample(f"sample.{preprocessing.suffix}", file, preprocessing, kind.to_input(kind.read(file)), x)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in input_tensors(x, caller).items()}
    np.savez(buffer, **arrays)
    return _Sample("sample.npz", buffer.getvalue(), TENSORS, x, x)


def _tried(
    model: ParetoModel,
    caller: Caller,
    tasks: Sequence[Task],
    example: Any,
    sample: _Sample,
    preference: Sequence[float],
    folder: Path,
) -> dict[str, Any]:
    """The script's answers against those of the pages, which are served from the same files."""
    network, at = served(model, example, caller), torch.tensor(preference)

    def shown(inputs: Any) -> dict[str, np.ndarray]:
        outputs = network(inputs, at)
        return {task.name: task.prediction_of(outputs).numpy().copy() for task in tasks}

    expected = shown(sample.inputs)
    apart = difference(tried(folder), expected)
    report = {"format": "bundle", PREFERENCE: [float(v) for v in preference], "max_abs_difference_to_pytorch": apart}
    if model.controllable:
        weights = tuple(f"{value:.9g}" for value in preference)
        found = tried(folder, arguments=(sample.name, *weights))
        report["max_abs_difference_controllable"] = difference(found, expected)
    report["changed_by_file"] = difference(shown(sample.stored), expected)
    report["largest_number"] = max((float(np.abs(array).max()) for array in expected.values()), default=0.0)
    return report
