"""Answers: collected, streamed with back-pressure, and what refusals and failures mean."""

from __future__ import annotations

import asyncio
import json

import pytest

from goldcrest.errors import CommandFailed, CommandRefused, TooLarge
from goldcrest.ssh.frames import BrokenFrame, Frame, FrameType
from goldcrest.ssh.requests import ChannelLost, Collected, Discarded, Streamed, result_of

pytestmark = pytest.mark.unit

LAST = Frame(1, FrameType.ANSWER, b"{}")


def frame(kind: FrameType, /, **value: object) -> Frame:
    return Frame(1, kind, json.dumps(value).encode())


class Sender:
    """A channel of asyncssh in small: what comes while it is held is kept, and delivered at once when it goes on."""

    def __init__(self, *, most: int) -> None:
        self.held = False
        self.kept: list[bytes] = []
        self.sent = 0
        self.receiver = Streamed(most=most, hold=self.hold, go_on=self.go_on)

    def hold(self) -> None:
        self.held = True

    def go_on(self) -> None:
        self.held = False
        while self.kept and not self.held:
            self.receiver.data(self.kept.pop(0))

    def send(self, *, window: int) -> None:
        """Send until held and the window is full."""
        while sum(map(len, self.kept)) < window:
            self.sent += 10
            (self.kept.append if self.held else self.receiver.data)(bytes(10))


async def test_a_slow_reader_is_never_far_behind():
    """However often the reader catches up a little, no more than its share and two windows are in memory."""
    sender = Sender(most=100)
    read = 0
    for _ in range(500):
        sender.send(window=50)
        item = await sender.receiver.next()
        assert isinstance(item, bytes)
        read += len(item)
        assert sender.sent - read <= 100 + 2 * 50 + 10
    assert read == 5000


async def test_pieces_come_before_the_end():
    """What came before the last frame, or before a cut, is still read, in order."""
    for end in (LAST, ChannelLost("cut")):
        receiver = Streamed(most=100, hold=lambda: None, go_on=lambda: None)
        receiver.data(b"a")
        receiver.data(b"b")
        receiver.end(end) if isinstance(end, Frame) else receiver.fail(end)
        receiver.fail(ChannelLost("later"))
        assert [await receiver.next(), await receiver.next()] == [b"a", b"b"]
        if isinstance(end, Frame):
            assert await receiver.next() is LAST
        else:
            with pytest.raises(ChannelLost, match="cut"):
                await receiver.next()


async def test_a_waiting_reader_wakes():
    """A reader that waits gets what comes later."""
    receiver = Streamed(most=100, hold=lambda: None, go_on=lambda: None)
    reader = asyncio.create_task(receiver.next())
    await asyncio.sleep(0)
    receiver.data(b"late")
    assert await reader == b"late"


async def test_collected_is_bounded():
    """Data above the limit is an error and is not kept."""
    receiver = Collected(most=10)
    receiver.data(bytes(6))
    receiver.data(bytes(6))
    receiver.end(LAST)
    with pytest.raises(TooLarge, match="more than 10 bytes"):
        await receiver.wait()


@pytest.mark.parametrize("piece", [b"", b"x", bytes(1023)], ids=["nothing", "a byte", "almost enough"])
@pytest.mark.parametrize("kind", ["collected", "streamed", "discarded"])
async def test_crumbs_are_refused(kind, piece):
    """Ten thousand small pieces of one answer are taken, and not one more, whoever waits for it; large ones do not count."""
    receiver = {
        "collected": lambda: Collected(most=2**30),
        "streamed": lambda: Streamed(most=2**30, hold=lambda: None, go_on=lambda: None),
        "discarded": lambda: Discarded(most=2**30),
    }[kind]()
    for _ in range(100):
        receiver.data(bytes(1024))
    for _ in range(10_000):
        receiver.data(piece)
    with pytest.raises(BrokenFrame, match="crumbs"):
        receiver.data(piece)


def test_discarded_is_bounded():
    """What was under way when the node was told to stop is thrown away; more than that is a node that does not stop."""
    receiver = Discarded(most=3000)
    receiver.data(bytes(1500))
    receiver.data(bytes(1500))
    with pytest.raises(BrokenFrame, match="told to stop"):
        receiver.data(bytes(1024))


def test_results():
    """An answer is its object, also when its beginning came before."""
    assert result_of(frame(FrameType.ANSWER, size=3)) == {"size": 3}
    assert result_of(Frame(1, FrameType.ANSWER, b':"b"}'), b'{"a"') == {"a": "b"}


def test_refusals():
    """A refusal carries its reason."""
    with pytest.raises(CommandRefused, match="compare the clocks") as refused:
        result_of(frame(FrameType.REFUSED, reason="expired", message="compare the clocks"))
    assert refused.value.reason == "expired"


@pytest.mark.parametrize(
    ("value", "kind", "name", "path", "message"),
    [
        (
            {"kind": "os", "errno": 2, "name": "ENOENT", "message": "No such file", "path": "/x"},
            "os",
            "ENOENT",
            "/x",
            "/x: No such file",
        ),
        ({"kind": "timeout", "message": "too slow", "seconds": 60}, "timeout", None, None, "too slow"),
        ({}, "internal", None, None, "the node gave no reason"),
    ],
)
def test_failures(value, kind, name, path, message):
    """A failure carries kind, name and path where there are any, and a sentence always."""
    with pytest.raises(CommandFailed) as failed:
        result_of(frame(FrameType.ERROR, **value))
    assert (failed.value.kind, failed.value.errno_name, failed.value.path) == (kind, name, path)
    assert failed.value.message == message


@pytest.mark.parametrize("body", [b"", b"[1]", b"no json", b"\xff"])
def test_unreadable_answers(body):
    """An answer that cannot be read breaks the channel; it is never taken for a result."""
    with pytest.raises(BrokenFrame):
        result_of(Frame(1, FrameType.ANSWER, body))
