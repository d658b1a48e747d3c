"""How many jobs are under way at each fault, and for how long it lasts."""

from __future__ import annotations

import os

LONG = "FAULT_JOBS" in os.environ
"""`make faults`; else the short form, for each change."""
JOBS = int(os.environ.get("FAULT_JOBS", "2"))
SECONDS = 2.5 if LONG else 1.0
"""Of a fault of the API server: less than an operator without a Lease lives on."""
