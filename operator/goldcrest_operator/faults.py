"""Points at which a test can have the process killed, to see that nothing is lost. Off in any other use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Literal, get_args

from goldcrest.errors import InvalidInput

Point = Literal[
    "before-intent",
    "after-intent",
    "before-submit",
    "after-submit",  # sbatch has answered, its id is stored nowhere
    "after-persist",
    "after-release",
    "before-finalizer-removal",
]
POINTS: tuple[str, ...] = get_args(Point)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Faults:
    """Kills the process at one named point.

    Args:
        armed: name of the point; empty for none.
        allowed: must be true for any point to be armed.
        strike: what happens there; SIGKILL to the own process.

    Raises:
        InvalidInput: unknown point, or armed without being allowed.
    """

    def __init__(self, armed: str = "", *, allowed: bool = False, strike: Callable[[], None] = _kill) -> None:
        if armed and not allowed:
            raise InvalidInput("a fault point is set, but faults are not allowed: this is for tests only")
        if armed and armed not in POINTS:
            raise InvalidInput(f"fault point {armed!r} is unknown; there are: {', '.join(POINTS)}")
        self._armed = armed
        self._strike = strike

    def point(self, name: Point) -> None:
        """Strike if this is the armed point."""
        if name == self._armed:
            self._strike()
