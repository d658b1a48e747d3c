"""Figures of Goldcrest on the running test bed, as multiples of a floor measured in the same run: `make bench`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

import delegation
import submit
from goldcrest_bed import facts as bed_facts

BENCHES: dict[str, Callable[[dict[str, object], int], Awaitable[str]]] = {
    "submit": submit.run,
    "delegation": delegation.run,
}
LONG = {"delegation": delegation.run_long}  # instead of those of the same name


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("bench", nargs="*", choices=[[], *BENCHES], help="only these (default: all)")
    parser.add_argument("--runs", type=int, default=20, help="runs of each figure; medians are printed (default: 20)")
    parser.add_argument("--long", action="store_true", help="a million signatures instead of a hundred thousand")
    arguments = parser.parse_args()
    benches = {**BENCHES, **(LONG if arguments.long else {})}
    facts = bed_facts.read()
    print(
        f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.2f}"
    )
    for name in arguments.bench or BENCHES:
        print(f"\n── {name}", flush=True)
        print(asyncio.run(benches[name](facts, arguments.runs)))
    print(f"\nload at the end: {os.getloadavg()[0]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
