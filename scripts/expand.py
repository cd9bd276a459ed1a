"""``palora expand`` from a checkout; see ``palora_core/commands/expand.py``."""

from _cli import command

if __name__ == "__main__":
    command("expand")
