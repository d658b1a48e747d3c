from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.api.gateway import Gateway, running_gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the system "cluster" and a namespace for alice."""
    async with running_gateway(tmp_path) as running:
        yield running
