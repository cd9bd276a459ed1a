"""``palora tune`` from a checkout; see ``palora_core/commands/tune.py``."""

from _cli import command

if __name__ == "__main__":
    command("tune")
