"""``palora sweep`` from a checkout; see ``palora_core/commands/sweep.py``."""

from _cli import command

if __name__ == "__main__":
    command("sweep")
