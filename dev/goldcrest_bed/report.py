"""Progress for a person: what is being done, how long it took, where the log is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class Report:
    """Prints whole lines, so that components starting at the same time do not mix theirs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def line(self, who: str, text: str) -> None:
        """One line about ``who``."""
        with self._lock:
            print(f"{who:<16} {text}", file=self._stream, flush=True)

    @contextmanager
    def step(self, who: str, what: str, *, log: Path | None = None) -> Iterator[None]:
        """Announce ``what``, then say how many seconds it took."""
        where = f" (log: {log})" if log else ""
        self.line(who, f"{what} …{where}")
        begun = time.monotonic()
        try:
            yield
        except BaseException as error:
            reason = str(error).strip().splitlines()
            self.line(
                who,
                f"{what}: failed after {time.monotonic() - begun:.1f} s{where}" + "".join(f": {r}" for r in reason[:1]),
            )
            raise
        self.line(who, f"{what}: {time.monotonic() - begun:.1f} s")
