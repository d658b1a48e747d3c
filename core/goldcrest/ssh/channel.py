"""One SSH channel with one running ssh-filter behind it, and the requests that are pipelined on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final, TypeVar

import asyncssh

from goldcrest.errors import GoldcrestError
from goldcrest.ssh.frames import (
    BrokenFrame,
    Frame,
    FrameParser,
    FrameType,
    data_frames,
    end_frame,
    request_frame,
    request_frames,
)
from goldcrest.ssh.hello import Hello, HelloFinder, NoHello
from goldcrest.ssh.payloads import Pieces
from goldcrest.ssh.requests import ChannelLost, Collected, Discarded, Receiver, Streamed, Took, result_of
from goldcrest.ssh.shared import mark_retrieved

_SENT: Final = 32 * 1024  # bytes of a packet that OpenSSH takes
_REFUSALS: Final = 5  # the filter ends after 10; before that, others must not lose what they have under way
_SILENT_SECONDS: Final = 5.0  # a CANCEL is confirmed at once; a filter that says nothing is stuck, or its way is cut
_LEFT_OVER: Final = (
    16 * 1024 * 1024
)  # bytes that may come after a CANCEL: several windows and what the filter has in hand
_STDERR: Final = 1024  # last bytes kept for messages
_LARGEST_ID: Final = 2**32 - 1
_FROM_NODE: Final = frozenset({FrameType.DATA, FrameType.ANSWER, FrameType.REFUSED, FrameType.ERROR, FrameType.CREDIT})
_LAST: Final = frozenset({FrameType.ANSWER, FrameType.REFUSED, FrameType.ERROR})


_T = TypeVar("_T")


class Progress:
    """How far a command has come, for whoever must say what a cut or a time-out means."""

    __slots__ = ("moved", "sent", "sent_at", "step", "took")

    def __init__(self) -> None:
        self.step = "connecting"
        self.sent = False  # the node may have all of it
        self.moved = time.monotonic()  # when something was sent
        self.sent_at = 0.0  # epoch seconds
        self.took: Took | None = None

    def told(self, took: Took) -> None:
        """What the filter says of its times."""
        self.took = took


async def while_moving(
    work: Coroutine[Any, Any, _T], progress: Progress, seconds: float, *, excused: Callable[[], bool]
) -> _T:
    """Wait for something that takes as long as it likes, but does not stand still.

    Args:
        seconds: without anything sent.
        excused: whether there is nothing to send now.

    Raises:
        TimeoutError: it stood still.
    """
    progress.moved = time.monotonic()
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            left = progress.moved + seconds - time.monotonic()
            if left <= 0:
                if not excused():
                    raise TimeoutError
                progress.moved = time.monotonic()
                continue
            await asyncio.wait((task,), timeout=left)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


class Channel(asyncssh.SSHClientSession[bytes]):
    """The client's end of docs/protocol.md. Made by asyncssh, which calls the methods of its session interface.

    Args:
        changed: called when a request is over or the channel has ended.
    """

    def __init__(self, *, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._finder: HelloFinder | None = HelloFinder()
        self._greeting: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._greeting.add_done_callback(mark_retrieved)
        self._parser = FrameParser()
        self._receivers: dict[int, Receiver] = {}
        self._left_behind: set[int] = set()  # nobody waits for them, and the node has not ended them yet
        self._unsent: set[int] = set()  # of which the node knows nothing yet
        self._received = 0  # times that something came
        self._silent = False
        self._goodbye = False
        self._last_id = 0
        self._refusals = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._stderr = b""
        self._exit = ""
        self._lost: str | None = None
        self._retired = False
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.hello: Hello | None = None
        self.reserved = 0
        """Requests that have this channel, from before they are signed until they are over."""
        self.promised = 0
        """Bytes of the payloads of these requests."""
        self.last_used = time.monotonic()

    # What others may ask.

    @property
    def usable(self) -> bool:
        """Whether it takes new requests."""
        return self.hello is not None and self._lost is None and not self._retired

    @property
    def ended(self) -> bool:
        return self._lost is not None

    @property
    def sid(self) -> str:
        """The session id that certificates for this channel name."""
        return self.hello.sid if self.hello else ""

    @property
    def load(self) -> int:
        """Requests that have this channel or still run on the node although nobody waits for them."""
        return self.reserved + len(self._left_behind)

    def has_room(self, size: int) -> bool:
        """Whether the node takes another request with a payload of this many bytes now."""
        if self.hello is None:
            return False
        limits = self.hello.limits
        return self.load < limits.commands and (not self.promised or self.promised + size <= limits.payload)

    async def greeting(self) -> Hello:
        """Wait for the hello.

        Raises:
            NoHello: something else came, or the channel ended.
        """
        return await asyncio.shield(self._greeting)

    @property
    def noise(self) -> bytes:
        """What came instead of a hello so far."""
        return self._finder.noise if self._finder else b""

    @property
    def filter_spoke(self) -> bool:
        """Whether ssh-filter itself said why it does not serve: then nothing before it is to blame."""
        return b"goldcrest-ssh-filter: " in self._stderr

    # What others may do.

    def retire(self) -> None:
        """Take no new requests; end when those under way are over."""
        self._retired = True
        self._close_when_done()

    def close(self) -> None:
        """End it now; requests under way are lost."""
        self._retired = True
        if self._channel is not None and self._lost is None:
            self._channel.abort()  # one that is not there yet: connection_made

    def takes_seconds(self) -> bool:
        """Whether the node takes a time for a command."""
        return self.hello is not None and self.hello.limits.seconds is not None

    async def call(
        self,
        certificate: bytes,
        payload: bytes | Pieces,
        *,
        progress: Progress,
        most: int,
        data_is_result: bool,
        seconds: float | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Run one command: its result and its data.

        Args:
            payload: all of it, or its pieces, which are asked for only as fast as the node takes them.
            seconds: after which the node stops it.
            most: bytes of data that are collected.
            data_is_result: data frames are the beginning of a result too long for one frame.

        Raises:
            ChannelLost: the channel ended before the request was over.
            CommandRefused, CommandFailed, TooLarge
        """
        receiver = Collected(most=most)
        request_id = self._begin(receiver)
        try:
            await self._send(request_id, certificate, payload, progress, receiver, seconds)
            frame, data = await receiver.wait()
        finally:
            self._abandon(request_id)
        self._count_refusal(frame)
        if data_is_result:
            return self._result(frame, progress, data), b""
        return self._result(frame, progress), data

    async def stream(
        self,
        certificate: bytes,
        *,
        progress: Progress,
        most: int,
        quiet_seconds: float,
        seconds: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Run one command and hand on its data as it comes. The channel must have no other request.

        Args:
            most: bytes that may wait for the reader before the node is held back.
            quiet_seconds: seconds without a byte from the node, while the reader waits, that count as a cut.
            seconds: after which the node stops it, unless it is the reader who is waited for.

        Raises:
            ChannelLost: also when nothing came for too long.
            CommandRefused, CommandFailed
        """
        channel = self._open_channel()
        receiver = Streamed(most=most, hold=channel.pause_reading, go_on=channel.resume_reading)
        request_id = self._begin(receiver)
        complete = False
        try:
            await self._send(request_id, certificate, b"", progress, receiver, seconds)
            while True:
                try:
                    async with asyncio.timeout(quiet_seconds):
                        item = await receiver.next()
                except TimeoutError:
                    raise ChannelLost(f"nothing came for {quiet_seconds:g} s") from None
                if isinstance(item, Frame):
                    break
                yield item
            complete = True
        finally:
            self._abandon(request_id)
            if not complete:
                # What the node has sent ahead would have to be read away first; a new channel is cheaper.
                self.close()
        self._count_refusal(item)
        self._result(item, progress)

    # Frames.

    def _begin(self, receiver: Receiver) -> int:
        self._open_channel()
        self._last_id = self._last_id % _LARGEST_ID + 1
        while self._last_id in self._receivers:
            self._last_id = self._last_id % _LARGEST_ID + 1
        self._receivers[self._last_id] = receiver
        self._unsent.add(self._last_id)
        self.last_used = time.monotonic()
        return self._last_id

    async def _send(
        self,
        request_id: int,
        certificate: bytes,
        payload: bytes | Pieces,
        progress: Progress,
        receiver: Collected | Streamed,
        seconds: float | None,
    ) -> None:
        timed = seconds if self.takes_seconds() else None
        if isinstance(payload, bytes):
            for frame in request_frames(request_id, certificate, payload, seconds=timed):
                if not await self._sent(frame, request_id, receiver, progress):
                    return
        else:
            async with aclosing(_streamed_frames(request_id, certificate, payload, timed)) as frames:
                async for frame in frames:
                    if not await self._sent(frame, request_id, receiver, progress):
                        return
        progress.sent, progress.sent_at = True, time.time()
        progress.step = "waiting for the answer"

    async def _sent(self, frame: Frame, request_id: int, receiver: Collected | Streamed, progress: Progress) -> bool:
        """Send a frame when there is room for it; false where the request is over: refused, or the channel ended, before its payload was complete."""
        if not self._writable.is_set():
            await self._writable.wait()
        if receiver.done:
            return False
        self._write(frame)
        self._unsent.discard(request_id)
        progress.moved = time.monotonic()
        return True

    def _write(self, frame: Frame) -> None:
        """All of a frame, for what follows half of one would be taken for its rest; in pieces of a packet, as asyncssh copies longer ones twice."""
        channel = self._open_channel()
        try:
            for piece in frame.pieces(_SENT):
                channel.write(piece)
        except OSError:  # the filter has ended, and asyncssh says so to us later: when all that came before is read
            self._retired = True
            raise ChannelLost(self._exit or "the channel is being closed") from None

    def _abandon(self, request_id: int) -> None:
        """Nobody waits for this request any more. If it is not over, the node is asked to stop it."""
        unsent = request_id in self._unsent
        self._unsent.discard(request_id)
        if request_id not in self._receivers:
            return
        if unsent:  # of what it does not know the node will say no end
            del self._receivers[request_id]
            return
        self._receivers[request_id] = Discarded(most=_LEFT_OVER)
        self._left_behind.add(request_id)
        if self._channel is not None and self._lost is None:
            with suppress(OSError):  # its filter has ended
                self._channel.write(Frame(request_id, FrameType.CANCEL).encode())
            asyncio.get_running_loop().call_later(_SILENT_SECONDS, self._retire_if_silent, self._received)

    def _retire_if_silent(self, received: int) -> None:
        """Give up a channel from which nothing has come since a request was given up; the next gets another."""
        if self._received == received and not self.ended:
            self._silent = True
            self.retire()
            self._changed()

    def _open_channel(self) -> asyncssh.SSHClientChannel[bytes]:
        if self._channel is None or self._lost is not None:
            raise ChannelLost(self._lost or "the channel is not open")
        return self._channel

    def _result(self, frame: Frame, progress: Progress, before: bytes = b"") -> dict[str, Any]:
        try:
            return result_of(frame, before, told=progress.told)
        except BrokenFrame as error:
            self.close()
            raise ChannelLost(str(error)) from None

    def _count_refusal(self, frame: Frame) -> None:
        if frame.type is FrameType.REFUSED:
            self._refusals += 1
            if self._refusals >= _REFUSALS:
                self.retire()

    def _dispatch(self, frame: Frame) -> None:
        if frame.type not in _FROM_NODE:
            raise BrokenFrame(f"the node sent a {frame.type.name} frame")
        if frame.id == 0:
            if self._goodbye:
                raise BrokenFrame("the node said goodbye twice")
            self._goodbye = self._retired = True  # "ended", or it could not read a frame of ours
            return
        receiver = self._receivers.get(frame.id)
        if receiver is None:
            raise BrokenFrame("the node answered a request that was not made")
        if frame.type is FrameType.DATA:
            receiver.data(frame.body)
        elif frame.type is FrameType.CREDIT:
            receiver.data(b"")  # means nothing in version 1, but must not come without an end
        elif frame.type in _LAST:
            del self._receivers[frame.id]
            self._left_behind.discard(frame.id)
            self.last_used = time.monotonic()
            receiver.end(frame)
            self._changed()
            self._close_when_done()

    def _close_when_done(self) -> None:
        # What was left behind is not waited for where nothing comes any more.
        if self._retired and not self.reserved and (self._silent or not self._receivers):
            self.close()

    def reserve(self, size: int) -> None:
        """Keep a place for a request with a payload of this many bytes, until :meth:`release`."""
        self.reserved += 1
        self.promised += size

    def release(self, size: int) -> None:
        """A request that had reserved this channel is over."""
        self.reserved -= 1
        self.promised -= size
        self.last_used = time.monotonic()
        self._close_when_done()
        self._changed()

    def _break(self, error: Exception) -> None:
        """Nothing that follows can be trusted to be what it seems."""
        self._end(str(error))
        if self._channel is not None:
            self._channel.abort()

    def _end(self, reason: str) -> None:
        if self._lost is not None:
            return
        self._lost = reason
        if not self._greeting.done():
            self._greeting.set_exception(NoHello(reason))
        receivers, self._receivers = self._receivers, {}
        self._left_behind.clear()
        for receiver in receivers.values():
            receiver.fail(ChannelLost(reason))
        self._writable.set()
        self._changed()

    # asyncssh's session interface.

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        if self._retired:  # whoever asked for it has given up
            chan.abort()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is not None:
            self._stderr = (self._stderr + data)[-_STDERR:]
            return
        if self._lost is not None:
            return
        self._received += 1
        try:
            if self._finder is not None:
                found = self._finder.feed(data)
                if found is None:
                    return
                self.hello, data = found
                self._finder = None
                if not self._greeting.done():
                    self._greeting.set_result(self.hello)
            for frame in self._parser.feed(data):
                self._dispatch(frame)
        except (BrokenFrame, NoHello, GoldcrestError) as error:
            self._break(error)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def exit_status_received(self, status: int) -> None:
        self._exit = f"exit status {status}"

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._exit = f"signal {signal}"

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the connection was cut" if exc else "ssh-filter ended"
        if self._exit:
            reason += f" with {self._exit}"
        said = printable(self._stderr)
        self._end(f"{reason} ({said})" if said else reason)


async def _streamed_frames(
    request_id: int, certificate: bytes, payload: Pieces, seconds: float | None
) -> AsyncGenerator[Frame, None]:
    yield request_frame(request_id, certificate, seconds=seconds)
    async for piece in payload:
        for frame in data_frames(request_id, piece):
            yield frame
    if payload.end is not None:
        yield end_frame(request_id, payload.end)


def printable(data: bytes) -> str:
    """The last line that a program printed, short and without control characters."""
    lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return "".join(c for c in lines[-1].strip() if c.isprintable())[:300] if lines else ""
