"""The operator's fault points: before and after each step that changes something, and where an end was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from goldcrest.faults import FaultPoints
from goldcrest_operator.reconcile import steps
from goldcrest_operator.reconcile.observation import Sighting
from goldcrest_operator.reconcile.task import Carry, WriteTask

Point = str

_NAMES: Final[dict[type[Any], str]] = {
    steps.WriteIntent: "intent",
    steps.Submit: "submit",  # behind it, sbatch has answered and its id is stored nowhere
    steps.Persist: "persist",
    steps.Release: "release",
    steps.Hold: "hold",
    steps.Sweep: "sweep",
    steps.Cancel: "cancel",
    steps.WriteStatus: "status",
    steps.RemoveFinalizer: "finalizer-removal",
    steps.Delete: "expiry",
    WriteTask: "task-begin",
    Carry: "task-carry",
}
_ENDS: Final[dict[type[Any], str]] = {steps.WriteStatus: "end", WriteTask: "task-end"}
"""Of a status that says that it is over."""
SEEN: Final = "end-seen"
"""The scheduler has said that a job is over, and nobody else knows."""
POINTS: Final[tuple[Point, ...]] = (
    *(f"{when}-{name}" for name in (*_NAMES.values(), *_ENDS.values()) for when in ("before", "after")),
    SEEN,
)


class Faults:
    """Kills the operator at one named point; see :class:`FaultPoints`."""

    def __init__(self, armed: Point = "", *, allowed: bool = False, strike: Callable[[], None] | None = None) -> None:
        self._points = FaultPoints(armed, points=POINTS, allowed=allowed, strike=strike)

    def before(self, step: object) -> None:
        """A step is about to be carried out."""
        self._at("before", step)

    def after(self, step: object) -> None:
        """A step was carried out, and this process alone knows."""
        self._at("after", step)

    def saw(self, sighting: Sighting) -> None:
        """The tracker has seen something new of a job."""
        if sighting.view is not None and sighting.view.final:
            self._points.point(SEEN)

    def _at(self, when: str, step: object) -> None:
        name = _NAMES.get(type(step))
        if name is not None:
            status = getattr(step, "status", None)
            if type(step) in _ENDS and status is not None and status.phase is not None and status.phase.finished:
                name = _ENDS[type(step)]
            self._points.point(f"{when}-{name}")
