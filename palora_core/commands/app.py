"""Open the dashboard: ``palora app``, with your own networks and data ``palora app --plugin my.module``."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from palora_core.commands.studio import app_command, app_environment
from palora_core.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("--port", type=int, help="default: 8501, or the next free one")
    parser.add_argument("--address", help="default: 127.0.0.1, this machine only")
    parser.add_argument("--models", type=Path, help="folder of models (default: the shipped ones, or $PALORA_MODELS)")
    parser.add_argument("--runs", type=Path, help="folder of training runs (default: ./runs, or $PALORA_RUNS)")


def run(args: argparse.Namespace) -> int:
    """Serve until it is stopped."""
    if args.models is not None and not args.models.is_dir():
        raise UserError(f"There is no folder of models {args.models}.")
    given = {"PALORA_MODELS": args.models, "PALORA_RUNS": args.runs}
    variables = {name: str(path.absolute()) for name, path in given.items() if path is not None}
    command, environment = app_command(args.port, args.address), app_environment(**variables)
    if os.name == "posix":  # in place of this process: whoever ends it ends the server
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)
