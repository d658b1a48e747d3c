"""One command on its way: how far it came, and whether it may be tried again. No I/O but a short pause."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

from goldcrest.authority import Basis
from goldcrest.commands.base import Command
from goldcrest.errors import AnswerLost, CommandRefused, OldFilter, SystemUnreachable, TooLarge
from goldcrest.models.system import SystemSpec
from goldcrest.ssh.channel import Channel, Progress
from goldcrest.ssh.connection import Connection
from goldcrest.ssh.requests import ChannelLost
from goldcrest.telemetry import Log, Trace

_LOG = Log(__name__)

# Refusals of a certificate that was good when it was made: its channel is ending, or its minute was over, before it
# arrived. Nothing was done, so a new certificate is tried, once.
_STALE: Final = frozenset({"session-id", "replay", "expired", "busy"})
_PAUSE_SECONDS: Final = 0.1

# How often a command is started anew although nothing had been sent, because its channel ended just then.
_FRESH_STARTS: Final = 3


@dataclass(slots=True)
class Attempt:
    """What is asked for, and what has happened to it so far."""

    command: Command
    system: str
    spec: SystemSpec
    user: str
    basis: Basis
    trace: Trace

    progress: Progress = field(default_factory=Progress)
    where: str = ""
    """``address:port``, once a host was found."""
    cut: Connection | None = None
    """A connection that was found to be cut."""
    _fresh_starts: int = _FRESH_STARTS
    _repeated: bool = False
    _renewed: bool = False

    def check_allowed(self, channel: Channel, size: int) -> None:
        """Whether the node will take it, as far as its hello says: asked before a certificate is made.

        Raises:
            CommandRefused: the operation is not enabled there.
            OldFilter: it lacks a feature that the command needs.
            TooLarge: the payload.
        """
        hello = channel.hello
        if hello is None:
            return
        if self.command.op not in hello.operations:
            raise CommandRefused(
                f"{self.command.op} is not enabled on login host {self.where} (ssh-filter {hello.version})",
                reason="operation",
            )
        if self.command.needs and self.command.needs not in hello.features:
            raise OldFilter(
                f"ssh-filter {hello.version} on login host {self.where} is older than {self.command.op} of this release"
            )
        limit = hello.limits.payload
        if self.command.streams_payload and hello.limits.stream is not None:
            limit = hello.limits.stream
        if size > limit:
            raise TooLarge(f"{size} bytes are more than login host {self.where} takes ({limit})")

    def lost(self, lost: ChannelLost, connection: Connection | None) -> None:
        """The channel ended. Returns when the command may be tried again.

        Raises:
            SystemUnreachable, AnswerLost: when not.
        """
        if connection is not None and connection.cut:
            self.cut = connection
        if not self.progress.sent:
            self._fresh_starts -= 1
            again = self._fresh_starts > 0
        else:
            again = self.command.idempotent and not self._repeated
            self._repeated = True
        reason = (connection.ended_because if connection is not None else "") or lost.reason
        if not again:
            raise self.unanswered(reason) from None
        _LOG.info("ssh.again", op=self.command.op, user=self.user, host=self.where, reason=reason)

    async def refused(self, refused: CommandRefused, channel: Channel | None) -> None:
        """The node refused. Returns when a new certificate may help.

        Raises:
            CommandRefused: when not.
        """
        if self._renewed or refused.reason not in _STALE:
            raise refused
        self._renewed = True
        if channel is not None and refused.reason != "expired":
            channel.retire()
        _LOG.info("ssh.renewed", op=self.command.op, user=self.user, host=self.where, reason=refused.reason)
        await asyncio.sleep(_PAUSE_SECONDS * random.random())  # noqa: S311 - no secret

    def unanswered(self, reason: str) -> SystemUnreachable:
        """The error that no answer means."""
        what = f"{self.command.op} as {self.user} on {self.where or f'system {self.system}'}: {reason}"
        if self.progress.sent and not self.command.idempotent:
            return AnswerLost(f"{what}. It had been sent, so it may have taken effect")
        return SystemUnreachable(what)
