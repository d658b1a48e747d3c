"""A reader of server-sent events, as the HTML standard has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from component.api.gateway import Gateway


@dataclass(frozen=True)
class Event:
    name: str
    data: Any


class EventSource:
    """Events of an open answer; ``last_id`` is what a browser would send as Last-Event-ID."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""
        self.comments = 0

    async def next(self, *, seconds: float = 5) -> Event | None:
        """The next event with data; None when the answer has ended."""
        async with asyncio.timeout(seconds):
            name, data = "message", ""
            while line := await self.response.content.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                match field:
                    case "id":
                        self.last_id = value
                    case "event":
                        name = value
                    case "data":
                        data = value
                    case "" if line == b"\n":
                        if data:
                            return Event(name, json.loads(data))
                        name = "message"
                    case "":
                        self.comments += 1
            return None

    async def named(self, name: str, *, seconds: float = 5) -> Any:
        """Data of the next event, which must be of this name."""
        event = await self.next(seconds=seconds)
        assert event is not None, f"ended before {name}"
        assert event.name == name, event
        return event.data

    async def whole(self) -> list[Any]:
        """All jobs and tasks that are told after a reset, which must come now."""
        await self.named("reset")
        jobs = []
        while (event := await self.next()) is not None and event.name != "whole":
            assert event.name in ("job", "task")
            jobs.append(event.data)
        return jobs


@asynccontextmanager
async def events(gateway: Gateway, *, user: str = "alice", last_id: str | None = None) -> AsyncIterator[EventSource]:
    """GET /events, which must be answered with 200."""
    headers = {"Authorization": f"Bearer token-{user}"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    timeout = aiohttp.ClientTimeout(total=60)
    async with gateway.session.get(gateway.url + "/events", headers=headers, timeout=timeout) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield EventSource(response)
