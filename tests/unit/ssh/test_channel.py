"""A channel whose far end is gone or full, as asyncssh shows that."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from goldcrest.ssh.channel import Channel, Progress
from goldcrest.ssh.frames import Frame, FrameType
from goldcrest.ssh.requests import ChannelLost
from unit.ssh.test_hello import HELLO

pytestmark = pytest.mark.unit


class Ssh:
    """asyncssh's side of a channel."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        if self.closing:
            raise BrokenPipeError("Channel not open for sending")
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def channel_on(ssh: Ssh) -> Channel:
    channel = Channel(changed=lambda: None)
    channel.connection_made(cast(Any, ssh))
    channel.data_received(HELLO.encode(), None)
    return channel


def answer_to(request_id: int) -> bytes:
    return Frame(request_id, FrameType.ANSWER, json.dumps({}).encode()).encode()


async def call(channel: Channel, progress: Progress | None = None) -> Any:
    channel.reserve(0)
    try:
        return await channel.call(b"certificate", b"", progress=progress or Progress(), most=1024, data_is_result=True)
    finally:
        channel.release(0)


async def test_the_filter_is_ending() -> None:
    """asyncssh takes nothing more, and the news of the end is not there yet: lost before it was sent, and no channel for others."""
    ssh = Ssh()
    channel = channel_on(ssh)
    ssh.closing = True
    progress = Progress()
    with pytest.raises(ChannelLost):
        await call(channel, progress)
    assert not progress.sent
    assert not channel.usable


async def test_a_reader_leaves_a_stream_whose_filter_has_ended() -> None:
    """What came before is not read, so the end is not told: the channel is given up all the same, with its place and its bytes."""
    ssh = Ssh()
    channel = channel_on(ssh)
    pieces = channel.stream(b"certificate", progress=Progress(), most=1024, quiet_seconds=5)
    channel.reserve(0)
    first = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    channel.data_received(Frame(1, FrameType.DATA, b"bytes").encode(), None)
    assert await first == b"bytes"
    ssh.closing = True
    await pieces.aclose()
    channel.release(0)
    assert ssh.aborted
    assert not channel.usable


async def test_given_up_before_it_was_sent() -> None:
    """The node knows nothing of it: it is not asked to stop it, and no place is kept for an end that would never come."""
    ssh = Ssh()
    channel = channel_on(ssh)
    channel.pause_writing()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await call(channel)
    assert ssh.written == []
    assert channel.load == 0
    channel.resume_writing()
    asking = asyncio.ensure_future(call(channel))
    await asyncio.sleep(0)
    channel.data_received(answer_to(2), None)
    assert await asking == ({}, b"")


async def test_opened_after_it_was_given_up() -> None:
    """sshd opens it all the same: nobody else would close it."""
    ssh = Ssh()
    channel = Channel(changed=lambda: None)
    channel.close()
    channel.connection_made(cast(Any, ssh))
    assert ssh.aborted
