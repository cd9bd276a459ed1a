"""
Reproduce a table
=================

Methods × seeds on one benchmark, with one command that may be stopped and started again: here small enough for a
minute.
"""

# %%
# The full table is ``palora reproduce multimnist --seeds 0 1 2 --table NAME``: all methods, hours. This is the same
# on few pictures.
import json
import subprocess
import sys
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
command = [
    *(sys.executable, "-m", "palora_core", "reproduce", "multimnist"),
    *("--methods", "ls", "palora", "cosmos", "--seeds", "0", "1", "--epochs", "1"),
    *("--set", "train_images=1500", "--set", "test_images=500", "--set", "samples=2"),
    *("--out", folder / "runs", "--table", folder / "table"),
]
done = subprocess.run(command, capture_output=True, text=True, check=True)

# %%
# It leaves a folder per run, and the table twice: as Markdown for people, as JSON for programs.
print((folder / "table.md").read_text())
table = json.loads((folder / "table.json").read_text())
print(sorted(table))

# %%
# Finished runs are kept. The same command again trains nothing; with ``--seeds 0 1 2`` it trains one run per method
# more.
print(sorted(path.name for path in (folder / "runs").iterdir()))
