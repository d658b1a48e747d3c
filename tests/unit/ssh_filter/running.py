"""Runs operations of the filter to their end, as its channel does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


def with_target(home: Path, session: Any) -> Path:
    """A home folder with one to unpack into."""
    (home / "target").mkdir()
    session.policy.umask = 0o022
    return home


def run(f: Any, session: Any, op: str, payload: bytes = b"", **arguments: Any) -> tuple[dict[str, Any], bytes]:
    """The result, and the bytes that it sends. Arguments are checked by the filter's own table first."""
    operation = f.OPERATIONS[op]
    arguments = {name: value if isinstance(value, bool | int) else str(value) for name, value in arguments.items()}
    f.check_arguments(operation.arguments, arguments)
    if operation.streams:
        sink = operation.function(session, arguments, len(payload))
        sink.write(payload)
        return sink.finish(), b""
    outcome = operation.function(session, arguments, payload)
    return (outcome, b"") if isinstance(outcome, dict) else finish(f, outcome)


def finish(f: Any, steps: Any) -> tuple[dict[str, Any], bytes]:
    """Drive an operation that has begun."""
    sent = bytearray()
    step = next_step(steps, None)
    while not isinstance(step, StopIteration):
        value = None
        if isinstance(step, bytes):
            assert len(step) <= f.DATA_PIECE
            sent += step
        elif isinstance(step, f.Run):
            done = subprocess.run(step.arguments, stdin=step.stdin, capture_output=True, text=True, check=False)
            value = {"exit": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
        else:
            assert step is f.GO_ON
        step = next_step(steps, value)
    return step.value, bytes(sent)


def next_step(steps: Any, value: Any) -> Any:
    try:
        return steps.send(value)
    except StopIteration as stop:
        return stop


def listing(f: Any, session: Any, path: object, **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answer of fs.ls and its entries."""
    arguments = dict.fromkeys(("hidden", "recursive", "dereference", "numericIds"), False)
    answer, data = run(f, session, "fs.ls", **{"path": path, "limit": 10**6, "sorted": True, **arguments, **changes})
    return answer, [json.loads(line) for line in data.splitlines()]
