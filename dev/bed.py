#!/usr/bin/env python3
"""The test bed's program: `bed.py up`, `bed.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from goldcrest_bed.cli import main

if __name__ == "__main__":
    sys.exit(main())
