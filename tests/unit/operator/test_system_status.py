"""When the health of a System is written."""

from __future__ import annotations

from typing import Any

import pytest

from goldcrest_operator.reconcile.system import Probed, SystemResource, status_after
from unit.operator.jobs import NOW, system

pytestmark = pytest.mark.unit

UP, DOWN = Probed(True, "well"), Probed(False, "no host answers")


def resource(status: dict[str, Any] | None = None, *, generation: int = 1) -> SystemResource:
    meta = {"name": "cluster", "uid": "u", "generation": generation}
    return SystemResource.of(
        {"metadata": meta, "spec": system().dump(), "status": status or {"observedGeneration": -1}}
    )


def after(before: SystemResource, probed: Probed, *, now: float) -> dict[str, Any] | None:
    status = status_after(before, probed, now=now, write_seconds=300)
    return status.dump() if status else None


def test_first_look() -> None:
    """The first probe is written."""
    status = after(resource(), UP, now=NOW)
    assert status is not None
    assert (status["conditions"][0]["type"], status["conditions"][0]["status"]) == ("Ready", "True")


def test_unchanged() -> None:
    """The same health is written again every five minutes only, with the old time of transition."""
    first = after(resource(), UP, now=NOW)
    assert after(resource(first), UP, now=NOW + 299) is None
    again = after(resource(first), UP, now=NOW + 300)
    assert again is not None
    assert first is not None
    assert again["conditions"][0]["lastTransitionTime"] == first["conditions"][0]["lastTransitionTime"]


def test_transition() -> None:
    """A transition is written at once, with the words of the failure."""
    status = after(resource(after(resource(), UP, now=NOW)), DOWN, now=NOW + 60)
    assert status is not None
    condition = status["conditions"][0]
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "False",
        "SystemUnreachable",
        "no host answers",
    )


def test_new_spec() -> None:
    """A changed spec is looked at and acknowledged at once."""
    status = after(resource(after(resource(), UP, now=NOW), generation=2), UP, now=NOW + 1)
    assert status is not None
    assert status["observedGeneration"] == 2
