"""The filter's hello (docs/protocol.md), found behind whatever a user's start-up files print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from goldcrest.canonical import b64url, b64url_decode
from goldcrest.errors import InvalidInput
from goldcrest.ssh.frames import CERTIFICATE_LIMIT, FRAME_LIMIT, PIECE

PROTOCOL: Final = 1
MARKER: Final = b"GOLDCREST-FILTER "
NOISE_LIMIT: Final = 64 * 1024  # bytes before the marker line
HELLO_LIMIT: Final = 16 * 1024  # bytes of the marker line itself

_LEAST_FRAME: Final = CERTIFICATE_LIMIT + PIECE + 16  # bytes of the largest frame that this client sends
_SID: Final = re.compile(r"[0-9a-f]{32}")


class NoHello(ValueError):
    """What came is not the hello of a filter that this client can talk to. The text is for people."""


class UnusableHello(NoHello):
    """A filter said hello, and this client cannot talk to it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the node takes: bytes of a frame, of a payload, of a result; commands at once on a channel.

    ``stream``: bytes of a payload that is used as it arrives; None of a filter that holds each one first. ``seconds``: of a command; None of
    a filter that takes no shorter time from its client.
    """

    frame: int
    payload: int
    output: int
    commands: int
    stream: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """What a filter says of itself when it starts."""

    version: str
    sid: str
    system: str
    user: str
    operations: frozenset[str]
    limits: Limits
    protocol: tuple[int, ...] = (PROTOCOL,)
    features: frozenset[str] = frozenset()
    """What it can do that older ones of its protocol cannot."""

    def encode(self) -> bytes:
        """The marker line, with the newlines around it."""
        value = {
            "protocol": list(self.protocol),
            "version": self.version,
            "sid": self.sid,
            "system": self.system,
            "user": self.user,
            "operations": sorted(self.operations),
            **({"features": sorted(self.features)} if self.features else {}),
            "limits": {
                "frame": self.limits.frame,
                "payload": self.limits.payload,
                "output": self.limits.output,
                "commands": self.limits.commands,
                **{name: limit for name in ("stream", "seconds") if (limit := getattr(self.limits, name)) is not None},
            },
        }
        return b"\n" + MARKER + b64url(orjson.dumps(value)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Hello:
        """Read the marker line, without its newline.

        Raises:
            UnusableHello: malformed, or no protocol version in common.
        """
        try:
            value = orjson.loads(b64url_decode(line.removeprefix(MARKER).decode("ascii")))
        except (InvalidInput, ValueError):
            raise UnusableHello("the hello of ssh-filter cannot be read") from None
        if not isinstance(value, dict):
            raise UnusableHello("the hello of ssh-filter is no object")
        protocol = _list_of(value, "protocol", int)
        version = _text(value, "version")
        if PROTOCOL not in protocol:
            spoken = ", ".join(map(str, protocol)) or "none"
            raise UnusableHello(f"ssh-filter {version} speaks protocol {spoken}, not {PROTOCOL}: {_too_old(protocol)}")
        sid = _text(value, "sid")
        if not _SID.fullmatch(sid):
            raise UnusableHello("the session id in the hello of ssh-filter is not 32 hexadecimal digits")
        return cls(
            version=version,
            sid=sid,
            system=_text(value, "system"),
            user=_text(value, "user"),
            operations=frozenset(_list_of(value, "operations", str)),
            limits=_limits(value.get("limits")),
            protocol=tuple(protocol),
            features=frozenset(_list_of(value, "features", str)) if "features" in value else frozenset(),
        )


def _too_old(protocol: list[int]) -> str:
    if protocol and max(protocol) < PROTOCOL:
        return "it is too old; run install.sh of a newer release on the login node"
    return "it is newer than this Goldcrest, which must be updated"


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or len(text) > 256:
        raise UnusableHello(f"the hello of ssh-filter has no usable {name!r}")
    return text


def _list_of(value: dict[str, Any], name: str, kind: type) -> list[Any]:
    items = value.get(name)
    if not isinstance(items, list) or not all(type(item) is kind for item in items):
        raise UnusableHello(f"the hello of ssh-filter has no usable {name!r}")
    return items


def _limits(value: object) -> Limits:
    numbers = dict(value) if isinstance(value, dict) else {}
    for name in ("frame", "payload", "output", "commands"):
        if type(numbers.get(name)) is not int or numbers[name] < 1:
            raise UnusableHello(f"the hello of ssh-filter has no usable limit {name!r}")
    if numbers["frame"] < _LEAST_FRAME:
        raise UnusableHello(f"ssh-filter takes frames of {numbers['frame']} bytes only; {_LEAST_FRAME} are needed")
    return Limits(
        frame=min(numbers["frame"], FRAME_LIMIT),
        payload=numbers["payload"],
        output=numbers["output"],
        commands=numbers["commands"],
        stream=_later(numbers, "stream"),
        seconds=_later(numbers, "seconds"),
    )


def _later(numbers: dict[str, Any], name: str) -> int | None:
    """A limit that older filters do not name."""
    value = numbers.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise UnusableHello(f"the hello of ssh-filter has no usable limit {name!r}")
    return value


class HelloFinder:
    """Looks for the first line that begins with the marker, in bytes that may be cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # where the next line to look at begins

    @property
    def noise(self) -> bytes:
        """What has come so far and is no hello: for the message when none comes."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> tuple[Hello, bytes] | None:
        """Take the next bytes; the hello and the bytes behind it, once it is complete.

        Raises:
            NoHello: too much noise, or a hello that cannot be used.
        """
        buffer = self._buffer
        buffer += data
        while self._searched <= NOISE_LIMIT:
            end = buffer.find(b"\n", self._searched)
            if end < 0:
                break
            if buffer.startswith(MARKER, self._searched):
                return Hello.decode(bytes(buffer[self._searched : end])), bytes(buffer[end + 1 :])
            self._searched = end + 1
        begun = buffer.startswith(MARKER, self._searched)
        if self._searched > NOISE_LIMIT or (not begun and len(buffer) > NOISE_LIMIT + len(MARKER)):
            raise NoHello(f"more than {NOISE_LIMIT // 1024} KiB came before ssh-filter's hello")
        if begun and len(buffer) - self._searched > HELLO_LIMIT:
            raise NoHello(f"the hello of ssh-filter is longer than {HELLO_LIMIT} bytes")
        return None
