"""``palora evaluate`` from a checkout; see ``palora_core/commands/evaluate.py``."""

from _cli import command

if __name__ == "__main__":
    command("evaluate")
