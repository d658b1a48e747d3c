"""A connection that could not be opened, and who comes in the very moment in which that is known."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from component.ssh.login_node import SYSTEM, TinyAuthority, spec_of
from goldcrest.authority import ByToken
from goldcrest.commands import WhoAmI
from goldcrest.errors import DelegationUnavailable, GoldcrestError
from goldcrest.ssh import connections
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.component


@pytest.mark.timeout(30)  # what it is about keeps the whole loop busy: no time-out of asyncio would come
async def test_who_comes_between_a_failure_and_its_news(
    authority: TinyAuthority, start_node: Any, make_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delegation is away for one request; another that comes before anybody was told asks again, and does not spin."""
    node = await start_node(lambda process: asyncio.sleep(0))
    pool = make_pool()
    where = {"system": SYSTEM, "spec": spec_of(node), "user": "root", "basis": ByToken("token"), "trace": Trace.new()}
    others: list[asyncio.Task[Any]] = []

    async def away(**_: Any) -> bytes:
        if not others:
            others.append(asyncio.create_task(pool.run(WhoAmI(), **where)))  # its turn is before that of our callbacks
        raise DelegationUnavailable("delegation is away")

    monkeypatch.setattr(authority, "session_certificate", away)
    with pytest.raises(DelegationUnavailable):
        await pool.run(WhoAmI(), **where)
    with pytest.raises(DelegationUnavailable):
        await others[0]


async def test_closing_does_not_wait_for_what_does_not_end(
    authority: TinyAuthority, start_node: Any, make_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection is being opened that does not even end when it is cancelled: who closes the pool goes on."""
    node = await start_node(lambda process: asyncio.sleep(0))
    asked, over = asyncio.Event(), asyncio.Event()

    async def deaf(**_: Any) -> bytes:
        asked.set()
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()
        raise DelegationUnavailable("delegation is away")

    monkeypatch.setattr(authority, "session_certificate", deaf)
    monkeypatch.setattr(connections, "_CLOSE_SECONDS", 0.1)
    pool = make_pool()
    where = {"system": SYSTEM, "spec": spec_of(node), "user": "root", "basis": ByToken("token"), "trace": Trace.new()}
    asking = asyncio.create_task(pool.run(WhoAmI(), **where))
    try:
        await asked.wait()
        async with asyncio.timeout(10):
            await pool.close()
    finally:
        over.set()
        with contextlib.suppress(GoldcrestError, asyncio.CancelledError):
            await asking
