"""``palora serve`` from a checkout; see ``palora_core/commands/serve.py``."""

from _cli import command

if __name__ == "__main__":
    command("serve")
