"""A thousand users with a command a minute each, through a gateway and a delegation of their own beside those of the bed: connections,
memory on both sides, refusals."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

import node
from beside import many_users
from blocking import Target, target_of

USERS = 1000
MINUTES, MANY_MINUTES = 2, 10
LOOK_SECONDS = 10.0


async def run(facts: dict[str, Any], runs: int, *, minutes: float = MINUTES) -> str:
    """Measure on the bed."""
    target = await target_of(facts)
    with (
        tempfile.TemporaryDirectory(prefix="goldcrest-bench-") as folder,
        many_users(facts, target, USERS, Path(folder)) as (own, users),
    ):
        return await measure(own, list(users.values()), minutes=minutes)


async def run_long(facts: dict[str, Any], runs: int) -> str:
    """For ten minutes."""
    return await run(facts, runs, minutes=MANY_MINUTES)


async def measure(target: Target, users: list[Target], *, minutes: float) -> str:
    """The figures as a table.

    Args:
        users: the target as each of them.
    """
    seen = _Seen()
    before = seen.look(target)
    watching = asyncio.create_task(_watch(target, seen))
    end = time.monotonic() + 60 * minutes
    cpu = target.dedicated.cpu_seconds()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        asking = [
            _user(session, user, delay=60 * number / len(users), end=end, seen=seen)
            for number, user in enumerate(users)
        ]
        await asyncio.gather(*asking)
    watching.cancel()
    cpu = target.dedicated.cpu_seconds() - cpu
    ordered = sorted(seen.seconds)
    refused = sum(seen.refusals.values())
    if not ordered:
        return "\n".join(f"NOTHING answered: {count} × {what}" for what, count in seen.refusals.items())
    sessions = max(look.sessions for look in seen.looks)
    there = max(look.node - before.node for look in seen.looks)
    return "\n".join(
        (
            f"{len(users)} users, a command a minute each, for {minutes:g} min: {len(ordered)} answered, {refused} refused   "
            f"{'within' if not refused else 'NOT within'} none refused",
            *(f"    {count} × {what}" for what, count in seen.refusals.items()),
            f"answer, with a login where it was needed      {1000 * statistics.median(ordered):8.1f} ms p50"
            f" {1000 * ordered[int(0.99 * len(ordered))]:8.1f} ms p99",
            f"connections at once, at most                  {sessions:8d}",
            f"memory of all sessions on the node, at most   {there / 2**20:8.0f} MiB, {there / 2**20 / max(1, sessions):.1f} each",
            f"memory of the gateway                         {_growth(seen, before, 'gateway')}",
            f"memory of delegation                          {_growth(seen, before, 'delegation')}",
            f"CPU on the node for a command and its login   {1000 * cpu / max(1, len(ordered)):8.1f} ms",
        )
    )


def _growth(seen: _Seen, before: _Look, name: str) -> str:
    first, most = getattr(before, name), max(getattr(look, name) for look in seen.looks)
    return f"{first / 2**20:8.0f} MiB before, {most / 2**20:.0f} at most, {getattr(seen.looks[-1], name) / 2**20:.0f} at the end"


@dataclass(frozen=True)
class _Look:
    sessions: int
    node: int
    gateway: int
    delegation: int


@dataclass
class _Seen:
    seconds: list[float] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    looks: list[_Look] = field(default_factory=list)

    def look(self, target: Target) -> _Look:
        resident = {name: node.resident_bytes(target.pids[name]) for name in ("gateway", "delegation")}
        self.looks.append(_Look(target.dedicated.sessions(), target.dedicated.memory_bytes(), **resident))
        return self.looks[-1]


async def _watch(target: Target, seen: _Seen) -> None:
    while True:
        await asyncio.to_thread(seen.look, target)
        await asyncio.sleep(LOOK_SECONDS)


async def _user(session: aiohttp.ClientSession, user: Target, *, delay: float, end: float, seen: _Seen) -> None:
    await asyncio.sleep(delay)
    while time.monotonic() < end:
        began = time.monotonic()
        async with session.get(user.url, headers=user.headers) as answer:
            body = await answer.json()
        if answer.status == 200:
            seen.seconds.append(time.monotonic() - began)
        else:
            what = f"{answer.status} {body.get('error') or body.get('description')}"
            seen.refusals[what] = seen.refusals.get(what, 0) + 1
        await asyncio.sleep(max(0.0, began + 60 - time.monotonic()))
