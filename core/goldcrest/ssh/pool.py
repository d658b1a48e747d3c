"""Running typed commands on login nodes: certificate, channel, answer, and what a cut in between means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Collection
from contextlib import AsyncExitStack, aclosing
from typing import Final

from goldcrest.authority import Authority, Basis
from goldcrest.commands.base import Command
from goldcrest.errors import Blocked, CommandRefused, InvalidInput, SystemUnreachable
from goldcrest.measures import Measures
from goldcrest.models.system import SystemSpec
from goldcrest.ssh.answer import Answer, Snapshot
from goldcrest.ssh.attempt import Attempt
from goldcrest.ssh.channel import Channel, Progress, while_moving
from goldcrest.ssh.connection import Connection
from goldcrest.ssh.connections import Connections
from goldcrest.ssh.following import followed
from goldcrest.ssh.keys import EphemeralKey
from goldcrest.ssh.payloads import Pieces
from goldcrest.ssh.requests import ChannelLost
from goldcrest.ssh.settings import SshSettings
from goldcrest.telemetry import Trace

# Bytes of a result without content, at most: ssh-filter's outputLimit is 16 MiB, and JSON makes it a little longer. Less than an answer
# may have, for the user, who can trace the filter, decides what comes.
_RESULT: Final = 24 * 1024 * 1024


class SshPool:
    """Commands as typed, one certificate each, over connections that are opened, shared and closed by need.

    Made once at the start of a process, with a key of its own.

    Args:
        authority: makes the certificates.
        settings: bounds and times.
        measures: what is measured is shown there.
    """

    def __init__(self, authority: Authority, settings: SshSettings, measures: Measures | None = None) -> None:
        self._authority = authority
        self._settings = settings
        self._key = EphemeralKey()
        self._connections = Connections(authority, settings, self._key, measures)
        self._measures = self._connections.measures

    async def run(
        self,
        command: Command,
        *,
        system: str,
        spec: SystemSpec,
        user: str,
        basis: Basis,
        trace: Trace,
        payload: bytes = b"",
        seconds: float | None = None,
        node_seconds: float | None = None,
    ) -> Answer:
        """Run one command and wait for its end.

        Args:
            system: name of the System, as the node knows it.
            spec: login hosts and their pinned keys.
            user: Unix user.
            basis: on what ground certificates are asked for.
            payload: the bytes that ``command.payload`` describes.
            seconds: until the answer, all attempts together; default: the settings' ``command_seconds``.
            node_seconds: for the command on the node, each time: then CommandFailed ``timeout``. Less than ``seconds``, or that comes first.
                Default, and at most: what the node's policy file says.

        Raises:
            SystemUnreachable: no host works, or no answer in time; the command had no effect, or may be repeated.
            AnswerLost: it was sent, and whether it took effect is not known; the command is not idempotent.
            HostKeyChanged: no host works, and one showed a key that is not pinned.
            CommandRefused, CommandFailed: as the node said.
            TooLarge: payload or answer are above a limit.
            InvalidInput: the payload is not the one of the command, or the System's pins cannot be used.
            GoldcrestError: what the authority says: Denied, PolicyUnavailable, DelegationUnavailable, …
        """
        _check_payload(command, payload)
        limit = self._settings.command_seconds if seconds is None else seconds
        with followed(command, self._measures, system=system, user=user, trace=trace) as step:
            attempt = Attempt(command, system, spec, user, basis, step.trace)
            try:
                async with asyncio.timeout(limit):
                    return await self._run(attempt, payload, node_seconds)
            except TimeoutError:
                raise attempt.unanswered(_too_late(attempt, limit)) from None
            finally:
                step.filter_took(attempt.progress)

    async def stream(
        self,
        command: Command,
        *,
        system: str,
        spec: SystemSpec,
        user: str,
        basis: Basis,
        trace: Trace,
        seconds: float | None = None,
        node_seconds: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Run a command that has content (``fs.read``, ``fs.ls`` …) and hand it on as it comes; a slow reader holds the node back.

        Close the iterator (``contextlib.aclosing``) when not all is read, so that the node stops at once.

        Args:
            seconds: without a byte from the node, while the reader waits; the whole may take longer. Default: the
                settings' ``command_seconds``.
            node_seconds: as of :meth:`run`, but not counted while the content comes.

        Raises:
            SystemUnreachable: no host works, or the connection was cut; after the first byte nothing is repeated.
            HostKeyChanged, CommandRefused, CommandFailed, GoldcrestError: as :meth:`run`.
        """
        limit = self._settings.command_seconds if seconds is None else seconds
        with followed(command, self._measures, system=system, user=user, trace=trace, current=False) as step:
            attempt = Attempt(command, system, spec, user, basis, step.trace)
            try:
                async with aclosing(self._stream(attempt, command, limit, node_seconds)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                step.filter_took(attempt.progress)

    async def _stream(
        self, attempt: Attempt, command: Command, limit: float, node_seconds: float | None
    ) -> AsyncGenerator[bytes, None]:
        received = 0
        while True:
            connection: Connection | None = None
            channel: Channel | None = None
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(limit):
                        connection = await self._connection(attempt)
                        channel = await stack.enter_async_context(connection.stream_channel())
                        attempt.check_allowed(channel, 0)
                        certificate = await self._certificate(attempt, channel)
                    pieces = channel.stream(
                        certificate,
                        progress=attempt.progress,
                        most=self._settings.stream_bytes,
                        quiet_seconds=limit,
                        seconds=node_seconds,
                    )
                    async for piece in await stack.enter_async_context(aclosing(pieces)):
                        received += len(piece)
                        if received > command.content_limit:
                            raise ChannelLost("the node sent more than it was asked for")
                        yield piece
                return
            except TimeoutError:
                raise attempt.unanswered(_too_late(attempt, limit)) from None
            except ChannelLost as lost:
                if received and connection is not None and connection.ended_because:
                    raise Blocked(f"{connection.ended_because}; {received} bytes had come") from None
                if received:
                    raise attempt.unanswered(f"{lost.reason}, after {received} bytes") from None
                attempt.lost(lost, connection)
            except CommandRefused as refused:
                if received:
                    raise
                await attempt.refused(refused, channel)

    async def upload(
        self,
        command: Command,
        pieces: AsyncIterable[bytes],
        *,
        system: str,
        spec: SystemSpec,
        user: str,
        basis: Basis,
        trace: Trace,
        seconds: float | None = None,
        node_seconds: float | None = None,
    ) -> Answer:
        """Run a command whose payload the node uses as it arrives (``fs.write``), and ask for its pieces only as fast as the node takes
        them, so that neither side holds much. It has a channel of its own. Pieces that were asked for are gone: nothing is repeated then.

        Args:
            pieces: the bytes that ``command.payload`` describes, in pieces of any size. With a streamed payload they are whatever comes, up
                to its most.
            seconds: without a piece sent, and until the answer behind the last one; the whole may take longer. Default: the settings'
                ``command_seconds``.
            node_seconds: for all of it on the node. Default, and at most: what the node's policy file says.

        Raises:
            OldFilter: the node's filter does not know such a command. No piece was asked for.
            As :meth:`run`. Whatever ``pieces`` raises ends the command, and leaves nothing on the node.
        """
        limit = self._settings.command_seconds if seconds is None else seconds
        with followed(command, self._measures, system=system, user=user, trace=trace) as step:
            attempt = Attempt(command, system, spec, user, basis, step.trace)
            try:
                return await self._upload(attempt, command, pieces, limit, node_seconds)
            finally:
                step.filter_took(attempt.progress)

    async def _upload(
        self,
        attempt: Attempt,
        command: Command,
        pieces: AsyncIterable[bytes],
        limit: float,
        node_seconds: float | None,
    ) -> Answer:
        outgoing = Pieces(pieces, command)
        while True:
            connection: Connection | None = None
            channel: Channel | None = None
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(limit):
                        connection = await self._connection(attempt)
                        channel = await stack.enter_async_context(connection.stream_channel())
                        attempt.check_allowed(channel, outgoing.known)
                        outgoing.bound(channel.hello.limits.stream if channel.hello else None)
                        certificate = await self._certificate(attempt, channel)
                    attempt.progress.step = "sending"
                    call = channel.call(
                        certificate,
                        outgoing,
                        progress=attempt.progress,
                        most=_most(command, self._settings),
                        data_is_result=True,
                        seconds=node_seconds,
                    )
                    result, _ = await while_moving(call, attempt.progress, limit, excused=lambda: outgoing.waits)
                return Answer(result, b"", connection.key.endpoint.name)
            except TimeoutError:
                raise attempt.unanswered(_too_late(attempt, limit)) from None
            except ChannelLost as lost:
                if outgoing.begun and not attempt.progress.sent:
                    raise SystemUnreachable(
                        f"{attempt.unanswered(lost.reason).message}, while the payload was sent"
                    ) from None
                if outgoing.begun:
                    raise attempt.unanswered(lost.reason) from None
                attempt.lost(lost, connection)
            except CommandRefused as refused:
                if outgoing.begun:
                    raise
                await attempt.refused(refused, channel)

    def end_sessions(self, users: Collection[str], *, reason: str) -> int:
        """End the sessions of Unix users now; how many there were.

        What is under way on them is begun anew where that is harmless, so that the authority decides on it: what it does not sign any
        more ends with its refusal. A stream of which a part was handed on ends with Blocked, and what may have taken effect with AnswerLost.

        Args:
            reason: for people, e.g. ``the site blocked this user``.
        """
        return self._connections.end_sessions(users, reason=reason)

    async def close(self) -> None:
        """End all connections. Commands under way end with SystemUnreachable or AnswerLost."""
        await self._connections.close()

    def snapshot(self) -> Snapshot:
        """Counts of this moment, for metrics."""
        return self._connections.snapshot()

    async def _run(self, attempt: Attempt, payload: bytes, node_seconds: float | None) -> Answer:
        while True:
            connection: Connection | None = None
            channel: Channel | None = None
            try:
                connection = await self._connection(attempt)
                # What is written as it arrives takes no memory there that others would wait for.
                held = 0 if attempt.command.streams_payload else len(payload)
                async with connection.shared_channel(held, affinity=attempt.command.affinity) as channel:
                    attempt.check_allowed(channel, len(payload))
                    certificate = await self._certificate(attempt, channel)
                    attempt.progress.step = "sending"
                    result, data = await channel.call(
                        certificate,
                        payload,
                        progress=attempt.progress,
                        most=_most(attempt.command, self._settings),
                        data_is_result=not attempt.command.sends_content,
                        seconds=node_seconds,
                    )
                return Answer(result, data, connection.key.endpoint.name)
            except ChannelLost as lost:
                attempt.lost(lost, connection)
            except CommandRefused as refused:
                await attempt.refused(refused, channel)

    async def _connection(self, attempt: Attempt) -> Connection:
        attempt.progress = Progress()
        connection = await self._connections.get(
            system=attempt.system,
            spec=attempt.spec,
            user=attempt.user,
            basis=attempt.basis,
            trace=attempt.trace,
            avoid=attempt.cut,
        )
        attempt.cut = None
        attempt.where = connection.key.endpoint.name
        attempt.progress.step = "waiting for a channel"
        return connection

    async def _certificate(self, attempt: Attempt, channel: Channel) -> bytes:
        attempt.progress.step = "waiting for a certificate"
        return await self._authority.command_certificate(
            attempt.command,
            public_key=self._key.public,
            system=attempt.system,
            user=attempt.user,
            sid=channel.sid,
            basis=attempt.basis,
            trace=attempt.trace.header,
        )


def _most(command: Command, settings: SshSettings) -> int:
    """Bytes of data that the answer may have."""
    return min(command.content_limit if command.sends_content else _RESULT, settings.answer_bytes)


def _too_late(attempt: Attempt, seconds: float) -> str:
    return f"no answer within {seconds:g} s, while {attempt.progress.step}"


def _check_payload(command: Command, payload: bytes) -> None:
    """Its digest is checked on the node; a wrong size would leave the node waiting."""
    if command.payload is not None and command.payload.is_streamed:
        raise InvalidInput(f"{command.op}: a payload whose digest is not known is sent by upload()")
    expected = command.payload.size if command.payload else 0
    if len(payload) != expected:
        raise InvalidInput(f"{command.op}: the payload has {len(payload)} bytes, not {expected}")
