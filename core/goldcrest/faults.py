"""Points at which a test can have a process kill or freeze itself, to see that nothing is lost. Off in any other use.

Two settings of the process are needed, and one alone keeps it from starting: nobody arms a point by accident.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from typing import Final

from goldcrest.errors import InvalidInput
from goldcrest.telemetry import Log

_log = Log(__name__)

_FREEZE: Final = "freeze:"


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _freeze() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


class FaultPoints:
    """Kills the process when it first comes to one named point.

    Args:
        armed: ``point`` or ``point/about``, where ``about`` says of what kind of work (an operation, a kind of resource); with
            ``freeze:`` before it, the process is stopped (SIGSTOP) there instead of killed; empty for none.
        points: the names that there are.
        allowed: must be true for any point to be armed.
        strike: what happens there, if it is neither.

    Raises:
        InvalidInput: unknown point, or armed without being allowed.
    """

    def __init__(
        self,
        armed: str = "",
        *,
        points: Collection[str] = (),
        allowed: bool = False,
        strike: Callable[[], None] | None = None,
    ) -> None:
        if armed and not allowed:
            raise InvalidInput("a fault point is set, but faults are not allowed: this is for tests only")
        self._freezes = armed.startswith(_FREEZE)
        self._point, _, self._about = armed.removeprefix(_FREEZE).partition("/")
        if armed and self._point not in points:
            raise InvalidInput(f"fault point {armed!r} is unknown; there are: {', '.join(points)}")
        self._strike = strike or (_freeze if self._freezes else _kill)
        if armed:
            _log.warning("fault.armed", point=armed)

    def point(self, name: str, about: str = "") -> None:
        """Strike if this is the armed point."""
        if self._point and name == self._point and self._about in ("", about):
            if self._freezes:
                self._point = ""  # who is woken goes on
            _log.warning("fault.struck", point=name, about=about)
            self._strike()


NO_FAULTS: Final = FaultPoints()
