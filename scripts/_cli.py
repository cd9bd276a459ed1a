"""What the scripts share: the checkout on the import path, and the commands of ``palora`` under the scripts' names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads cost 5-10 × on a shared machine
os.environ.setdefault("DATA_DIR", str(ROOT / "data"))  # wherever the script is started

from palora_core.commands import guarded, run  # noqa: E402
from palora_core.commands.console import target  # noqa: E402
from palora_core.paths import data_folder  # noqa: E402
from palora_core.progress import Bar  # noqa: E402

__all__ = ["ROOT", "Bar", "command", "data_folder", "main", "target"]


def command(name: str) -> None:
    """Be ``palora NAME``."""
    sys.exit(run(name, sys.argv[1:], f"python scripts/{Path(sys.argv[0]).name}"))


def main(carry_out: Callable[[], int | None]) -> None:
    """Call ``carry_out``; a UserError becomes one sentence on standard error and exit status 2."""
    sys.exit(guarded(carry_out))
