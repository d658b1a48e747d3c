"""How long single steps of an event loop take: what keeps all others on the loop waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class LoopTime:
    """The longest steps, longest first.

    In seconds of the thread's CPU, garbage collection included: a busy machine makes every wall clock late, and is nobody's fault here.
    """

    longest: list[tuple[float, str]] = field(default_factory=list)
    steps: int = 0
    leave_out: Callable[[str], bool] = lambda _: False

    def note(self, seconds: float, what: str) -> None:
        self.steps += 1
        if (len(self.longest) < 5 or seconds > self.longest[-1][0]) and not self.leave_out(what):
            self.longest = sorted([*self.longest, (seconds, what)], reverse=True)[:5]

    @property
    def worst(self) -> float:
        return self.longest[0][0] if self.longest else 0.0

    def __str__(self) -> str:
        return "; ".join(f"{seconds * 1000:.1f} ms {what}" for seconds, what in self.longest)


@contextmanager
def measured_loop(*, leave_out: Callable[[str], bool] = lambda _: False) -> Iterator[LoopTime]:
    """Measure every step of asyncio's own loop (not uvloop's) in this process.

    Args:
        leave_out: which steps are not ours, by what they run: of stand-ins beside what is measured.
    """
    found = LoopTime(leave_out=leave_out)
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        seconds = time.thread_time() - began
        found.note(seconds, _what(handle) if seconds > 0.002 else "")

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


def _what(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        coroutine: Any = owner.get_coro()
        # The innermost coroutine says what really waited; a task that has ended has none.
        while (inner := getattr(coroutine, "cr_await", None)) is not None and hasattr(inner, "cr_await"):
            coroutine = inner
        return f"{owner.get_coro()!r:.120} at {coroutine!r:.120}"
    return repr(callback)[:240]
