"""Figures of Goldcrest on the running test bed, as multiples of a floor measured in the same run: `make bench`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

import uvloop

import blocking
import constant
import delegation
import files
import listings
import observing
import reading
import soak
import streaming
import submissions
import submit
import users
from goldcrest_bed import facts as bed_facts

BENCHES: dict[str, Callable[[dict[str, object], int], Awaitable[str]]] = {
    "submit": submit.run,
    "submissions": submissions.run,
    "blocking": blocking.run,
    "constant": constant.run,
    "streaming": streaming.run,
    "files": files.run,
    "users": users.run,
    "soak": soak.run,
    "observing": observing.run,
    "delegation": delegation.run,
    "listings": listings.run,
    "reading": reading.run,
}
LONG = {
    "users": users.run_long,
    "delegation": delegation.run_long,
    "listings": listings.run_long,
}  # instead of those of the same name


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("bench", nargs="*", choices=[[], *BENCHES], help="only these (default: all)")
    parser.add_argument("--runs", type=int, default=20, help="runs of each figure; medians are printed (default: 20)")
    parser.add_argument(
        "--long",
        action="store_true",
        help="a million signatures instead of a hundred thousand; a thousand users for ten minutes instead of two; listings for ten instead of one",
    )
    parser.add_argument(
        "--seconds", type=float, default=soak.SECONDS, help="of the soak; 300 for its bound (default: %(default)s)"
    )
    arguments = parser.parse_args()
    benches = {**BENCHES, **(LONG if arguments.long else {}), "soak": partial(soak.run, seconds=arguments.seconds)}
    facts = bed_facts.read()
    print(
        f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.2f}"
    )
    for name in arguments.bench or BENCHES:
        print(f"\n── {name}", flush=True)
        with asyncio.Runner(
            loop_factory=uvloop.new_event_loop
        ) as runner:  # what plays the gateway runs as the gateway does
            print(runner.run(benches[name](facts, arguments.runs)))
    print(f"\nload at the end: {os.getloadavg()[0]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
