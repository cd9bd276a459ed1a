"""Export in a process of its own: tracing a network patches torch while it runs, which a live server would feel.

Run as ``python -m app.exports.exporting ORDER.json``; the order and the answer are files in one temporary folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file

from app.exports.handing import handing
from app.library.loading import LoadedModel
from app.library.transfer import safe_name
from app.settings import child_environment
from palora_core import checkpoint
from palora_core.batches import Caller, tensors
from palora_core.children import python
from palora_core.errors import UserError
from palora_core.export import export_folder, export_onnx, export_safetensors
from palora_core.handover import export_bundle
from palora_core.storage.reading import read_json
from palora_core.storage.samples import example_of
from palora_core.storage.writing import CannotWrite, why_not_written, write_json

Form = Literal["safetensors", "onnx", "folder", "bundle"]
ZIPPED = ("folder", "bundle")  # forms of several files
PATIENCE = 600.0
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Exported:
    """A file and what is known about it.

    Attributes:
        name: file name.
        data: its bytes; b"" of one that is kept on disk.
        report: format, λ and ``max_abs_difference_to_pytorch``.
        address: of a file on disk, relative to the pages.
    """

    name: str
    data: bytes
    report: dict[str, Any]
    address: str = ""

    @property
    def report_text(self) -> str:
        """The report as the JSON that lies beside the file."""
        return json.dumps(self.report, indent=1) + "\n"

    @property
    def sentence(self) -> str:
        """Size and difference, for people."""
        size = self.report["bytes"] if self.address else len(self.data)
        text = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
        return f"{text}, largest difference to PyTorch {self.report['max_abs_difference_to_pytorch']:.1e}"


def export(loaded: LoadedModel, form: Form, preference: Sequence[float] | None) -> Exported:
    """The network at λ [T] (``None``: with λ as an input, ONNX only) as a file, made in another process.

    Raises:
        UserError: no input to trace and measure with, a missing package, or an operator that cannot be exported.
    """
    if loaded.example is None:
        raise UserError(
            "This model came without samples and its card tells no form of inputs, so there is none to trace it with; "
            "palora effect on its folder makes them."
        )
    with _turn(), _temporary() as name:
        folder = Path(name)
        order = {
            "model": str(loaded.entry.folder.resolve()),
            "samples": str(loaded.entry.samples_file.resolve().parent),
            "form": form,
            "preference": None if preference is None else list(preference),
            "out": file_name(loaded, form, preference),
        }
        write_json(folder / "order.json", order)
        _run(folder)
        report = read_json(folder / f"{order['out']}.json", "report")
        if form in ZIPPED:
            return Exported(order["out"], b"", report, handing.put(folder / order["out"], order["out"]))
        return Exported(order["out"], (folder / order["out"]).read_bytes(), report)


def file_name(loaded: LoadedModel, form: str, preference: Sequence[float] | None) -> str:
    """``model-at-0.30-0.70.onnx``, or ``model-controllable.onnx``."""
    stem = safe_name(loaded.entry.id) + ("-bundle" if form == "bundle" else "")
    ending = "zip" if form in ZIPPED else form
    return f"{stem}-at-{_weights(preference)}.{ending}" if preference else f"{stem}-controllable.{ending}"


def view_name(loaded: LoadedModel, what: str, preference: Sequence[float]) -> str:
    """``model-report-at-0.30-0.70.html``: a file on a view; without λ where the model has none."""
    stem, _, ending = what.partition(".")
    at = f"-at-{_weights(preference)}" if loaded.model.controllable else ""
    return f"{file_stem(loaded)}-{stem}{at}.{ending}"


def file_stem(loaded: LoadedModel) -> str:
    """What names of files about a model begin with."""
    return safe_name(loaded.entry.id)


def _weights(preference: Sequence[float]) -> str:
    """λ in a file's name, as many of its four decimals as it needs and two at least; too many weights are left out."""
    if len(preference) > 4:
        return "preference"
    decimals = (f"{value:.4f}" for value in preference)
    return "-".join(text[:-2] + text[-2:].rstrip("0") for text in decimals)


def carry_out(folder: Path) -> None:
    """Do what ``order.json`` in ``folder`` says; the file and its report are written beside it."""
    order = read_json(folder / "order.json", "order")
    model, card = checkpoint.load(order["model"])
    benchmark = checkpoint.benchmark_of(card)
    out, preference = folder / order["out"], order["preference"]
    if order["form"] == "folder":
        codec = getattr(benchmark.input_kind, "codec", None)
        report = export_folder(model, preference, out.with_suffix(""), codec and codec())
        write_json(folder / f"{order['out']}.json", _zipped(report, out))
        return
    x = example_of(Path(order["samples"]), card, benchmark.convert)
    if order["form"] == "bundle":
        report = export_bundle(model, card, benchmark, x, preference, out.with_suffix(""))
        write_json(folder / f"{order['out']}.json", _zipped(report, out))
        return
    caller = Caller(model.network, benchmark.problem().passing)
    if order["form"] == "onnx":
        export_onnx(model, x, out, preference, caller, benchmark.tasks)
        return
    report = export_safetensors(model, preference, out)
    report["max_abs_difference_to_pytorch"] = _difference(model, caller, x, preference, out)
    write_json(folder / f"{order['out']}.json", report)


def _zipped(report: dict[str, Any], out: Path) -> dict[str, Any]:
    """The folder beside ``out`` in a zip of its name; weights are not packed once more."""
    made = out.with_suffix("")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(made.rglob("*")):
            archive.write(path, path.relative_to(made.parent))
            if path.is_file():
                path.unlink()  # there may be no room for both
    return {**report, "file": out.name, "bytes": out.stat().st_size}


def _difference(model: Any, caller: Caller, x: Any, preference: Sequence[float], file: Path) -> float:
    """Largest difference between the network with the file's weights and the controllable one at λ."""
    weights = torch.tensor(preference)
    plain = model.merge(torch.full((model.num_tasks,), 1 / model.num_tasks)).eval()
    plain.load_state_dict(load_file(file))
    with torch.no_grad():
        pairs = zip(tensors(caller(plain, x)), tensors(caller.at(model, x, weights)))
        return max(float((found - expected).abs().max()) for found, expected in pairs)


@contextlib.contextmanager
def _temporary() -> Iterator[str]:
    """A folder for as long as a block lasts; where nothing can be written there, that is a sentence."""
    try:
        place = tempfile.TemporaryDirectory(prefix="palora-export-")
    except OSError as error:
        raise _no_room(error) from None
    with place as name:
        try:
            yield name
        except CannotWrite as error:
            raise _no_room(error) from None


def _no_room(error: OSError | CannotWrite) -> UserError:
    why = why_not_written(error)
    return UserError(f"The server's folder for temporary files cannot be written ({why}); make room, or set TMPDIR.")


@contextlib.contextmanager
def _turn() -> Any:
    if not _one_at_a_time.acquire(timeout=PATIENCE):
        raise UserError("Somebody else's export takes too long; try again later.")
    try:
        yield
    finally:
        _one_at_a_time.release()


def _run(folder: Path) -> None:
    environment = child_environment(OMP_NUM_THREADS="1")
    command = python("-m", "app.exports.exporting", str(folder))
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise UserError("The export takes longer than ten minutes; use palora export instead.") from None
    except OSError as error:  # too many processes, too little memory
        raise UserError(f"The export could not be started ({why_not_written(error)}); try again later.") from None
    if done.returncode == 2 and done.stdout.strip():
        raise UserError(done.stdout.strip().splitlines()[-1].replace(str(folder), "…"))
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
        raise UserError(f"This network cannot be exported ({reason.replace(str(folder), '…')}).")


def main() -> int:
    """The process: one sentence and code 2 for what a person can put right."""
    torch.set_num_threads(1)
    os.nice(5)  # people are dragging meanwhile
    try:
        carry_out(Path(sys.argv[1]))
    except UserError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
