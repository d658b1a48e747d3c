"""Stand-ins for what cannot be had without a cluster: tokens, delegation, login nodes. Each holds what it was asked."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from goldcrest.authority import Basis, ByToken
from goldcrest.commands import Checksum, Command, MakeDirectory, ReadFile, StatFile, WhoAmI, WriteFile
from goldcrest.errors import CommandFailed, GoldcrestError, Unauthenticated
from goldcrest.models.system import SystemSpec
from goldcrest.ssh import Answer
from goldcrest.telemetry import Trace


@dataclass(frozen=True)
class Person:
    """A verified identity."""

    username: str
    issuer: str = "https://issuer.example"
    systems: frozenset[str] | None = None
    expires: int = 2**40
    client: str = ""

    @property
    def subject(self) -> str:
        return f"subject-of-{self.username}"


@dataclass
class Tokens:
    """Accepts ``token-<user>``; ``bad-<code>`` is refused with that code."""

    unavailable: GoldcrestError | None = None
    systems: frozenset[str] | None = None
    expires: int = 2**40

    async def verify(self, token: str) -> Person:
        if self.unavailable is not None:
            raise self.unavailable
        if token.startswith("token-"):
            return Person(token.removeprefix("token-"), systems=self.systems, expires=self.expires)
        if token.startswith("bad-scope-"):
            scope = token.removeprefix("bad-scope-")
            raise Unauthenticated(f"Scope '{scope}' wasn't found in JWT", code="MissingScope")
        raise Unauthenticated("not valid", code=token.removeprefix("bad-"))

    async def close(self) -> None:
        pass


@dataclass
class Delegation:
    """Grants everything unless told otherwise."""

    refusal: GoldcrestError | None = None
    granted: list[dict[str, Any]] = field(default_factory=list)
    acted: list[str] = field(default_factory=list)
    """Route of each action grant."""

    async def grant(
        self, *, token: str, route: str, kind: str, namespace: str, name: str, spec: Mapping[str, Any], trace: str
    ) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.granted.append(
            {"token": token, "route": route, "namespace": namespace, "name": name, "spec": dict(spec), "trace": trace}
        )
        return f"grant-for-{name}"

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
    ) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.acted.append(route)
        return f"action-grant-for-{uid}-{field}-{value}"


ATTRIBUTES = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime")


@dataclass
class LoginNode:
    """A file system in memory, and what is wrong with the node."""

    files: dict[str, bytes] = field(default_factory=dict)
    home: object = ""  # what it says of everybody's; empty: the usual one
    grown: dict[str, int] = field(default_factory=dict)
    """Bytes that a file gets between a look at it and reading it."""
    directories: set[str] = field(default_factory=set)
    refusal: GoldcrestError | None = None
    """Every command fails so."""
    failures: dict[str, GoldcrestError] = field(default_factory=dict)
    """Commands of this operation fail so."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Operation and user of each command."""
    routes: list[str] = field(default_factory=list)
    """REST route that each was asked for on."""
    traces: list[Trace] = field(default_factory=list)

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
        assert isinstance(basis, ByToken)
        assert seconds is not None
        self.asked.append((command.op, user))
        self.routes.append(basis.route)
        self.traces.append(trace)
        failure = self.refusal or self.failures.get(command.op)
        if failure is not None:
            raise failure
        match command:
            case WhoAmI():
                said = {
                    "user": user,
                    "uid": 1000,
                    "gid": 1000,
                    "groups": [],
                    "home": f"/home/{user}" if self.home == "" else self.home,
                }
                return Answer(said)
            case StatFile(path=path, dereference=dereference):
                size = 4096 if path in self.directories else len(self._content(path))
                attributes = {name: number for number, name in enumerate(ATTRIBUTES)}
                return Answer({**attributes, "mode": 0o100644 if dereference else 0o120777, "size": size})
            case ReadFile(path=path, offset=offset, length=length):
                content = self._content(path) + b"x" * self.grown.get(path, 0)
                data = content[offset : offset + length]
                return Answer({"size": len(data), "fileSize": len(content)}, data=data)
            case Checksum(path=path, limit=limit):
                content = self._content(path)
                if len(content) > limit:
                    raise CommandFailed("the file is larger than the limit", kind="limit")
                return Answer({"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)})
            case MakeDirectory(path=path):
                self.directories.add(path)
                return Answer({})
            case WriteFile(path=path, overwrite=overwrite):
                if path in self.files and not overwrite:
                    raise os_error("EEXIST", path)
                self.files[path] = payload
                return Answer({"size": len(payload), "sha256": hashlib.sha256(payload).hexdigest()})
        raise AssertionError(f"the gateway asked for {command.op}")

    async def stream(self, command: ReadFile, **_: Any) -> AsyncGenerator[bytes, None]:
        """Pieces of a kibibyte."""
        content = self._content(command.path)
        for start in range(0, len(content), 1024):
            yield content[start : start + 1024]

    def _content(self, path: str) -> bytes:
        if path in self.directories:
            raise os_error("EISDIR", path)
        if path not in self.files:
            raise os_error("ENOENT", path)
        return self.files[path]


def os_error(name: str, path: str) -> CommandFailed:
    """What a node says when a system call fails."""
    return CommandFailed(f"{name} on {path}", kind="os", errno_name=name, path=path)
