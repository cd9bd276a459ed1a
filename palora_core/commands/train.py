"""Train one method on one benchmark: ``palora train --benchmark multimnist --out runs/a``.

On several processes or GPUs: ``torchrun --nproc-per-node 2 -m palora_core train …``, same options and global batch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from palora_core import plugins
from palora_core.commands.console import PARTS, add_common, add_settings, settings
from palora_core.errors import UserError
from palora_core.progress import Bar

if TYPE_CHECKING:
    from palora_core.storage.runs import Run
    from palora_core.training.live import Live
    from palora_core.training.trainer import Trainer


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("--benchmark", help="e.g. multimnist, rooms, streets")
    parser.add_argument("--method", help="e.g. palora, ls, pamal (default: palora)")
    parser.add_argument("--conditioning", help="replace the method's conditioning")
    parser.add_argument("--balancer", help="replace the method's balancer")
    parser.add_argument("--sampler", help="replace the method's preference sampler")
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16", "auto"))
    parser.add_argument("--resume", action="store_true", help="continue the run in --out where it stopped")
    parser.add_argument("--logger", action="append", default=[], help="tensorboard, wandb or mlflow, where installed")
    add_settings(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Train, or go on with a run; the first rank reports."""
    from palora_core import distributed
    from palora_core.storage.runs import Run

    device = distributed.start(args.device)
    bar = Bar(shown=distributed.is_main())
    folder = Run(args.out)
    given = {name: getattr(args, name) for name in ("seed", "epochs", "precision") if getattr(args, name) is not None}
    given |= settings(args.set)
    parts = {name: getattr(args, name) for name in PARTS if getattr(args, name)}
    (_resume if args.resume else _begin)(args, folder, given, parts, device, bar)
    bar.close()
    main_rank = distributed.is_main()
    distributed.finish()
    if main_rank:
        report(folder, args.program.replace("expand", "train"))
    return 0


def _begin(args: argparse.Namespace, folder: Run, given: dict, parts: dict[str, str], device: str, bar: Bar) -> None:
    from palora_core.training.setup import configure
    from palora_core.training.trainer import Trainer

    if not args.benchmark:
        raise UserError("--benchmark is missing; for example --benchmark multimnist.")
    bench, method, options = configure(args.benchmark, args.method or "palora", given, parts)
    live = _live(args)
    trainer = Trainer(folder, bench.problem(args.data, bar), method, options, device=device, progress=bar, live=live)
    say_start(trainer)
    trainer.start()


def _resume(args: argparse.Namespace, folder: Run, given: dict, parts: dict[str, str], device: str, bar: Bar) -> None:
    from palora_core.training.resuming import refuse_changes, resume_trainer

    refuse_changes(folder, args.benchmark or "", args.method or "", given, parts)
    missing = plugins.missing(folder.config().get("plugins"))
    if missing:  # all that the configuration names is registered, or the check above had said so
        print(f"warning: this run was begun with --plugin {' --plugin '.join(missing)}", file=sys.stderr)
    resume_trainer(folder, args.data, device, bar, live=_live(args)).resume()


def _live(args: argparse.Namespace) -> Live:
    from palora_core.training.live import Live
    from palora_core.training.loggers import logger

    return Live(callbacks=[logger(name) for name in args.logger])


def say_start(trainer: Trainer) -> None:
    """Say what of the network comes from the weights to start from."""
    from palora_core import distributed

    if trainer.origin and distributed.is_main():
        print(f"start: {trainer.origin['sentence']}", flush=True)


def report(run: Run, program: str) -> None:
    """Say what a run reached, or how it goes on."""
    events = run.events()
    for message in dict.fromkeys(str(event.get("message")) for event in events if event["kind"] == "warning"):
        print(f"warning: {message}", file=sys.stderr)
    status = events[-1]
    if status.get("reason") != "finished":
        print(f"stopped at step {status['step']}; continue with: {program} --out {run.folder} --resume")
        return
    from palora_core.evaluation.front import Front

    summary = Front.load(run.folder / "front.json").summary()
    values = [f"{value:g}" for value in summary["reference"]]
    reference = ", ".join(values) if len(set(values)) > 1 or len(values) < 5 else f"{values[0]} for every task"
    print(f"{run.folder}: hypervolume {summary['hypervolume']:.4f} (reference {reference}), ", end="")
    print(f"{summary['nondominated']}/{summary['points']} points non-dominated; {summary['preferences']}")
    if "unmeasured" in summary:
        print(f"without {' and '.join(summary['unmeasured'])}: the test split has no valid target of it")
