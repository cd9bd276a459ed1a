"""The trial of a bundle: its script is run as a stranger would run it, and compared with what is shown here."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from palora_core.errors import UserError

PATIENCE = 300.0
# The script's own numbers, as it leaves them; in a process that finds nothing of ours.
TRIAL = (
    "import runpy, sys; out = sys.argv.pop(); found = runpy.run_path('infer.py'); import numpy; "
    "numpy.savez(out, **dict(zip(found['card']['outputs'], found['outputs'])))"
)


def tried(folder: Path, python: str = sys.executable, arguments: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """What ``infer.py`` in a bundle's folder predicts, [1, …] by task, run by itself.

    Args:
        folder: of the bundle.
        python: which interpreter; it needs numpy, pillow and onnxruntime.
        arguments: of the script.

    Raises:
        UserError: it fails or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="palora-trial-") as name:
        out = Path(name) / "outputs.npz"
        command = [python, "-I", "-c", TRIAL, *arguments, str(out)]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise UserError(f"The bundle's script took longer than {PATIENCE:.0f} seconds on its sample.") from None
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
            raise UserError(f"The bundle's script does not run on its own sample ({reason}); nothing was handed over.")
        with np.load(out) as found:
            return dict(found)


def difference(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest difference between predictions of the same tasks.

    Raises:
        UserError: other shapes: these are not the same predictions.
    """
    for name, array in expected.items():
        if name not in found or found[name].shape != array.shape:
            got = list(found[name].shape) if name in found else "nothing"
            raise UserError(f"The bundle's script gives {got} for {name}, expected {list(array.shape)}.")
    return max((float(np.abs(found[n].astype("f8") - a.astype("f8")).max()) for n, a in expected.items()), default=0.0)
