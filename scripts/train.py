"""Train one method on one benchmark: ``python scripts/train.py --benchmark multimnist --out runs/a``.

On several processes or GPUs: ``torchrun --nproc-per-node 2 scripts/train.py …`` (the same options and global batch).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _cli import DEFAULT_DATA, PARTS, Bar, main, settings


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train one method on one benchmark.")
    parser.add_argument("--benchmark", help="e.g. multimnist, rooms, streets")
    parser.add_argument("--method", help="e.g. palora, ls, pamal (default: palora)")
    parser.add_argument("--conditioning", help="replace the method's conditioning")
    parser.add_argument("--balancer", help="replace the method's balancer")
    parser.add_argument("--sampler", help="replace the method's preference sampler")
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--precision", choices=("fp32", "bf16", "auto"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any option, e.g. rank=8")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data root (default: ./data or $DATA_DIR)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out where it stopped")
    return parser.parse_args()


def run() -> int:
    args = arguments()
    from palora_core import distributed
    from palora_core.errors import UserError
    from palora_core.runs import Run
    from palora_core.training.setup import configure, refuse_changes, resume_trainer
    from palora_core.training.trainer import Trainer

    device = distributed.start(args.device)
    bar = Bar(shown=distributed.is_main())
    folder = Run(args.out)
    given = {name: getattr(args, name) for name in ("seed", "epochs", "precision") if getattr(args, name) is not None}
    given |= settings(args.set)
    parts = {name: getattr(args, name) for name in PARTS if getattr(args, name)}
    if args.resume:
        refuse_changes(folder, args.benchmark or "", args.method or "", given, parts)
        trainer = resume_trainer(folder, args.data, device, bar)
        trainer.resume()
    else:
        if not args.benchmark:
            raise UserError("--benchmark is missing; for example --benchmark multimnist.")
        bench, method, options = configure(args.benchmark, args.method or "palora", given, parts)
        trainer = Trainer(folder, bench, method, options, args.data, device, bar)
        trainer.start()
    bar.close()
    main_rank = distributed.is_main()
    distributed.finish()
    return report(folder) if main_rank else 0


def report(folder) -> int:
    status = folder.events()[-1]
    if status.get("reason") != "finished":
        print(
            f"stopped at step {status['step']}; continue with: python scripts/train.py --out {folder.folder} --resume"
        )
        return 0
    from palora_core.front import Front

    summary = Front.load(folder.folder / "front.json").summary()
    values = [f"{value:g}" for value in summary["reference"]]
    reference = ", ".join(values) if len(set(values)) > 1 or len(values) < 5 else f"{values[0]} for every task"
    print(f"{folder.folder}: hypervolume {summary['hypervolume']:.4f} (reference {reference}), ", end="")
    print(f"{summary['nondominated']}/{summary['points']} points non-dominated; {summary['preferences']}")
    return 0


if __name__ == "__main__":
    main(run)
