"""A thousand users in one moment: more than there may be connections to the login host."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest

from bed import Bed
from beside import Issuer, accounts, own_delegation, own_gateway
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
    with ExitStack() as stack:
        folders = stack.enter_context(accounts(bed.facts, USERS))
        issuer = Issuer(tmp_path, systems=f'["{target.system}"]')
        delegation, url = stack.enter_context(own_delegation(target, issuer, tmp_path))
        gateway, api = stack.enter_context(own_gateway(target, issuer, url))
        pids = {"gateway": gateway, "delegation": delegation, "OPA": target.pids["OPA"]}
        own = replace(target, gateway=api, pids=pids)
        tokens = {name: issuer.token(name, exp=int(time.time() + 3600)) for name in folders}
        seen = Seen()
        watching = asyncio.create_task(_watch(own, seen))
        end = time.monotonic() + PATIENCE_SECONDS
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(
                *(_until_served(session, own, folder, tokens[name], end, seen) for name, folder in folders.items())
            )
            watching.cancel()
            assert seen.unserved == [], seen.answers
            assert seen.answers[200, ""] == USERS
            assert set(seen.answers) <= {(200, ""), (400, "SystemUnreachable"), (429, "TooManyCommands")}, seen.answers
            assert CONNECTIONS / 2 < seen.connections <= CONNECTIONS + _LOGGED_IN
            late, folder = next(reversed(folders.items()))
            async with session.get(_url(own, folder), headers=_headers(own, tokens[late])) as answer:
                assert answer.status == 200, await answer.text()
        print(f"{USERS} users at once: {dict(seen.answers)}, {seen.connections} connections at most")


async def _until_served(
    session: aiohttp.ClientSession, target: Target, folder: str, token: str, end: float, seen: Seen
) -> None:
    while time.monotonic() < end:
        async with session.get(_url(target, folder), headers=_headers(target, token)) as answer:
            body = await answer.json()
        seen.answers[answer.status, answer.headers.get("X-Goldcrest-Code", "")] += 1
        if answer.status == 200:
            assert body["description"] == "Success to stat file."
            return
        assert answer.headers["X-Goldcrest-Retryable"] == "true"
        await asyncio.sleep(int(answer.headers["Retry-After"]))
    seen.unserved.append(folder)


async def _watch(target: Target, seen: Seen) -> None:
    while True:
        seen.connections = max(seen.connections, await asyncio.to_thread(target.dedicated.sessions))
        await asyncio.sleep(0.2)


def _url(target: Target, folder: str) -> str:
    return f"{target.gateway}/utilities/stat?targetPath={folder}"


def _headers(target: Target, token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Machine-Name": target.system}
