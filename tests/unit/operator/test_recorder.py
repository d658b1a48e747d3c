"""Events are posted in the background, whatever becomes of single ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from goldcrest.errors import Conflict, InvalidInput, KubernetesUnavailable
from goldcrest.wellknown import EventReason, Kind
from goldcrest_operator import process
from goldcrest_operator.reconcile.steps import Notice
from goldcrest_operator.recorder import BURST, RATE, Recorder, Regarding

pytestmark = pytest.mark.unit

JOB = Regarding(Kind.JOB, "hpc-alice", "hello", "u-1")


class Server:
    """An API server that answers each event with the next of its errors, then takes them."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.taken: list[str] = []

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        self.taken.append(body["message"])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_survives() -> None:
    """An event that cannot be posted, for whatever reason, does not hold up the next ones."""
    errors = (Conflict("there"), KubernetesUnavailable("away"), InvalidInput("no"), ValueError("a defect"))
    server = Server(*errors)
    recorder = Recorder(server)
    running = asyncio.create_task(recorder.run())
    for number in range(len(errors) + 1):
        recorder.post(JOB, Notice(EventReason.DELAYED, f"event {number}"))
    await until(lambda: server.taken)
    assert server.taken == ["event 4"]
    assert not running.done()
    running.cancel()


async def test_hundreds_at_once() -> None:
    """What the status says too is posted as the rate allows; warnings always are; and later there is room again."""
    server, now = Server(), [0.0]
    recorder = Recorder(server, clock=lambda: now[0])
    for number in range(BURST + 50):
        recorder.post(JOB, Notice(EventReason.STARTED, f"start {number}"))
    recorder.post(JOB, Notice(EventReason.DELAYED, "warning", warning=True))
    now[0] = 1.0
    for number in range(50):
        recorder.post(JOB, Notice(EventReason.STARTED, f"later {number}"))
    await recorder.flush(seconds=5)
    assert [message.split()[0] for message in server.taken] == ["start"] * BURST + ["warning"] + ["later"] * int(RATE)


async def test_its_end_is_noticed() -> None:
    """When one of the tasks that run beside the workers ends, the process ends with a failure."""

    async def dies() -> None:
        raise ValueError("a defect")

    async def lives() -> None:
        await asyncio.Event().wait()

    alive = [asyncio.create_task(lives()) for _ in range(3)]
    context: Any = SimpleNamespace(queue=SimpleNamespace(close=lambda: None))
    status = await process._until_the_end(
        context,
        asyncio.Event(),
        watch=alive[0],
        workers=alive[1],
        others=(alive[2], asyncio.create_task(dies(), name="recorder")),
    )
    assert status == 1
    for task in alive:
        task.cancel()
