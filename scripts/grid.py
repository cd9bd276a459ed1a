"""``palora grid`` from a checkout; see ``palora_core/commands/grid.py``."""

from _cli import command

if __name__ == "__main__":
    command("grid")
