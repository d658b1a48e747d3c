"""Five hundred clients of fifty users at once, all blocking operations mixed, through a gateway and a delegation of their own; then the same
beside one greedy user with ten times the clients. What is answered, whether sessions are lost, memory, and what each user gets."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

import node
from beside import many_users
from blocking import Target, free_port, target_of, verdict

USERS, CLIENTS, GREEDY = 50, 10, 100  # users, clients of each, and of one more user in the second part
SECONDS = 40.0  # of the first part; the second has a quarter
_SMALL, _LARGE = os.urandom(20_000), os.urandom(1_000_000)
_IDLE_SECONDS = 4  # of a connection of a client that waits: less than any gateway closes it after
_AT_LOGIN = 5  # users that come in at once, before it counts


async def run(facts: dict[str, object], runs: int, *, seconds: float = SECONDS) -> str:
    """Measure on the bed.

    Args:
        seconds: of the first part.
    """
    target = await target_of(facts)
    metrics = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="goldcrest-bench-") as folder,
        many_users(facts, target, USERS + 1, Path(folder), seconds=3 * seconds + 3600, metrics_port=metrics) as (
            own,
            users,
        ),
    ):
        pids = {name: own.pids[name] for name in ("gateway", "delegation")}
        soak = Soak(target=own, api=own.gateway, metrics=metrics, pids=pids)
        return await soak.measure([User(name, user.path, user.token) for name, user in users.items()], seconds)


@dataclass
class User:
    """One of them."""

    name: str
    folder: str
    token: str
    seconds: list[float] = field(default_factory=list)
    """Of each answer in the present part."""

    def quantile(self, part: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


@dataclass
class Soak:
    """What is asked, and what was seen."""

    target: Target
    api: str
    metrics: int
    pids: dict[str, int]
    answers: Counter[int] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    memory: list[dict[str, int]] = field(default_factory=list)

    async def measure(self, users: list[User], seconds: float) -> str:
        """Both parts, as a table."""
        lines: list[str] = []
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS)
        ) as session:
            few, greedy = users[:USERS], users[USERS]
            await self._come_in(session, few)
            alone = await self._part(session, [(user, CLIENTS) for user in few], seconds)
            lines += self._told(f"{USERS} users, {CLIENTS} clients each, {seconds:g} s", few)
            lines += self._memory_told()
            await self._come_in(session, [greedy])  # not before: a session without work is closed
            beside = await self._part(session, [*((user, CLIENTS) for user in few), (greedy, GREEDY)], seconds / 4)
            lines += self._told(f"the same and one user with {GREEDY} clients, {seconds / 4:g} s", few)
            most = statistics.median(len(user.seconds) for user in few)
            lines.append(
                f"    the greedy one: {len(greedy.seconds)} answers, {len(greedy.seconds) / most:.2f} of another's"
            )
            lines.append(verdict("p50 of the others beside it", beside / alone, "× before", most=1.25))
            opened = await self._opened(session)
        lost = opened - len(users)
        wrong = sum(count for status, count in self.answers.items() if status >= 500)
        return "\n".join(
            (
                *lines,
                f"answers: {', '.join(f'{count} × {status}' for status, count in sorted(self.answers.items()))}",
                *(f"    {count} × {what}" for what, count in self.unexpected.most_common(12)),
                verdict("answers of 500 and above", wrong, "", most=0),
                verdict("sessions that were lost", lost, "", most=0),
            )
        )

    async def _come_in(self, session: aiohttp.ClientSession, users: list[User]) -> None:
        """Logins cost what many commands do: they are not what is measured."""
        waiting = iter(users)

        async def some() -> None:
            for user in waiting:
                status, told = await self._ask(session, user, "GET", "whoami", {})
                if status != 200:
                    raise SystemExit(f"{user.name} cannot come in: {status} {told}")

        await asyncio.gather(*(some() for _ in range(_AT_LOGIN)))

    async def _part(self, session: aiohttp.ClientSession, who: list[tuple[User, int]], seconds: float) -> float:
        """Run it; seconds that half of the users' answers take at most."""
        for user, _ in who:
            user.seconds = []
        self.memory = [self._resident()]
        end = time.monotonic() + seconds
        looking = asyncio.create_task(self._look(seconds / 2))
        await asyncio.gather(
            *(self._client(session, user, number, end) for user, clients in who for number in range(clients))
        )
        await looking
        self.memory.append(self._resident())
        return statistics.median(user.quantile(0.5) for user, _ in who[:USERS])

    async def _look(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.memory.append(self._resident())

    def _resident(self) -> dict[str, int]:
        return {name: node.resident_bytes(pid) for name, pid in self.pids.items()}

    async def _client(self, session: aiohttp.ClientSession, user: User, number: int, end: float) -> None:
        """All operations, over and over; each client begins with another one of them, in a folder of its own."""
        for turn in itertools.count(number):
            folder = f"{user.folder}/{number}-{turn}"
            async for method, route, expected, fields in _operations(folder, large=turn % 10 == 0):
                if time.monotonic() > end:
                    return
                began = time.monotonic()
                while True:
                    status, told = await self._ask(session, user, method, route, fields)
                    if status != 429:
                        break
                    await asyncio.sleep(float(told))
                if time.monotonic() <= end:  # behind it, what a greedy user has waiting would be answered undisturbed
                    user.seconds.append(time.monotonic() - began)
                if status != expected:
                    self.unexpected[f"{status} of {method} {route}: {told}"] += 1
                    break  # what follows needs it

    async def _ask(
        self, session: aiohttp.ClientSession, user: User, method: str, route: str, fields: dict[str, str | bytes]
    ) -> tuple[int, str]:
        """Status, and how an answer that is none describes it; of 429 the seconds to wait."""
        headers = {"Authorization": f"Bearer {user.token}", "X-Machine-Name": self.target.system}
        url = f"{self.api}/reservations" if route == "reservations" else f"{self.api}/utilities/{route}"
        form: aiohttp.FormData | None = None
        if method != "GET":
            form = aiohttp.FormData()
            for name, value in fields.items():
                if isinstance(value, bytes):
                    form.add_field(name, value, filename="file")
                else:
                    form.add_field(name, value)
        query = {name: str(value) for name, value in fields.items()} if form is None else None
        try:
            async with session.request(method, url, headers=headers, params=query, data=form) as answer:
                body = await answer.read()
                self.answers[answer.status] += 1
                if answer.status == 429:
                    return 429, answer.headers.get("Retry-After", "1")
                return answer.status, body[:200].decode(errors="replace") if answer.status >= 400 else ""
        except (aiohttp.ClientError, OSError) as error:
            self.answers[599] += 1
            return 599, f"{type(error).__name__}: {error}"

    async def _opened(self, session: aiohttp.ClientSession) -> int:
        """SSH connections that the gateway has opened so far."""
        async with session.get(f"http://127.0.0.1:{self.metrics}/metrics") as answer:
            page = await answer.text()
        found = re.findall(r"^goldcrest_\w*ssh_connections_opened_total\{[^}]*\} ([0-9.e+]+)$", page, re.MULTILINE)
        return int(sum(map(float, found)))

    def _told(self, title: str, users: list[User]) -> list[str]:
        shares = sorted(len(user.seconds) for user in users)
        halves, nearly = (sorted(1000 * user.quantile(part) for user in users) for part in (0.5, 0.99))
        fair = shares[0] / statistics.median(shares)

        def three(values: list[float] | list[int]) -> str:
            return f"{values[0]:.0f} / {statistics.median(values):.0f} / {values[-1]:.0f}"

        return [
            f"{title}: {sum(shares)} answers",
            f"    answers to a user, min / median / max   {three(shares)}",
            f"    p50 of a user, min / median / max       {three(halves)} ms",
            f"    p99 of a user, min / median / max       {three(nearly)} ms",
            verdict("least share of a user", fair, "of the median one", least=0.8),
        ]

    def _memory_told(self) -> list[str]:
        lines = []
        for name in self.pids:
            start, middle, end = (look[name] / 1e6 for look in self.memory)
            lines.append(f"    memory of {name}, start / middle / end   {start:.0f} / {middle:.0f} / {end:.0f} MB")
            lines.append(verdict(f"growth of {name}'s second half", end - middle, "MB", most=5))
        return lines


async def _operations(folder: str, *, large: bool) -> AsyncIterator[tuple[str, str, int, dict[str, str | bytes]]]:
    """Each blocking operation: method, route, status, fields."""
    file, other = f"{folder}/file", f"{folder}/other"
    at, to = {"targetPath": file}, {"sourcePath": file, "targetPath": other}
    user = folder.split("/")[-2]
    yield "POST", "mkdir", 201, {"targetPath": folder, "p": "true"}
    yield "POST", "upload", 201, {"targetPath": folder, "file": _LARGE if large else _SMALL}
    yield "GET", "stat", 200, at
    yield "GET", "ls", 200, {"targetPath": folder}
    yield "GET", "file", 200, at
    yield "GET", "checksum", 200, at
    yield "GET", "download", 200, {"sourcePath": file}
    yield "PUT", "chmod", 200, {**at, "mode": "600"}
    yield "PUT", "chown", 200, {**at, "owner": user}
    yield "POST", "copy", 201, to
    yield "PUT", "rename", 200, {"sourcePath": other, "targetPath": f"{folder}/third"}
    yield "POST", "symlink", 201, {"targetPath": file, "linkPath": f"{folder}/link"}
    yield "POST", "upload", 201, {"targetPath": folder, "file": b"one line\n" * 100}
    yield "GET", "head", 200, {**at, "lines": "3"}
    yield "GET", "tail", 200, {**at, "bytes": "20"}
    yield "GET", "view", 200, at
    yield "POST", "compress", 201, {"sourcePath": folder, "targetPath": f"{folder}.tgz"}
    yield "POST", "extract", 201, {"sourcePath": f"{folder}.tgz", "targetPath": folder}
    yield "DELETE", "rm", 204, {"targetPath": f"{folder}.tgz"}
    yield "DELETE", "rm", 204, {"targetPath": folder}
    yield "GET", "whoami", 200, {}
    yield "GET", "reservations", 200, {}
