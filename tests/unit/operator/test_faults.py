"""Fault points are for tests only."""

from __future__ import annotations

import pytest

from goldcrest.errors import InvalidInput
from goldcrest_operator.faults import Faults

pytestmark = pytest.mark.unit


def test_strikes_at_its_point_only() -> None:
    """Only the armed point strikes."""
    struck: list[str] = []
    faults = Faults("after-submit", allowed=True, strike=lambda: struck.append("x"))
    faults.point("before-submit")
    assert not struck
    faults.point("after-submit")
    assert struck


@pytest.mark.parametrize(("armed", "allowed"), [("after-submit", False), ("nowhere", True)])
def test_refused(armed: str, allowed: bool) -> None:
    """A point that is set without permission, or unknown, keeps the process from starting."""
    with pytest.raises(InvalidInput):
        Faults(armed, allowed=allowed)
