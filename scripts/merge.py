"""``palora merge`` from a checkout; see ``palora_core/commands/merge.py``."""

from _cli import command

if __name__ == "__main__":
    command("merge")
