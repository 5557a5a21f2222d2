"""``python -m persistable``: the command line, also where the script ``persistable`` is not on the PATH."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from .cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
