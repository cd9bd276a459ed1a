"""``palora prepare`` from a checkout; see ``palora_core/commands/prepare.py``."""

from _cli import command

if __name__ == "__main__":
    command("prepare")
