"""``palora train`` from a checkout; see ``palora_core/commands/train.py``."""

from _cli import command

if __name__ == "__main__":
    command("train")
