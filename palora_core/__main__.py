"""``python -m palora_core COMMAND …`` is ``palora COMMAND …``; so is ``torchrun … -m palora_core train …``."""

import sys

from palora_core.commands import main

if __name__ == "__main__":
    sys.exit(main())
