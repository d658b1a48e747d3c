"""A thousand users in one moment: more than there may be connections to the login host."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from bed import Bed
from beside import many_users
from blocking import Target, target_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]

USERS = 1000
CONNECTIONS = 200  # to one host, by default
PATIENCE_SECONDS = 300
_LOGGED_IN = 4  # beside the gateway's own: of the operator and of other tests


@dataclass
class Seen:
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    connections: int = 0
    unserved: list[str] = field(default_factory=list)


async def test_a_thousand_at_once(bed: Bed, tmp_path: Path) -> None:
    """Each is served in the end; who must come again is told so and when. The login host gets no more connections than are allowed, and who
    comes behind them is served at once."""
    target = await target_of(bed.facts)
    with many_users(bed.facts, target, USERS, tmp_path) as (own, users):
        seen = Seen()
        watching = asyncio.create_task(_watch(own, seen))
        end = time.monotonic() + PATIENCE_SECONDS
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(_until_served(session, user, end, seen) for user in users.values()))
            watching.cancel()
            assert seen.unserved == [], seen.answers
            assert seen.answers[200, ""] == USERS
            assert set(seen.answers) <= {(200, ""), (400, "SystemUnreachable"), (429, "TooManyCommands")}, seen.answers
            assert CONNECTIONS / 2 < seen.connections <= CONNECTIONS + _LOGGED_IN
            late = next(reversed(users.values()))
            async with session.get(late.url, headers=late.headers) as answer:
                assert answer.status == 200, await answer.text()
        print(f"{USERS} users at once: {dict(seen.answers)}, {seen.connections} connections at most")


async def _until_served(session: aiohttp.ClientSession, user: Target, end: float, seen: Seen) -> None:
    while time.monotonic() < end:
        async with session.get(user.url, headers=user.headers) as answer:
            body = await answer.json()
        seen.answers[answer.status, answer.headers.get("X-Goldcrest-Code", "")] += 1
        if answer.status == 200:
            assert body["description"] == "Success to stat file."
            return
        assert answer.headers["X-Goldcrest-Retryable"] == "true"
        await asyncio.sleep(int(answer.headers["Retry-After"]))
    seen.unserved.append(user.path)


async def _watch(target: Target, seen: Seen) -> None:
    while True:
        seen.connections = max(seen.connections, await asyncio.to_thread(target.dedicated.sessions))
        await asyncio.sleep(0.2)
