"""A helper of test_distributed.py: train on two forked gloo ranks, then on one, print what differs.

Run as a process of its own, so that forking is safe: ``python tests/ranks.py FOLDER``.
"""

import hashlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from safetensors.torch import load_file

from palora_core import distributed
from palora_core.checkpoint import load
from palora_core.evaluation.front import Front
from palora_core.sources import whole_step
from palora_core.storage.runs import Run
from palora_core.tasks import Depth
from palora_core.training.losses import objective_losses
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

SETTINGS = {
    **{"train_images": 130, "test_images": 24, "num_preferences": 2, "front_points": 3},
    **{"epochs": 1, "batch_size": 43, "samples": 2},  # an odd batch: the ranks' shares differ
}
METHODS = ("ls", "uw", "mgda", "pcgrad", "rotograd", "palora")
DATA = Path("no data: the bundled subset")


def trainer(folder: Path, method: str, progress=None, **settings) -> Trainer:
    bench, chosen, options = configure("multimnist", method, {**SETTINGS, **settings})
    return Trainer(Run(folder), bench.problem(DATA), chosen, options, device="cpu", progress=progress)


def digest(model: torch.nn.Module) -> str:
    state = model.state_dict()
    return hashlib.sha256(b"".join(n.encode() + t.numpy().tobytes() for n, t in sorted(state.items()))).hexdigest()


def masked_losses(rows: slice) -> dict:
    """Loss and gradient of one task whose valid pixels are nearly all in the first half of the batch."""
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(6, 1, 4, 4, generator=generator)
    target = torch.rand(6, 1, 4, 4, generator=generator) * (torch.arange(6) < 2).view(-1, 1, 1, 1)
    weight = torch.tensor(0.7, requires_grad=True)
    (loss,) = objective_losses(
        [Depth("d")], [{"d": weight * prediction[rows]}], whole_step((None, {"d": target[rows]}), 1)
    )
    loss.backward()
    distributed.average_([weight.grad])
    return {"loss": float(loss), "gradient": float(weight.grad)}


def on_a_rank(root: Path) -> None:
    distributed.start("cpu")
    own = distributed.rank()
    report = {"masked": masked_losses(distributed.part(6)), "weights": {}}
    for method in METHODS:
        work = trainer(root / "two" / method, method)
        work.start()
        report["weights"][method] = digest(work.model)
    more = {"norm_layers": True, "epochs": 2, "ema": 0.8, "clip_norm": 1.0, "schedule": "cosine"}
    whole = trainer(root / "two" / "whole", "palora", **more)
    whole.start()

    def stop_one(what: str, done: int, total: int) -> None:
        if what == "training" and done == 2 and own == 1:
            stopped.stop()

    stopped = trainer(root / "two" / "stopped", "palora", stop_one, **more)
    stopped.start()
    report["stopped_at"] = stopped.step
    resumed = resume_trainer(Run(root / "two" / "stopped"), DATA, "cpu")
    resumed.resume()
    report["whole"], report["resumed"] = digest(whole.model), digest(resumed.model)
    (root / f"rank{own}.json").write_text(json.dumps(report))
    distributed.finish()


def fork_ranks(root: Path, count: int, work: Callable[[Path], None]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number)}
            code = 1
            try:
                work(root)
                code = 0
            except BaseException as error:
                print(f"rank {number}: {error!r}", file=sys.stderr)
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count
    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"):
        del os.environ[name]


def compared(root: Path, method: str) -> dict:
    """The run of two ranks against that of one process, and its front against a sequential one."""
    trainer(root / "one" / method, method).start()
    one, two = (load_file(root / ranks / method / "model.safetensors") for ranks in ("one", "two"))
    model, _ = load(root / "two" / method)
    work = trainer(root / "again" / method, method)
    work.model.load_state_dict(model.state_dict())
    found, front = Front.load(root / "two" / method / "front.json"), work.fronts.of("test")
    return {
        "difference": max(float((one[name] - two[name]).abs().max()) for name in one),
        "moved": max(float((one[name] - start).abs().max()) for name, start in begin(root, method).items()),
        "same_front": bool((found.objectives == front.objectives).all()) and found.about["step"] == 3,
        "points": len(found.preferences),
    }


def begin(root: Path, method: str) -> dict:
    """The weights before the first step."""
    return {name: t.clone() for name, t in trainer(root / "begin" / method, method).model.state_dict().items()}


def main() -> None:
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    fork_ranks(root, 2, on_a_rank)
    report = {f"rank{number}": json.loads((root / f"rank{number}.json").read_text()) for number in range(2)}
    report["masked"] = masked_losses(slice(None))
    report["methods"] = {method: compared(root, method) for method in METHODS}
    report["events"] = [event["kind"] for event in Run(root / "two" / "palora").events()]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
