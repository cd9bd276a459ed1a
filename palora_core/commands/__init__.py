"""The commands of ``palora``: each module has ``arguments(parser)`` and ``run(args)``; the scripts call them, too.

A module imports what is heavy when it runs, so that ``--help`` and a mistyped option answer at once.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import palora_core
from palora_core import plugins
from palora_core.errors import UserError

PIPE_CLOSED = 128 + 13  # what shells report of a program that SIGPIPE ended

COMMANDS = {
    "train": "train one method on one benchmark",
    "evaluate": "evaluate a model's front",
    "effect": "how much λ changes a model's predictions, and samples that show it",
    "expand": "Pareto expansion of a plain checkpoint",
    "export": "the network at a preference, or with the preference as input, as a file or a bundle",
    "serve": "answer over HTTP: input and preference in, prediction out",
    "merge": "checkpoints or adapters of one network as one model that a preference steers, without training",
    "prepare": "turn a raw release into what training reads",
    "sweep": "train a grid of settings, alone or with other workers",
    "tune": "choose every method's settings under one budget of trials, then train them and write the table",
    "reproduce": "train methods × seeds on a benchmark and write the table",
    "grid": "train one linear scalarization per preference, the yardstick of a controllable model",
    "app": "open the dashboard",
    "doctor": "what is installed, missing and slow on this machine",
}
REPORT_PLUGINS = ("app", "doctor")  # they say themselves what is wrong with a plugin, and go on


def main(argv: Sequence[str] | None = None) -> int:
    """``palora COMMAND …``: the exit status."""
    listing = "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="palora",
        usage="palora [-h] [--version] command …",
        description=f"Train one network, then steer it along its Pareto front.\n\ncommands:\n{listing}",
        epilog="palora COMMAND --help explains one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"palora-core {palora_core.__version__}")
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    def carry_out() -> int:
        args = parser.parse_args(argv)
        return run(args.command, args.rest, f"palora {args.command}")

    return guarded(carry_out)


def run(command: str, argv: Sequence[str], program: str) -> int:
    """Parse the arguments of ``command`` and carry it out.

    Args:
        command: one of :data:`COMMANDS`.
        argv: its arguments.
        program: what a person typed before them; in usage texts and advice.

    Returns:
        The exit status: 2 where a person can put right what is wrong, after one sentence on standard error.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads cost 5-10 × on a shared machine
    module = importlib.import_module(f"{__name__}.{command}")
    parser = argparse.ArgumentParser(prog=program, description=(module.__doc__ or "").partition("\n")[0])
    module.arguments(parser)
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this module, which registers things of one's own (or PALORA_PLUGINS=MODULE,…)",
    )
    given = argparse.Namespace(program=program, argv=list(argv))
    return guarded(lambda: _with_plugins(command, module.run, parser.parse_args(argv, given)))


def _with_plugins(
    command: str, carry_out: Callable[[argparse.Namespace], int | None], args: argparse.Namespace
) -> int | None:
    if command in REPORT_PLUGINS:
        plugins.ask_for(args.plugin)
        return carry_out(args)
    plugins.use(args.plugin)
    for problem in plugins.problems():  # of installed ones, which nobody asked for just now
        print(f"warning: {problem}", file=sys.stderr)
    return carry_out(args)


def guarded(carry_out: Callable[[], int | None]) -> int:
    """The exit status of ``carry_out``; what a person can put right is one sentence on standard error and status 2.

    That is a UserError, and whatever the system refuses: a full disk, a folder that may not be read or written. Where
    the reader of standard output has gone (``| head``), the status is 141, as that of any program in a shell.
    """
    _write_anyhow()
    try:
        try:
            return carry_out() or 0
        finally:
            sys.stdout.flush()  # here, where a closed pipe can be answered
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _leave_standard_output()
        return PIPE_CLOSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror or error}; make room, or choose a place that you may use.", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _write_anyhow() -> None:
    """Let consoles without UTF-8 have escapes for the characters that they lack."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _leave_standard_output() -> None:
    """Nothing is to be written any more, not even at the process's end, when Python would complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
