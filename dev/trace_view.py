#!/usr/bin/env python3
"""Print one trace of the running test bed as a tree: `make trace`, `dev/trace_view.py TRACE_ID`.

Without an id a job is submitted and waited for, with a traceparent of our own, and its trace is shown.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from pathlib import Path

DEV = Path(__file__).resolve().parent
sys.path[:0] = [str(DEV), str(DEV.parent / "core")]

from goldcrest_bed import facts as bed_facts  # noqa: E402 - the path must be set first
from goldcrest_bed.traces import Span, tree  # noqa: E402

_PATIENCE = 20.0  # seconds until all processes have sent what they have


def spans_of(trace_id: str) -> list[Span]:
    """What the bed's receiver has of a trace now."""
    url = f"{bed_facts.read()['traces']['endpoint']}/traces/{trace_id}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return [Span(**span) for span in json.load(answer)]


def settled(trace_id: str, *, wanted: str = "") -> list[Span]:
    """The spans of a trace, once no more have come for two seconds: they are sent in batches.

    Args:
        wanted: name of a span that is waited for.
    """
    deadline, known, since = time.monotonic() + _PATIENCE, -1, time.monotonic()
    while True:
        spans = spans_of(trace_id)
        if len(spans) != known:
            known, since = len(spans), time.monotonic()
        there = bool(spans) and (not wanted or any(span.name == wanted for span in spans))
        if (there and time.monotonic() - since > 2.5) or time.monotonic() > deadline:
            return spans
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev/trace_view.py", description=__doc__)
    parser.add_argument("trace", nargs="?", help="trace id (32 hex digits)")
    trace_id = parser.parse_args().trace
    if trace_id is None:
        import demo

        door = demo.Gateway(bed_facts.read())
        trace_id = demo.new_hex(32)
        answer = door.submit(demo.SCRIPT, f"00-{trace_id}-{demo.new_hex(16)}-01")
        demo.until(
            "the task to end", lambda: door.task(answer["task_id"]), lambda task: task["status"] in ("200", "400")
        )
        print(f"task {answer['task_id']}, trace {trace_id}")
        spans = settled(trace_id, wanted="Job")
    else:
        spans = settled(trace_id)
    print(tree(spans), end="")
    return 0 if spans else 1


if __name__ == "__main__":
    sys.exit(main())
