"""GET /events: one's own jobs as they change, and where one goes on who was cut off."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from component.api.event_source import events
from component.api.gateway import Gateway, running_gateway
from goldcrest.wellknown import Kind, namespace_of_user

pytestmark = pytest.mark.component


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    change = {"streams": {"per_user": 2, "history": 20, "waiting": 5, "heartbeat_seconds": 0.2, "slow_seconds": 1}}
    async with running_gateway(tmp_path, change=change) as running:
        running.kubernetes.namespaces.add(namespace_of_user("bob"))
        yield running


def position(version: int) -> str:
    return f"Job={version};Task={version}"


async def made(gateway: Gateway, user: str = "alice") -> str:
    return str((await gateway.upload(user=user)).json()["task_id"])


async def changed(gateway: Gateway, task_id: str, message: str) -> None:
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Running", "jobId": "7", "message": message})


async def test_all_there_is_then_what_happens(gateway: Gateway) -> None:
    """Without an id: reset, every job, whole; then each change and the end, with what the job is now."""
    task_id = await made(gateway)
    async with events(gateway) as source:
        (job,) = await source.whole()
        assert (job["task_id"], job["phase"], job["system"]) == (task_id, None, "cluster")
        await changed(gateway, task_id, "on its way")
        job = await source.named("job")
        assert (job["jobid"], job["phase"], job["message"]) == ("7", "Running", "on its way")
        await gateway.kubernetes.remove("jobs", f"r-{task_id}")
        assert await source.named("gone") == {"jobid": "7", "system": "cluster", "task_id": task_id}


async def test_tasks_too(gateway: Gateway) -> None:
    """A listing as it is made, ends and goes, without what it found; one's own alone; and from an id on."""
    answer = await gateway.request("GET", "/compute/jobs", headers={"X-Machine-Name": "cluster"})
    task_id = answer.json()["task_id"]
    async with events(gateway) as source, events(gateway, user="bob") as bobs:
        (task,) = await source.whole()
        assert (task["task_id"], task["operation"], task["phase"]) == (task_id, "listJobs", None)
        assert await bobs.whole() == []
        (raw,) = gateway.kubernetes.tasks()
        result = {"inline": '{"jobs":[],"total":0}', "sha256": "0" * 64, "size": 21, "asOf": "2030-01-01T00:00:00Z"}
        ended = {"phase": "Succeeded", "message": "0 jobs.", "endTime": "2030-01-01T00:00:01Z", "result": result}
        await gateway.kubernetes.put("tasks", {**raw, "status": ended})
        task = await source.named("task")
        assert (task["phase"], task["message"], task["ended_at"]) == ("Succeeded", "0 jobs.", "2030-01-01T00:00:01Z")
        assert "inline" not in json.dumps(task)
        last = source.last_id
        await gateway.kubernetes.remove("tasks", raw["metadata"]["name"])
        gone = {"jobid": None, "system": "cluster", "task_id": task_id}
        assert await source.named("gone") == gone
        with pytest.raises(TimeoutError):
            await bobs.next(seconds=0.5)
    async with events(gateway, last_id=last) as source:
        assert await source.named("gone") == gone


async def test_own_submission_is_told(gateway: Gateway) -> None:
    """A job that is made while somebody listens."""
    async with events(gateway) as source:
        assert await source.whole() == []
        task_id = await made(gateway)
        assert (await source.named("job"))["task_id"] == task_id


async def test_never_other_peoples(gateway: Gateway) -> None:
    """Neither in what there is, nor in what happens, nor in what happened meanwhile; nor of a system that the token's issuer does not cover."""
    theirs = await made(gateway, "bob")
    async with events(gateway) as source:
        assert await source.whole() == []
        await changed(gateway, theirs, "bob's")
        mine = await made(gateway)
        assert (await source.named("job"))["task_id"] == mine
        last = source.last_id
    await changed(gateway, theirs, "bob's")
    await changed(gateway, mine, "mine")
    await gateway.eventually(lambda: _caught_up(gateway))
    async with events(gateway, last_id=last) as source:
        assert (await source.named("job"))["message"] == "mine"
        gateway.tokens.systems = frozenset({"other"})
        async with events(gateway) as uncovered, events(gateway, user="bob") as bobs:
            assert await uncovered.whole() == await bobs.whole() == []
            await changed(gateway, mine, "unseen")
            assert (await source.named("job"))["message"] == "unseen"
            with pytest.raises(TimeoutError):
                await uncovered.next(seconds=0.5)


async def test_goes_on_after_the_last_id(gateway: Gateway) -> None:
    """What happened while nobody listened is told, each change once, and nothing else."""
    task_id = await made(gateway)
    async with events(gateway) as source:
        await source.whole()
        last = source.last_id
    for number in range(3):
        await changed(gateway, task_id, str(number))
    other = await made(gateway)
    await gateway.kubernetes.remove("jobs", f"r-{other}")
    await gateway.eventually(lambda: _told(gateway, other))
    async with events(gateway, last_id=last) as source:
        assert [(await source.named("job"))["message"] for _ in range(3)] == ["0", "1", "2"]
        assert (await source.named("job"))["task_id"] == other
        assert (await source.named("gone"))["task_id"] == other
        await changed(gateway, task_id, "3")
        assert (await source.named("job"))["message"] == "3"


async def _caught_up(gateway: Gateway, *kinds: Kind) -> bool:
    feed = gateway.context.feed
    return min(feed.position(kind) for kind in kinds or (Kind.JOB,)) >= gateway.kubernetes.version


async def _told(gateway: Gateway, task_id: str) -> bool:
    """Whether the gateway knows that it is gone."""
    return (await gateway.request("GET", f"/tasks/{task_id}")).status == 404


async def test_heartbeat_moves_the_id_on(gateway: Gateway) -> None:
    """Nobody is told all anew because others' jobs filled the history meanwhile."""
    async with events(gateway) as source:
        await source.whole()
        first = source.last_id
        theirs = await made(gateway, "bob")
        for number in range(40):
            await changed(gateway, theirs, str(number))
        with pytest.raises(TimeoutError):
            await source.next(seconds=0.7)
        assert source.comments > 0
        assert source.last_id != first
        last = source.last_id
    mine = await made(gateway)
    async with events(gateway, last_id=last) as source:
        assert (await source.named("job"))["task_id"] == mine


async def test_id_that_is_too_old(gateway: Gateway) -> None:
    """The history does not reach back: a reset that says so, and all there is."""
    task_id = await made(gateway)
    async with events(gateway) as source:
        await source.whole()
        last = source.last_id
    for number in range(30):
        await changed(gateway, task_id, str(number))
    async with events(gateway, last_id=last) as source:
        told = await source.named("reset")
        assert (
            told["description"] == "what happened after this id is not known any more: these are all that there are now"
        )
        assert (await source.named("job"))["message"] == "29"
        await source.named("whole")


async def test_restarted_gateway(tmp_path: Path) -> None:
    """Another gateway, or one that was restarted: it goes on after an id that its list covers, and says reset else."""
    async with running_gateway(tmp_path) as first:
        await made(first)
        await first.kubernetes.bookmark()
        await first.eventually(lambda: _caught_up(first, Kind.JOB, Kind.TASK))
        async with events(first) as source:
            await source.whole()
            last = source.last_id
        async with running_gateway(tmp_path / "second", kubernetes=first.kubernetes) as second:
            async with events(second, last_id=last) as source:
                task_id = await made(first)
                assert (await source.named("job"))["task_id"] == task_id  # made through the other one
            await made(first)
            async with (
                running_gateway(tmp_path / "third", kubernetes=first.kubernetes) as third,
                events(third, last_id=last) as source,
            ):
                assert len(await source.whole()) == 3


async def test_id_of_the_future(gateway: Gateway) -> None:
    """The cluster's store was put back to an earlier state: reset, rather than silence until its versions are reached again."""
    task_id = await made(gateway)
    async with events(gateway, last_id=position(gateway.kubernetes.version + 1000)) as source:
        told = await source.named("reset")
        assert told["description"] == "the id is of another history of this cluster"
        await source.named("job")
        await source.named("whole")
    # An id that another gateway gave, which is ahead of this one, is no such thing.
    await gateway.kubernetes.cut_watches()
    gateway.kubernetes.refuse_watches = True
    await gateway.kubernetes.start_again()
    await changed(gateway, task_id, "ahead")
    ahead = position(gateway.kubernetes.version)
    async with events(gateway, last_id=ahead) as source:
        gateway.kubernetes.refuse_watches = False
        await changed(gateway, task_id, "later")
        assert (await source.named("job"))["message"] == "later"


async def test_history_that_is_gone(gateway: Gateway) -> None:
    """410 Gone: who listens is told all anew, for deletions may have been missed."""
    kept, removed = await made(gateway), await made(gateway)
    async with events(gateway) as source:
        assert len(await source.whole()) == 2
        await gateway.kubernetes.cut_watches()
        await gateway.kubernetes.remove("jobs", f"r-{removed}")
        gateway.kubernetes.compact()
        await gateway.kubernetes.start_again()
        told = await source.whole()
        if len(told) > 1:  # tasks were listed anew before jobs; each kind says so by itself
            told = await source.whole()
        assert [job["task_id"] for job in told] == [kept]


@pytest.mark.parametrize(
    "last_id", ["7", "Job=", "Job=x", "Job=1;", "Job=-1", "Job=1\tx", "Job=" + "9" * 21, "x" * 500]
)
async def test_no_id_of_ours(gateway: Gateway, last_id: str) -> None:
    """400 with a sentence."""
    reply = await gateway.request("GET", "/events", headers={"Last-Event-ID": last_id})
    assert reply.status == 400
    assert reply.json() == {
        "description": "Failed to follow events",
        "error": "Last-Event-ID is no id of these events: send the last id that came, or none",
    }


async def test_needs_a_token(gateway: Gateway) -> None:
    """As every route."""
    assert (await gateway.request("GET", "/events", user=None)).status == 401


async def test_no_more_than_so_many_of_one_user(gateway: Gateway) -> None:
    """429 with a sentence; others are served, and a place that is given back is free."""
    async with events(gateway) as first:
        await first.whole()
        async with events(gateway):
            reply = await gateway.request("GET", "/events")
            assert reply.status == 429
            assert reply.json()["error"].startswith("alice has 2 answers open that go on, which is all one may have")
            assert reply.headers["Retry-After"]
            async with events(gateway, user="bob"):
                pass

    async def free() -> bool:
        async with events(gateway) as source:
            return await source.whole() == []

    for _ in range(100):
        try:
            assert await free()
            return
        except AssertionError:
            await asyncio.sleep(0.02)
    raise AssertionError("the places were not given back")


async def test_slow_reader_is_dropped_with_a_sentence(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """More changes wait than may: what waited is told, then why it ends; it goes on after the last id without a gap."""
    task_id = await made(gateway)
    async with events(gateway) as source:
        await source.whole()
        # A burst in one chunk of the watch comes faster than anything is sent.
        for number in range(12):
            gateway.kubernetes.put_quietly(
                namespace_of_user("alice"), f"r-{task_id}", {"phase": "Running", "message": str(number)}
            )
        await gateway.kubernetes.tell_all()
        messages, event = [], await source.next()
        while event is not None and event.name == "job":
            messages.append(event.data["message"])
            event = await source.next()
        assert event is not None
        assert event.name == "dropped"
        assert event.data == {
            "description": "more than 5 changes waited to be read: read faster, and go on after the last id"
        }
        assert await source.next() is None
        last = source.last_id
    assert messages == [str(number) for number in range(len(messages))]
    async with events(gateway, last_id=last) as source:
        assert (await source.named("job"))["message"] == str(len(messages))


async def test_reader_that_takes_nothing(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """Its connection is closed, and its place is free again."""
    caplog.set_level(logging.INFO)
    task_id = await made(gateway)
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
    writer.write(f"GET /events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer token-alice\r\n\r\n".encode())
    await reader.readuntil(b"whole")

    async def cut() -> bool:
        await changed(gateway, task_id, "x" * 4000)
        return any(record.getMessage() == "stream.cut" for record in caplog.records)

    await gateway.eventually(cut, seconds=60)
    (record,) = (record for record in caplog.records if record.getMessage() == "stream.cut")
    assert record.fields == {"user": "alice", "reason": "nothing was read for 1 s"}  # type: ignore[attr-defined]
    writer.close()


async def test_a_token_whose_time_is_over_opens_nothing(gateway: Gateway) -> None:
    """Within the seconds in which other requests still take it: else who comes again would be told all, and the end, time after time."""
    gateway.tokens.expires = int(time.time()) - 5
    assert (await gateway.request("GET", "/tasks")).status == 200
    reply = await gateway.request("GET", "/events")
    assert reply.status == 401
    assert reply.json()["description"] == "JWT token has expired"
    assert reply.headers["X-Goldcrest-Code"] == "TokenExpired"
    assert "invalid_token" in reply.headers["WWW-Authenticate"]


async def test_ends_with_the_token(gateway: Gateway) -> None:
    """No longer than the token is valid: an event that says why, and an answer that is complete."""
    gateway.tokens.expires = int(time.time()) + 2
    async with events(gateway) as source:
        await source.whole()
        assert await source.named("end") == {"description": "the token has expired"}
        assert await source.next() is None


async def test_ends_for_who_is_blocked(gateway: Gateway) -> None:
    """The site blocked a user: told so, at once; others go on."""
    async with events(gateway) as mine, events(gateway, user="bob") as bobs:
        await mine.whole()
        await bobs.whole()
        gateway.context.streams.end_of({"alice"}, reason="the site blocked this user")
        assert await mine.named("end") == {"description": "the site blocked this user"}
        task_id = await made(gateway, "bob")
        assert (await bobs.named("job"))["task_id"] == task_id


async def test_gateway_that_stops(tmp_path: Path) -> None:
    """Readers are told, and the process does not wait for them."""
    async with running_gateway(tmp_path) as gateway, events(gateway) as source:
        await source.whole()
        gateway.context.streams.stop()
        assert await source.named("end") == {"description": "the gateway is stopping"}
        async with events(gateway) as late:
            assert {event.name for event in [await late.next(), await late.next(), await late.next()] if event} == {
                "reset",
                "whole",
                "end",
            }


async def test_nothing_secret(gateway: Gateway) -> None:
    """Neither script nor environment is told."""
    async with events(gateway) as source:
        await source.whole()
        await gateway.upload(b"#!/bin/sh\n# hunter2\n", fields={"env": json.dumps({"A": "hunter3"})})
        told: Any = await source.named("job")
        assert "hunter" not in json.dumps(told)
