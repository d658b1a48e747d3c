"""The whole test bed, as tests see it. `make bed-up` must have been run; nothing is skipped when it was not."""

from __future__ import annotations

import pytest

from bed import Bed


@pytest.fixture(scope="session")
def bed() -> Bed:
    """Addresses, doors and hands on the bed."""
    return Bed.running()
