"""Serve a model over HTTP: ``palora serve trained_models/multimnist``; input and λ in, prediction out."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from palora_core.errors import UserError

if TYPE_CHECKING:
    from palora_core.serving.http.limits import Limits
    from palora_core.serving.http.service import Service

KEPT_ALIVE = 5  # seconds that an idle connection is kept


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("model", type=Path, help="a model folder or a run folder")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: a free one")
    parser.add_argument("--address", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    parser.add_argument("--host", action="append", default=[], help="a further name that it is asked for by")
    parser.add_argument("--items", type=int, default=64, help="most inputs of a request (default: 64)")
    parser.add_argument("--body-mb", type=float, default=20.0, help="most MB of a request (default: 20)")
    parser.add_argument("--waiting", type=int, default=32, help="most requests at a time (default: 32)")
    parser.add_argument("--seconds", type=float, default=30.0, help="for a request to arrive, and to be answered")


def run(args: argparse.Namespace) -> None:
    """Serve until it is stopped."""
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise UserError(f"Serving needs the package {package}; install it with: pip install 'palora-core[serve]'.")
    import uvicorn

    from palora_core.serving.http.limits import Limits
    from palora_core.serving.http.server import application

    if not 0 <= args.port <= 65535:
        raise UserError(f"--port is {args.port}; expected 0 to 65535.")
    limits = Limits(args.body_mb, args.items, args.waiting, args.seconds)
    hosts = [*args.host, *([] if args.address in ("0.0.0.0", "::") else [args.address])]
    app = application(service_of(args.model, limits), hosts)
    print(f"serving {args.model} on http://{args.address}:{args.port or '…'}; Ctrl-C ends it", flush=True)
    uvicorn.run(
        app,
        host=args.address,
        port=args.port,
        log_level="warning" if args.port else "info",
        timeout_keep_alive=KEPT_ALIVE,
        limit_concurrency=8 * args.waiting,
        server_header=False,
    )


def service_of(folder: Path, limits: Limits | None = None) -> Service:
    """The service of a model folder.

    Raises:
        UserError: no such model, or one of which nothing says how its inputs look.
    """
    from palora_core.batches import Caller
    from palora_core.checkpoint import benchmark_of, load
    from palora_core.inputs import as_input
    from palora_core.serving.http.service import Service
    from palora_core.storage.samples import example_of

    model, card = load(folder)
    benchmark = benchmark_of(card)
    collection = folder.absolute().parent  # one file of samples for all of its models
    shared = not (folder / "samples.npz").exists() and (collection / "samples.npz").exists()
    example = example_of(collection if shared else folder, card, benchmark.convert)
    caller = Caller(model.network, benchmark.problem().passing)
    title = str(card.get("title") or card.get("name") or folder.name)
    return Service(model, benchmark.tasks, as_input(benchmark.input_kind), example, caller, title, limits)
