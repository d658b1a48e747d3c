"""Downloads of several parts, each of which needs a turn on the system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from goldcrest.models.system import Limits
from goldcrest.telemetry import Trace
from goldcrest_api.overload import TooManyRequests
from goldcrest_api.services import files
from goldcrest_api.services.files import Files

pytestmark = pytest.mark.unit

CONTENT = b"0123456789"


class Busy:
    """Remote commands of which every other is refused a turn once the answer has begun."""

    def __init__(self) -> None:
        self.refused = 0
        self._asked = 0

    def _turn(self) -> None:
        self._asked += 1
        if self._asked > 2 and self._asked % 2:
            self.refused += 1
            raise TooManyRequests("come again", code="TooManyCommands", retry_seconds=0.01)

    async def run(self, command: Any, **_: Any) -> Any:
        self._turn()
        return SimpleNamespace(result={"size": len(CONTENT), "dev": 1, "ino": 2})

    async def stream(self, command: Any, **_: Any) -> AsyncGenerator[bytes, None]:
        self._turn()
        yield CONTENT[command.offset : command.offset + command.length]


async def test_a_part_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has begun, a download is not broken off because others are served first."""
    monkeypatch.setattr(files, "READ_LIMIT", 4)
    busy = Busy()
    system = SimpleNamespace(name="cluster", spec=SimpleNamespace(limits=Limits()), covers=lambda *_: True)
    monkeypatch.setattr(files, "_check_covered", lambda *_: None)
    caller = SimpleNamespace(user="alice", basis=None)
    service = Files(cast(Any, busy), spools=cast(Any, None), connect_seconds=5)
    async with asyncio.timeout(10):
        size, pieces = await service.content(
            "/x", most=100, system=cast(Any, system), caller=cast(Any, caller), trace=Trace.new()
        )
        assert b"".join([piece async for piece in pieces]) == CONTENT
    assert size == len(CONTENT)
    assert busy.refused >= 2
