"""The table of conditions, row by row."""

from __future__ import annotations

import pytest

from goldcrest.models.conditions import run_once_conditions
from goldcrest.wellknown import Phase, Reason

pytestmark = pytest.mark.unit


def _words(phase: Phase, **more: bool) -> dict[str, str]:
    made = run_once_conditions(phase=phase, reason=Reason.ACCEPTED, message="", generation=1, **more)
    return {condition.type: condition.status for condition in made}


@pytest.mark.parametrize(
    ("phase", "more", "ready", "reconciling", "stalled", "others"),
    [
        (Phase.PENDING, {}, "False", "True", "False", set()),
        (Phase.SUBMITTING, {}, "False", "True", "False", set()),
        (Phase.COMPLETING, {}, "False", "True", "False", set()),
        (Phase.SUSPENDED, {}, "False", "False", "False", {"Suspended"}),
        (Phase.RUNNING, {"unreachable": True}, "Unknown", "True", "False", set()),
        (Phase.SUBMITTING, {"stalled": True}, "False", "False", "True", set()),
        (Phase.SUCCEEDED, {}, "True", "False", "False", {"Complete", "Finished"}),
        (Phase.FAILED, {}, "False", "False", "True", {"Failed", "Finished"}),
        (Phase.CANCELLED, {}, "False", "False", "True", {"Failed", "Finished"}),
        (Phase.SUCCEEDED, {"unreachable": True}, "True", "False", "False", {"Complete", "Finished"}),
    ],
)
def test_each_row(
    phase: Phase, more: dict[str, bool], ready: str, reconciling: str, stalled: str, others: set[str]
) -> None:
    """Ready, Reconciling, Stalled and the true ones of the rest are as the table says."""
    words = _words(phase, **more)
    assert (words["Ready"], words["Reconciling"], words["Stalled"]) == (ready, reconciling, stalled)
    assert {name for name in ("Complete", "Failed", "Finished", "Suspended") if words[name] == "True"} == others


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("stalled", [True, False])
def test_never_reconciling_and_stalled(phase: Phase, stalled: bool) -> None:
    """kstatus would take the first of the two."""
    words = _words(phase, stalled=stalled)
    assert not (words["Reconciling"] == "True" and words["Stalled"] == "True")


def test_transition_time_moves_only_with_the_status() -> None:
    """A condition that keeps its status keeps its time."""
    first = run_once_conditions(
        phase=Phase.QUEUED, reason=Reason.QUEUED, message="", generation=1, at="2030-01-01T00:00:00Z"
    )
    second = run_once_conditions(
        phase=Phase.SUCCEEDED,
        reason=Reason.COMPLETED,
        message="",
        generation=1,
        previous=first,
        at="2030-01-01T01:00:00Z",
    )
    times = {condition.type: condition.last_transition_time for condition in second}
    assert times["Ready"] == times["Finished"] == "2030-01-01T01:00:00Z"
    assert times["Failed"] == times["Suspended"] == "2030-01-01T00:00:00Z"
