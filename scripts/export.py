"""``palora export`` from a checkout; see ``palora_core/commands/export.py``."""

from _cli import command

if __name__ == "__main__":
    command("export")
