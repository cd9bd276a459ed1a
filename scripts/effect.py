"""``palora effect`` from a checkout; see ``palora_core/commands/effect.py``."""

from _cli import command

if __name__ == "__main__":
    command("effect")
