"""What the gateway needs of its neighbours, as it sees them: the smallest interfaces, so that tests can stand in for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any, Protocol

from goldcrest.authority import Basis
from goldcrest.commands import Command
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Trace


class Identity(Protocol):
    """Who a verified token speaks for."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def username(self) -> str:
        """The Unix user."""

    @property
    def expires(self) -> int:
        """Seconds of the epoch at which the token is no longer valid."""

    @property
    def client(self) -> str:
        """The OAuth client that the token was made for; empty when it does not say."""

    @property
    def systems(self) -> frozenset[str] | None:
        """Systems that the issuer's rule counts for; None for all."""


class TokenVerifier(Protocol):
    """Verifies JWTs (T5)."""

    async def verify(self, token: str) -> Identity:
        """Raises Unauthenticated, with the code of what is wrong, or Unavailable."""

    async def close(self) -> None: ...


class RemoteAnswer(Protocol):
    """What a typed command answered."""

    @property
    def result(self) -> Mapping[str, Any]: ...
    @property
    def data(self) -> bytes: ...


class RemoteCommands(Protocol):
    """Runs typed commands on login hosts (T2, T3)."""

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
    ) -> RemoteAnswer:
        """Raises SystemUnreachable, AnswerLost, HostKeyChanged, CommandRefused, CommandFailed, Denied, Unavailable."""

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
    ) -> RemoteAnswer:
        """Run a command whose payload is used as it arrives. Raises as :meth:`run`."""

    def stream(
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
        """The content that a command gives, as it comes; close it when not all is read. Raises as :meth:`run`."""


class Grants(Protocol):
    """Delegation, as far as resources are concerned (T6)."""

    async def grant(
        self, *, token: str, route: str, kind: str, namespace: str, name: str, spec: Mapping[str, Any], trace: str
    ) -> str: ...

    async def action_grant(
        self,
        *,
        token: str,
        route: str,
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        field: str,
        value: object,
        trace: str,
    ) -> str: ...
