from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.api.gateway import Gateway, running_gateway
from component.api.real_node import Site, running_site


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the system "cluster" and a namespace for alice."""
    async with running_gateway(tmp_path) as running:
        yield running


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A gateway before a real sshd and ssh-filter, with a folder of the user's."""
    async with running_site(tmp_path) as running:
        yield running
