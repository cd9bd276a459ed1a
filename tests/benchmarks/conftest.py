"""The releases are written by a module beside these tests' folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
