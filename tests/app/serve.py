"""Runs the dashboard in this process with the toy benchmark known: ``python tests/app/serve.py PORT``."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import tests.app.toy  # noqa: E402, F401

if __name__ == "__main__":
    from streamlit.web.cli import main

    arguments = ["--server.port", sys.argv[1], "--server.fileWatcherType", "none"]
    sys.argv = ["streamlit", "run", str(ROOT / "app" / "app.py"), *arguments]
    main(prog_name="streamlit")
