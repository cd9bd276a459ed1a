"""``palora reproduce`` from a checkout; see ``palora_core/commands/reproduce.py``."""

from _cli import command

if __name__ == "__main__":
    command("reproduce")
