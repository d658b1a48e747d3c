"""A connection of one user to one login host, and its channels."""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncssh

from goldcrest.ssh.channel import Channel, printable
from goldcrest.ssh.hello import Hello, NoHello, UnusableHello
from goldcrest.ssh.hostkeys import Endpoint
from goldcrest.ssh.line import Line
from goldcrest.ssh.login import AccountRefused, LoginRefused
from goldcrest.ssh.requests import ChannelLost
from goldcrest.ssh.settings import SshSettings
from goldcrest.ssh.shared import mark_retrieved, result_of
from goldcrest.telemetry import Log

_LOG = Log(__name__)
_COMMAND: Final = ":"  # sshd starts the filter whatever is asked for; where it does not, this does nothing
_PACKET: Final = 128 * 1024  # bytes; a seventh faster than asyncssh's 32 KiB when streaming
_QUEUE: Final = 2  # requests on each channel above which another channel is worth its memory
_NO_MORE_SECONDS: Final = 30.0  # after a further channel was not to be had


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """Whose connection, and where to. Other pins make another connection."""

    system: str
    user: str
    endpoint: Endpoint


class Connection:
    """Channels to one host as one user. Made by :meth:`open`."""

    def __init__(self, key: ConnectionKey, ssh: asyncssh.SSHClientConnection, settings: SshSettings) -> None:
        self.key = key
        self._ssh = ssh
        self._settings = settings
        self._shared: list[Channel] = []
        self._streams: list[Channel] = []
        self._opening: asyncio.Task[Channel] | None = None  # a shared channel
        self._opening_streams = 0
        self._no_more_until = 0.0
        self._shared_line = Line()
        self._stream_line = Line()
        self._tasks: set[asyncio.Task[Channel]] = set()
        self._closed = False
        self._retired = False
        self.ended_because = ""
        """Why it was ended although it worked: whoever has a request under way is told."""
        self._users = 0
        self.last_used = time.monotonic()
        self._idle_seconds = _jittered(settings.idle_seconds)
        self._old_at = self.last_used + _jittered(settings.age_seconds)

    @classmethod
    async def open(cls, key: ConnectionKey, ssh: asyncssh.SSHClientConnection, settings: SshSettings) -> Connection:
        """Take a connection that has logged in, and start the filter: the first channel is slow, so it is never a
        request that waits for it twice.

        Raises:
            LoginRefused: no filter that can be used answers there.
        """
        connection = cls(key, ssh, settings)
        try:
            connection._shared.append(await connection._open_channel())
        except ChannelLost:
            raise LoginRefused(
                f"login host {key.endpoint.name} let {key.user} in and then ended the connection"
            ) from None
        except BaseException:
            connection.close()
            raise
        return connection

    # State.

    @property
    def usable(self) -> bool:
        """Whether it takes new requests."""
        return not self.cut and not self._retired and time.monotonic() < self._old_at

    @property
    def cut(self) -> bool:
        """Whether nothing can be sent on it any more."""
        return self._closed or self._ssh.is_closed()

    @property
    def idle(self) -> bool:
        return self._users == 0

    @property
    def in_flight(self) -> int:
        return sum(channel.load for channel in self._channels())

    @property
    def channel_count(self) -> int:
        return len(self._channels())

    @property
    def stream_count(self) -> int:
        return sum(channel.reserved for channel in self._streams)

    @property
    def over(self) -> bool:
        """Whether it should be closed: idle for too long, or not used any more by anybody."""
        if not self.idle:
            return False
        return not self.usable or time.monotonic() - self.last_used > self._idle_seconds

    # Channels.

    @asynccontextmanager
    async def shared_channel(self, size: int, *, affinity: str = "") -> AsyncIterator[Channel]:
        """A channel for a command with a payload of ``size`` bytes; others may use it at the same time.

        Args:
            affinity: commands with the same one get the same channel, as long as it has room.

        Raises:
            ChannelLost: the connection was cut.
            LoginRefused: the filter does not start any more.
        """
        with self._use():
            channel = await self._reserve_shared(size, affinity)
            try:
                yield channel
            finally:
                channel.release(size)

    @asynccontextmanager
    async def stream_channel(self) -> AsyncIterator[Channel]:
        """A channel for a download, alone.

        Raises:
            ChannelLost, LoginRefused, SystemUnreachable.
        """
        with self._use():
            channel = await self._reserve_stream()
            try:
                yield channel
            finally:
                channel.release(0)

    async def _reserve_shared(self, size: int, affinity: str) -> Channel:
        called = False
        try:
            while True:
                self._check_open()
                channels = self._ready(self._shared)
                least = min(channels, key=lambda channel: channel.load, default=None)
                if least is None:
                    await self._need_shared()
                    continue
                if least.load >= _QUEUE and self._may_open(len(channels)):
                    self._open_shared()  # not waited for: what is there serves until then
                if least.has_room(size) and (called or not self._shared_line):
                    chosen = _preferred(channels, affinity) if affinity else least
                    if not chosen.has_room(size):
                        chosen = least
                    chosen.reserve(size)
                    return chosen
                await self._shared_line.wait(in_front=called)
                called = True
        finally:
            if called:
                self._shared_line.call()  # there may be room for another

    async def _reserve_stream(self) -> Channel:
        called = False
        try:
            while True:
                self._check_open()
                channels = self._ready(self._streams)
                if called or not self._stream_line:
                    for channel in channels:
                        if channel.load == 0:
                            channel.reserve(0)
                            return channel
                    if len(channels) + self._opening_streams < self._settings.streams:
                        return await self._add_stream()
                await self._stream_line.wait(in_front=called)
                called = True
        finally:
            if called:
                self._stream_line.call()

    async def _need_shared(self) -> None:
        try:
            await result_of(self._open_shared(), cancelled=ChannelLost("the connection was cut"))
        except LoginRefused:
            self.retire()  # the next request finds out with a new connection
            raise

    async def _add_stream(self) -> Channel:
        self._opening_streams += 1
        try:
            channel = await self._open_channel()
        except BaseException:
            self._stream_line.call()
            raise
        finally:
            self._opening_streams -= 1
        channel.reserve(0)
        self._streams.append(channel)
        return channel

    def _may_open(self, count: int) -> bool:
        return count < self._settings.channels and time.monotonic() >= self._no_more_until

    def _open_shared(self) -> asyncio.Task[Channel]:
        """Open one more shared channel; one at a time."""
        if self._opening is None:  # until it is among the channels: done is not yet counted
            self._opening = asyncio.create_task(self._open_channel())
            self._tasks.add(self._opening)
            self._opening.add_done_callback(self._opened)
        return self._opening

    def _opened(self, task: asyncio.Task[Channel]) -> None:
        self._opening = None
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and error is None:
            self._shared.append(task.result())
        elif error is not None:
            self._no_more_until = time.monotonic() + _NO_MORE_SECONDS
            _LOG.warning("ssh.channel.none", host=self.key.endpoint.name, user=self.key.user, reason=str(error))
        self.changed()

    async def _open_channel(self) -> Channel:
        channel = Channel(changed=self.changed)
        try:
            async with asyncio.timeout(self._settings.hello_seconds):
                # Not cancelled with us: asyncssh would then forget the channel that sshd opens, and sshd would not.
                session = asyncio.ensure_future(
                    self._ssh.create_session(
                        lambda: channel,
                        _COMMAND,
                        encoding=None,
                        request_pty=False,
                        window=self._settings.window_bytes,
                        max_pktsize=_PACKET,
                    )
                )
                session.add_done_callback(mark_retrieved)
                await asyncio.shield(session)
                hello = await channel.greeting()
            self._check_hello(hello)
        except BaseException as error:
            channel.close()
            if isinstance(error, Exception):
                raise self._not_opened(error, channel) from None
            raise
        return channel

    def _not_opened(self, error: Exception, channel: Channel) -> Exception:
        """What it means that no channel could be opened, in words for people."""
        host, user = f"login host {self.key.endpoint.name}", self.key.user
        hint = _hint(channel)
        if self._ssh.is_closed():
            return ChannelLost("the connection was cut")
        match error:
            case TimeoutError():
                seconds = self._settings.hello_seconds
                return LoginRefused(f"{host} let {user} in, but ssh-filter did not answer within {seconds:g} s{hint}")
            case UnusableHello():
                return AccountRefused(f"{host}, as {user}: {error}")
            case NoHello():
                return AccountRefused(f"ssh-filter on {host}, as {user}: {error}{hint}")
            case asyncssh.Error():
                return LoginRefused(f"{host} opens no channel for {user}: {error.reason}")
        return error

    def _check_hello(self, hello: Hello) -> None:
        if hello.system != self.key.system:
            raise NoHello(f"the node says that it belongs to system {hello.system!r}, not to {self.key.system!r}")
        if hello.user != self.key.user:
            raise NoHello(f"it runs as {hello.user!r}")

    def _ready(self, channels: list[Channel]) -> list[Channel]:
        """Those that take requests. What was idle for long is not trusted: the filter may be ending it just now."""
        now = time.monotonic()
        for channel in channels:
            if channel.usable and not channel.load and now - channel.last_used > self._idle_seconds:
                channel.retire()
        channels[:] = [channel for channel in channels if not channel.ended]
        return [channel for channel in channels if channel.usable]

    def _channels(self) -> list[Channel]:
        return [channel for channel in (*self._shared, *self._streams) if not channel.ended]

    # Waiting.

    def changed(self) -> None:
        """A request is over, a channel was opened or has ended."""
        self._shared_line.call()
        self._stream_line.call()

    def _check_open(self) -> None:
        if self.cut:
            raise ChannelLost("the connection was cut")

    def _use(self) -> _Use:
        return _Use(self)

    # Ending.

    def prune(self) -> None:
        """End channels that were idle for too long."""
        self._ready(self._shared)
        self._ready(self._streams)

    def retire(self) -> None:
        """Take no new requests."""
        self._retired = True

    def close(self) -> None:
        """End it now; requests under way are lost."""
        if self._closed:
            return
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        self._ssh.close()
        self._shared_line.call_all()
        self._stream_line.call_all()

    async def wait_closed(self) -> None:
        await self._ssh.wait_closed()

    def abort(self) -> None:
        """End it without a goodbye."""
        self.close()
        self._ssh.abort()


class _Use:
    """While it is entered, the connection is not idle."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection._users += 1

    def __exit__(self, *_: object) -> None:
        self._connection._users -= 1
        self._connection.last_used = time.monotonic()


def _hint(channel: Channel) -> str:
    """What came before the filter could say hello: the user's login shell, which sshd starts it through (T4)."""
    if channel.hello is not None or channel.filter_spoke:
        return ""
    said = printable(channel.noise)
    instead = f". Other output came instead ({said})" if said else ""
    return (
        f"{instead}: their login shell may be none (nologin), or the user's start-up files (.bashrc, .profile) print, ask, "
        "wait or end the shell: they should do so for interactive shells only"
    )


def _preferred(channels: Sequence[Channel], affinity: str) -> Channel:
    """The same one for the same affinity, while it is there; each gets about as many (rendezvous hashing)."""
    return max(channels, key=lambda channel: zlib.crc32(f"{channel.sid}{affinity}".encode()))


def _jittered(seconds: float, chance: Callable[[], float] = random.random) -> float:
    """Give or take a tenth, so that connections opened together do not end together."""
    return seconds * (0.9 + 0.2 * chance())
