"""One `up` or `down` at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report


@contextmanager
def exclusive(paths: Paths, report: Report, *, doing: str, wait: bool) -> Iterator[None]:
    """Hold the bed's lock; the kernel gives it up with the process, however that ends.

    :param doing: what to tell others who wait.
    :param wait: wait for the other one, or give up at once.
    :raises BedError: somebody else holds it and ``wait`` is false.
    """
    path = paths.state / "lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read().strip() or "another bed.py"
            if not wait:
                raise BedError(f"{other} is at work on this bed; try again when it has finished") from None
            with report.step("bed", f"waiting for {other}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.truncate()
        lock.write(f"`{doing}` (pid {os.getpid()}, since {time.strftime('%H:%M:%S')})")
        lock.flush()
        yield
