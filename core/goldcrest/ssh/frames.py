"""Frames of the wire (docs/protocol.md): bytes in, bytes out, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FRAME_LIMIT: Final = 1024 * 1024 + 64 * 1024  # bytes behind the length field, at most
PIECE: Final = 256 * 1024  # bytes of payload in one frame: large enough for full speed, small enough to interleave
CERTIFICATE_LIMIT: Final = 128 * 1024  # bytes; the command in it has at most 64 KiB (T2)

_LENGTH: Final = 4  # bytes of the length field
_HEAD: Final = 5  # bytes of request id and type, counted by the length field
_START: Final = _LENGTH + _HEAD
_LARGEST_ID: Final = 2**32 - 1
_LONGEST: Final = 2**32 - 1  # milliseconds of a TIMED frame


class FrameType(IntEnum):
    """The type byte behind the request id; the table of docs/protocol.md."""

    REQUEST = 1
    DATA = 2
    CANCEL = 3
    TIMED = 4
    END = 5
    ANSWER = 17
    REFUSED = 18
    ERROR = 19
    CREDIT = 20


_TYPES: Final = {kind.value: kind for kind in FrameType}


class BrokenFrame(ValueError):
    """Bytes that are no frame: nothing that follows on this channel can be told apart."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. ``id`` is the request it belongs to; 0 means the channel itself."""

    id: int
    type: FrameType
    body: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire.

        Raises:
            ValueError: for an id that is no u32, or a body above the limit.
        """
        return self._head() + self.body

    def pieces(self, size: int) -> Iterator[bytes | memoryview]:
        """The same bytes in pieces of ``size``; of a long body the first one alone is copied.

        Raises:
            ValueError: as :meth:`encode`.
        """
        head = self._head()
        first = size - len(head)
        yield head + self.body[:first]
        body = memoryview(self.body)
        for place in range(first, len(body), size):
            yield body[place : place + size]

    def _head(self) -> bytes:
        length = _HEAD + len(self.body)
        if length > FRAME_LIMIT:
            raise ValueError(f"a frame of {length} bytes is longer than {FRAME_LIMIT}")
        if not 0 <= self.id <= _LARGEST_ID:
            raise ValueError(f"{self.id} is no request id")
        return length.to_bytes(4, "big") + self.id.to_bytes(4, "big") + self.type.to_bytes(1, "big")


def request_body(certificate: bytes, payload: bytes = b"") -> bytes:
    """Body of a REQUEST: the certificate in OpenSSH's wire form, and the first bytes of the payload."""
    if not 0 < len(certificate) <= CERTIFICATE_LIMIT:
        raise ValueError(f"{len(certificate)} bytes are no certificate")
    return len(certificate).to_bytes(4, "big") + certificate + payload


def split_request_body(body: bytes) -> tuple[bytes, bytes]:
    """The reverse of :func:`request_body`: certificate and first bytes of the payload.

    Raises:
        BrokenFrame: when the certificate ends behind the body.
    """
    length = int.from_bytes(body[:4], "big")
    if len(body) < 4 or 4 + length > len(body):
        raise BrokenFrame("the certificate ends behind the end of the frame")
    return body[4 : 4 + length], body[4 + length :]


def request_frame(request_id: int, certificate: bytes, payload: bytes = b"", *, seconds: float | None = None) -> Frame:
    """The frame that begins a command: REQUEST, or TIMED with a time for it.

    Args:
        payload: its first bytes.
        seconds: after which the node stops it; at least a millisecond.
    """
    body = request_body(certificate, payload)
    if seconds is None:
        return Frame(request_id, FrameType.REQUEST, body)
    milliseconds = min(max(1, round(seconds * 1000)), _LONGEST)
    return Frame(request_id, FrameType.TIMED, milliseconds.to_bytes(4, "big") + body)


def request_frames(
    request_id: int, certificate: bytes, payload: bytes, *, seconds: float | None = None
) -> Iterator[Frame]:
    """The frames that send a command: REQUEST or TIMED, then DATA until the payload is complete.

    Made one by one, so that a large payload is not held twice and other requests' frames fit in between.
    """
    yield request_frame(request_id, certificate, payload[:PIECE], seconds=seconds)
    yield from data_frames(request_id, payload, start=PIECE)


def data_frames(request_id: int, payload: bytes, *, start: int = 0) -> Iterator[Frame]:
    """DATA frames with the bytes of the payload from ``start`` on."""
    for place in range(start, len(payload), PIECE):
        yield Frame(request_id, FrameType.DATA, payload[place : place + PIECE])


def end_frame(request_id: int, size: int) -> Frame:
    """The frame behind a payload whose size was not signed: what it is, in bytes."""
    return Frame(request_id, FrameType.END, size.to_bytes(8, "big"))


class FrameParser:
    """Finds frames in a stream of bytes that may be cut anywhere. Each byte of a body is copied once, when all of it is there.

    Args:
        limit: bytes of a frame behind its length field; a longer one is an error as soon as its length is known.
    """

    def __init__(self, *, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._start = b""  # of a frame: length, id and type, as far as they are there
        self._parts: list[memoryview] = []  # of its body
        self._left = -1  # bytes of its body that are not there yet; less than none: the start is not complete

    @property
    def pending(self) -> int:
        """Bytes of a frame that has not ended yet."""
        return len(self._start) + sum(map(len, self._parts))

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that are complete now. They must not be changed afterwards.

        Raises:
            BrokenFrame: for a length out of bounds or an unknown type.
        """
        frames: list[Frame] = []
        view, place, end = memoryview(data), 0, len(data)
        while place < end:
            if self._left < 0:
                taken = view[place : place + _START - len(self._start)]
                self._start += taken
                place += len(taken)
                self._left = self._body_size()
                if self._left > 0 or len(self._start) < _START:
                    continue
            part = view[place : place + self._left]
            place += len(part)
            self._left -= len(part)
            self._parts.append(part)
            if not self._left:
                frames.append(_frame(self._start, b"".join(self._parts)))
                self._start, self._parts, self._left = b"", [], -1
        return frames

    def _body_size(self) -> int:
        """Less than none: not known yet."""
        start = self._start
        if len(start) < _LENGTH:
            return -1
        length = int.from_bytes(start[:_LENGTH], "big")
        if not _HEAD <= length <= self._limit:
            raise BrokenFrame(f"a frame of {length} bytes; {_HEAD} to {self._limit} are allowed")
        return length - _HEAD if len(start) == _START else -1


def _frame(start: bytes, body: bytes) -> Frame:
    kind = _TYPES.get(start[_START - 1])  # a third of the time of FrameType(…)
    if kind is None:
        raise BrokenFrame(f"{start[_START - 1]} is no type of a frame")
    return Frame(int.from_bytes(start[_LENGTH : _START - 1], "big"), kind, body)
