"""Login nodes in this process, and a pool that talks to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from component.ssh.login_node import Behaviour, LoginNode, TinyAuthority
from goldcrest.ssh import SshPool, SshSettings


@pytest.fixture
def authority() -> TinyAuthority:
    return TinyAuthority()


@pytest.fixture
async def start_node(authority: TinyAuthority) -> AsyncIterator[Callable[[Behaviour], Awaitable[LoginNode]]]:
    """Start login nodes; all are stopped after the test."""
    nodes: list[LoginNode] = []

    async def start(behaviour: Behaviour) -> LoginNode:
        nodes.append(await LoginNode(authority, behaviour).start())
        return nodes[-1]

    yield start
    for node in nodes:
        await node.stop()


@pytest.fixture
async def make_pool(authority: TinyAuthority) -> AsyncIterator[Callable[..., SshPool]]:
    """Make pools with settings of the test's choice; all are closed after the test."""
    pools: list[SshPool] = []

    def make(**settings: object) -> SshPool:
        pools.append(SshPool(authority, SshSettings(**{"backoff_first_seconds": 0.05, **settings})))  # type: ignore[arg-type]
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
