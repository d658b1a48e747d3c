#!/usr/bin/env python3
"""The test bed's program: `bed.py up`, `bed.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

# Any Python 3.11 will do: of Goldcrest itself only the well-known names are needed, which need nothing else.
DEV = Path(__file__).resolve().parent
sys.path[:0] = [str(DEV), str(DEV.parent / "core")]

from goldcrest_bed.cli import main  # noqa: E402 - the path must be set first

if __name__ == "__main__":
    sys.exit(main())
