"""When what was seen of services and file systems is written: on transitions, else every five minutes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from goldcrest_operator.reconcile.system import Probed, Seen
from unit.operator.jobs import NOW
from unit.operator.test_system_status import after, resource

pytestmark = pytest.mark.unit

SCRATCH = Seen("scratch", "/scratch", "Up", "It answers.", 12)
WELL = Probed(
    True, "well", (Seen("ssh", "login1:2222", "Up", "well", 30), Seen("scheduler", "", "Up", "well", 50)), (SCRATCH,)
)


def test_what_is_written() -> None:
    """Each with its state, latency and time."""
    status = after(resource(), WELL, now=NOW)
    assert status is not None
    assert status["services"][0]["host"] == "login1:2222"
    assert "host" not in status["services"][1]
    (scratch,) = status["fileSystems"]
    assert (scratch["path"], scratch["state"], scratch["latencyMilliseconds"]) == ("/scratch", "Up", 12)
    assert scratch["lastCheck"] == status["lastChecked"]


def test_latency_and_words_are_no_transition() -> None:
    """Or each look would be a write."""
    first = after(resource(), WELL, now=NOW)
    slower = replace(WELL, file_systems=(replace(SCRATCH, milliseconds=900, message="slowly"),))
    assert after(resource(first), slower, now=NOW + 60) is None
    assert after(resource(first), slower, now=NOW + 300) is not None


@pytest.mark.parametrize("state", ["Down", "Unknown"])
def test_one_file_system_goes_away(state: str) -> None:
    """Written at once; the System stays ready, and since when does not change."""
    first = after(resource(), WELL, now=NOW)
    gone = replace(WELL, file_systems=(replace(SCRATCH, state=state, milliseconds=None),))  # type: ignore[arg-type]
    status = after(resource(first), gone, now=NOW + 60)
    assert status is not None
    assert first is not None
    assert status["fileSystems"][0]["state"] == state
    assert "latencyMilliseconds" not in status["fileSystems"][0]
    assert status["conditions"] == first["conditions"]
