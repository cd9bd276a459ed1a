"""A helper of test_resume.py: train in forked children that are killed, resume them, print what came out.

Run as a process of its own, so that forking is safe: ``python tests/training/crash.py FOLDER STRIDE RANDOM_KILLS``.
"""

import functools
import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from safetensors.torch import load_file

from palora_core.storage.runs import Run
from palora_core.training import reporting
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

SETTINGS = {
    **{"train_images": 512, "test_images": 128, "norm_layers": True, "num_preferences": 2},
    **{"epochs": 3, "batch_size": 64, "front_points": 3, "samples": 2},
    **{"optimizer": "adamw", "schedule": "cosine", "warmup": 2, "clip_norm": 1.0, "accumulate": 2, "ema": 0.8},
}
DATA = Path("no data: the bundled subset")


def begin(folder: Path, checkpoint_seconds: float = 0.0) -> None:
    settings = {**SETTINGS, "checkpoint_seconds": checkpoint_seconds}
    bench, method, options = configure("multimnist", "palora", settings)
    Trainer(Run(folder), bench.problem(DATA), method, options, device="cpu").start()


def resume(folder: Path) -> None:
    if (folder / "config.json").exists():
        resume_trainer(Run(folder), DATA, "cpu").resume()
    else:
        begin(folder)  # killed before there was anything to resume


def in_child(work, folder: Path, kill_at: int = 0, counted: Path | None = None, kill_after: float = 0.0) -> int:
    """Run ``work(folder)`` in a fork; SIGKILL it at its n-th operation on the folder's files, or after a time."""
    child = os.fork()
    if child == 0:
        count = kill_on_file_operation(folder, kill_at) if kill_at or counted else None
        code = 1
        try:
            work(folder)
            code = 0
            if counted:
                counted.write_text(str(count[0]))
        finally:
            os._exit(code)
    if kill_after:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def kill_on_file_operation(folder: Path, number: int) -> list[int]:
    count, inside = [0], str(folder)

    def hook(event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(inside):
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def outcome(folder: Path) -> dict:
    """What must not depend on interruptions."""
    weights = load_file(folder / "model.safetensors")
    digest = hashlib.sha256(b"".join(name.encode() + t.numpy().tobytes() for name, t in sorted(weights.items())))
    events = Run(folder).events()
    fronts = [e for e in events if e["kind"] == "front"]
    steps = [e["step"] for e in events if e["kind"] == "step"]
    return {
        "weights": digest.hexdigest(),
        "best": hashlib.sha256((folder / "best.safetensors").read_bytes()).hexdigest(),
        "front": json.loads((folder / "front.json").read_text())["objectives"],
        "fronts": [[e["epoch"], e["objectives"]] for e in fronts],
        "steps_increase": steps == sorted(set(steps)),
        "ends": [e["kind"] for e in events].count("end"),
        "status": Run(folder).status(),
        "left_over": sorted(p.name for p in folder.iterdir() if p.name.startswith(".")),
    }


def main() -> None:
    torch.set_num_threads(1)
    reporting.REPORT_SECONDS = 0.0  # every step is noted, so that the file operations are the same ones on any machine
    root, stride, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    begin(root / "warm-up")  # imports everything once, so that children are quick
    began = time.monotonic()
    in_child(begin, root / "whole", counted=root / "count")
    seconds = time.monotonic() - began
    operations = int((root / "count").read_text())
    report = {"operations": operations, "whole": outcome(root / "whole"), "killed": {}}
    for number in range(1, operations + 1, stride):
        folder = root / f"operation-{number}"
        assert in_child(begin, folder, kill_at=number) == signal.SIGKILL
        in_child(resume, folder)
        report["killed"][f"operation {number} of {operations}"] = outcome(folder)
    for number in range(kills):
        folder = root / f"random-{number}"
        moments = [random.random() * seconds for _ in range(2)]
        rarely = functools.partial(begin, checkpoint_seconds=1e3 * (number % 2))  # or at the ends of epochs only
        in_child(rarely, folder, kill_after=moments[0])
        in_child(resume, folder, kill_after=moments[1])
        in_child(resume, folder)
        report["killed"][f"killed after {moments[0]:.3f} s and {moments[1]:.3f} s"] = outcome(folder)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
