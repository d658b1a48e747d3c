"""What every typed command has: an operation, canonical arguments, a payload digest, and whether it may be repeated."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from goldcrest.canonical import Json, sha256_hex
from goldcrest.commands.names import name_bytes
from goldcrest.errors import InvalidInput

PATH_LIMIT = 4096  # bytes, PATH_MAX of Linux
TOKEN = re.compile(r"goldcrest:[0-9a-f]{8}:[0-9a-f]{32}")
SHA256 = re.compile(r"[0-9a-f]{64}")
JOB_ID = re.compile(r"[0-9]{1,20}(_[0-9]{1,10})?")


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes that travel beside the arguments; their digest and size are what is signed, or the most bytes where these are not known yet."""

    sha256: str
    """Empty: not known before all has been sent, see :meth:`streamed`."""
    size: int
    """Bytes; at most, where the digest is not known."""

    @classmethod
    def of(cls, data: bytes) -> Payload:
        return cls(sha256_hex(data), len(data))

    @classmethod
    def streamed(cls, most: int) -> Payload:
        """One that is sent on as it comes: its size follows it (END of docs/protocol.md), and the node says its digest.

        Args:
            most: bytes.
        """
        return cls("", most)

    @property
    def is_streamed(self) -> bool:
        return not self.sha256

    def dump(self) -> dict[str, Json]:
        return {"stream": self.size} if self.is_streamed else {"sha256": self.sha256, "size": self.size}


class Command:
    """Base of all typed commands. Subclasses are frozen dataclasses with the arguments as fields."""

    __slots__ = ()

    op: ClassVar[str]
    """Name of the operation, e.g. ``fs.stat``."""
    idempotent: ClassVar[bool] = False
    """Whether it may be repeated when the answer was lost."""
    sends_content: ClassVar[bool] = False
    """Whether its DATA is content, apart from the result. Else it is the beginning of a result too long for one frame."""
    streams_payload: ClassVar[bool] = False
    """Whether the node uses the payload as it arrives, so that it may be larger than what a node holds."""
    needs: ClassVar[str] = ""
    """Feature of a filter's hello (docs/protocol.md) without which it would not carry it out, or not as it is meant."""

    @abstractmethod
    def args(self) -> dict[str, Json]:
        """Arguments in the form of docs/protocol.md: no nulls, no floats."""

    @classmethod
    @abstractmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        """Validate arguments that came from outside.

        Raises:
            InvalidInput: naming the argument.
        """

    @property
    def payload(self) -> Payload | None:
        """Digest and size of the payload, when there is one."""
        return None

    @property
    def affinity(self) -> str:
        """Commands with the same one are best carried out by the same filter, which knows of the first what the next ones need."""
        return ""

    @property
    def content_limit(self) -> int:
        """Bytes of content that are asked for at most; more is a breach of the protocol. 0 for operations without."""
        return 0

    def body(self, *, system: str, user: str, sid: str) -> dict[str, Json]:
        """What goes into the certificate's force-command (T2)."""
        return {
            "kind": "command",
            "system": system,
            "user": user,
            "op": self.op,
            "args": self.args(),
            "payload": self.payload.dump() if self.payload else {},
            "sid": sid,
        }


def session_body(*, system: str, user: str) -> dict[str, Json]:
    """What goes into a certificate that opens a connection and nothing else (T2)."""
    return {"kind": "session", "system": system, "user": user, "op": "session", "args": {}, "payload": {}}


_C = TypeVar("_C", bound=type[Command])
_REGISTRY: dict[str, type[Command]] = {}


def register(cls: _C) -> _C:
    """Class decorator: make the operation known to :func:`command_from`."""
    if cls.op in _REGISTRY:
        raise ValueError(f"operation {cls.op} is defined twice")
    _REGISTRY[cls.op] = cls
    return cls


def operations() -> Mapping[str, type[Command]]:
    """All operations by name."""
    return _REGISTRY


def command_from(op: str, args: Mapping[str, Any], payload: Payload | None = None) -> Command:
    """Build the typed command for ``op``, validating everything.

    Raises:
        InvalidInput: unknown operation or invalid argument.
    """
    cls = _REGISTRY.get(op)
    if cls is None:
        raise InvalidInput(f"unknown operation {op!r}")
    if payload is not None and payload.is_streamed and not cls.streams_payload:
        raise InvalidInput(f"{op}: digest and size of the payload are missing")
    command = cls.from_args(args, payload)
    if command.args() != dict(args):
        raise InvalidInput(f"arguments of {op} are not in their canonical form")
    return command


class Arguments:
    """Reads arguments one by one, and refuses what is left over."""

    def __init__(self, op: str, args: Mapping[str, Any]) -> None:
        self._op = op
        self._left = dict(args)

    def take(self, name: str, kind: type, *, optional: bool = False) -> Any:
        if name not in self._left:
            if optional:
                return None
            raise InvalidInput(f"{self._op}: argument {name!r} is missing")
        value = self._left.pop(name)
        if type(value) is not kind:  # bool is an int for isinstance
            raise InvalidInput(f"{self._op}: argument {name!r} must be {kind.__name__}, not {type(value).__name__}")
        return value

    def done(self) -> None:
        if self._left:
            raise InvalidInput(f"{self._op}: unknown argument {sorted(self._left)[0]!r}")


def check_path(path: str, *, name: str = "path") -> str:
    """An absolute path without NUL and without ``..`` components, at most 4096 bytes.

    Raises:
        InvalidInput: naming what is wrong.
    """
    if not path.startswith("/"):
        raise InvalidInput(f"{name} {path!r} is not absolute")
    if "\0" in path:
        raise InvalidInput(f"{name} has a NUL character")
    if len(path.encode("utf-8", "surrogatepass")) > PATH_LIMIT:
        raise InvalidInput(f"{name} is longer than {PATH_LIMIT} bytes")
    if ".." in path.split("/"):
        raise InvalidInput(f"{name} {path!r} has a '..' component")
    return path


def check_file(path: str, *, name: str = "path") -> str:
    """A path of a file operation: absolute, or relative to the home folder; without NUL and ``..`` components, at most 4096 bytes.

    Names that are not UTF-8 are written as :mod:`goldcrest.commands.names` says.

    Raises:
        InvalidInput: naming what is wrong.
    """
    if not path:
        raise InvalidInput(f"{name} is empty")
    if "\0" in path:
        raise InvalidInput(f"{name} has a NUL character")
    if len(name_bytes(path)) > PATH_LIMIT:
        raise InvalidInput(f"{name} is longer than {PATH_LIMIT} bytes")
    if ".." in path.split("/"):
        raise InvalidInput(f"{name} {path!r} has a '..' component")
    return path


def check_token(token: str) -> str:
    if not TOKEN.fullmatch(token):
        raise InvalidInput(f"{token!r} is not a submission token")
    return token


def check_job_id(job_id: str) -> str:
    if not JOB_ID.fullmatch(job_id):
        raise InvalidInput(f"{job_id!r} is not a job id")
    return job_id


def check_number(value: int, *, name: str, least: int = 0, most: int) -> int:
    if not least <= value <= most:
        raise InvalidInput(f"{name} {value} is not between {least} and {most}")
    return value
