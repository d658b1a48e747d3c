"""The hard site: a second bed, `bed.py up --profile hard`. Nothing is skipped when it is not up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import bed_fixtures
from bed import Bed

PROFILE = "hard"


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """Addresses, doors and hands on it."""
    yield from bed_fixtures.running(PROFILE)


@pytest.fixture(autouse=True)
def _it_is_that_profile(request: pytest.FixtureRequest) -> None:
    """Each file here says which bed it needs, and it is this one."""
    marker = request.node.get_closest_marker("profile")
    assert marker is not None, "pytestmark has no profile"
    assert marker.args == (PROFILE,)
