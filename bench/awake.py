"""Keeps the processors of a virtual machine awake while something is measured.

A virtual processor that halts is taken away by its hypervisor, and comes back to caches that others have filled: what one client sees between two halts
is then mostly that. A process of the kernel's idle class on each processor runs only when nobody else wants to, and leaves at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SPIN = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True:\n    pass\n"


@contextmanager
def awake() -> Iterator[None]:
    """While it is entered, no processor halts."""
    spinning = [subprocess.Popen([sys.executable, "-IS", "-c", _SPIN]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
