"""Requests under way on a channel: where the frames that answer them go. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from goldcrest.errors import CommandFailed, CommandRefused, GoldcrestError, TooLarge
from goldcrest.ssh.frames import BrokenFrame, Frame, FrameType

_CRUMB: Final = (
    1024  # bytes; ssh-filter's pieces have 256 KiB but for the last one, or where a file system reads less at once
)
_CRUMBS: Final = 10_000  # smaller ones in one answer
_HOUR: Final = 3_600_000_000  # microseconds


class ChannelLost(Exception):
    """The channel ended before the request was over. What that means depends on the command: the pool decides."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Receiver(Protocol):
    """Takes what the node says to one request."""

    def data(self, piece: bytes) -> None: ...

    def end(self, frame: Frame) -> None:
        """The request is over: ANSWER, REFUSED or ERROR."""

    def fail(self, error: Exception) -> None:
        """No answer will come."""


class Crumbs:
    """Refuses data in crumbs. Each takes as much time here as a large piece, so that a hostile node could keep this process busy
    with little, and pieces of nothing count against no bound."""

    def __init__(self) -> None:
        self._left = _CRUMBS

    def check(self, piece: bytes) -> None:
        """Count one piece.

        Raises:
            BrokenFrame: too many were small.
        """
        if len(piece) < _CRUMB:
            self._left -= 1
            if self._left < 0:
                raise BrokenFrame("the node sends its data in crumbs")


class Collected:
    """An answer of which all is wanted before anything is done with it.

    Args:
        most: bytes that may be collected.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        # Not a list of pieces: a hostile node can make them of one byte, or of none, and each would cost more than its bytes.
        self._bytes = bytearray()
        self._crumbs = Crumbs()
        self._future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()

    @property
    def done(self) -> bool:
        return self._future.done()

    def data(self, piece: bytes) -> None:
        self._crumbs.check(piece)
        if self.done:
            return
        self._bytes += piece
        if len(self._bytes) > self._most:
            self._bytes.clear()
            self.fail(TooLarge(f"the answer has more than {self._most} bytes"))

    def end(self, frame: Frame) -> None:
        if not self._future.done():
            self._future.set_result(frame)

    def fail(self, error: Exception) -> None:
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()  # it may be that nobody asks any more

    async def wait(self) -> tuple[Frame, bytes]:
        """The last frame, and all data before it."""
        frame = await self._future
        return frame, bytes(self._bytes)


class Streamed:
    """An answer whose data is handed on as it comes; the sender is held back while the reader is behind.

    Args:
        most: bytes waiting for the reader above which ``hold`` is called.
        hold: called to stop the sender.
        go_on: called when half of it was read; may deliver at once what was kept back.
    """

    def __init__(self, *, most: int, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        self._most = most
        self._hold = hold
        self._go_on = go_on
        self._held = False
        self._catching_up = False
        self._pieces: deque[bytes] = deque()
        self._crumbs = Crumbs()
        self._size = 0
        self._end: Frame | Exception | None = None
        self._news = asyncio.Event()

    @property
    def done(self) -> bool:
        return self._end is not None

    def data(self, piece: bytes) -> None:
        self._crumbs.check(piece)
        if not piece:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        self._news.set()
        if not self._catching_up:
            self._hold_if_behind()

    def _hold_if_behind(self) -> None:
        if self._size > self._most and not self._held:
            self._held = True
            self._hold()

    def end(self, frame: Frame) -> None:
        self._end = self._end or frame
        self._news.set()

    def fail(self, error: Exception) -> None:
        self._end = self._end or error
        self._news.set()

    async def next(self) -> bytes | Frame:
        """The next piece, or the last frame when all pieces were read."""
        while not self._pieces:
            if isinstance(self._end, Frame):
                return self._end
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._held and self._size <= self._most // 2:
            # All that asyncssh kept meanwhile (one window at most) is taken before the sender is held again: with the first
            # byte delivered it grants a whole new window, so taking a part each time grows without bound (2.24, measured).
            self._held = False
            self._catching_up = True
            try:
                self._go_on()
            finally:
                self._catching_up = False
            self._hold_if_behind()
        return piece


class Discarded:
    """An answer that nobody waits for any more; the request still counts until the node has ended it.

    Args:
        most: bytes that may still come, for they were under way when the node was told to stop.
    """

    def __init__(self, *, most: int) -> None:
        self._left = most
        self._crumbs = Crumbs()

    def data(self, piece: bytes) -> None:
        self._crumbs.check(piece)
        self._left -= len(piece)
        if self._left < 0:
            raise BrokenFrame("the node goes on sending although it was told to stop")

    def end(self, frame: Frame) -> None: ...

    def fail(self, error: Exception) -> None: ...


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds that the filter took, as it says itself: nothing may depend on them."""

    verify: float
    run: float

    @classmethod
    def of(cls, value: object) -> Took | None:
        """Read ``took`` of docs/protocol.md; None from filters that do not say it, and for what cannot be."""
        if not isinstance(value, dict):
            return None
        verify, run = value.get("verify"), value.get("run")
        if type(verify) is not int or type(run) is not int or not (0 <= verify < _HOUR and 0 <= run < _HOUR):
            return None
        return cls(verify / 1e6, run / 1e6)


def result_of(frame: Frame, before: bytes = b"", *, told: Callable[[Took], None] = lambda _: None) -> dict[str, Any]:
    """The result in an ANSWER; refusals and failures are raised.

    Args:
        before: the beginning of a result that is longer than one frame; it came as data.
        told: called with the times of the filter, where it says them; they are no part of the result.

    Raises:
        CommandRefused, CommandFailed: as the node said.
        BrokenFrame: the body is not what docs/protocol.md says.
    """
    value = _object(before + frame.body)
    took = Took.of(value.pop("took", None))
    if took is not None:
        told(took)
    if frame.type is FrameType.ANSWER:
        return value
    raise error_of(frame.type, value)


def error_of(kind: FrameType, value: dict[str, Any]) -> GoldcrestError:
    """The exception that a REFUSED or ERROR frame means."""
    message = str(value.get("message") or "the node gave no reason")[:4096]
    if kind is FrameType.REFUSED:
        reason = str(value.get("reason", "malformed"))[:64]
        return CommandRefused(f"ssh-filter refused the command ({reason}): {message}", reason=reason)
    name, path = _optional_text(value.get("name")), _optional_text(value.get("path"))
    said = f"{path}: {message}" if path else message
    kind_of_error, what = str(value.get("kind", "internal"))[:64], _optional_text(value.get("what"))
    return CommandFailed(said, kind=kind_of_error, errno_name=name, path=path, what=what)


def _optional_text(value: object) -> str | None:
    return value[:4096] if isinstance(value, str) and value else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except ValueError:
        raise BrokenFrame("the node's answer is not JSON") from None
    if not isinstance(value, dict):
        raise BrokenFrame("the node's answer is no object")
    return value
