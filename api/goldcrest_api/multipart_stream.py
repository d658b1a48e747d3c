"""A form with one file, read as a stream: the file goes on piece by piece, only the fields are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from goldcrest.errors import InvalidInput, TooLarge
from goldcrest_api.body import bounded, check_charset

FRAMING: Final = 64 * 1024  # bytes of a body beside its file: boundaries, heads of parts, fields
_SLOWEST: Final = 128 * 1024  # bytes a second of a client that is waited for
_FIELD: Final = 16 * 1024  # bytes of one field: a path has 4096, and some characters become longer

Sink = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """What a form held beside the file's bytes."""

    fields: dict[str, str]
    file_name: str | None
    """As the client gave it; None: there was no file."""


@dataclass(slots=True)
class _Part:
    name: str = ""
    file_name: str | None = None
    content: bytearray = field(default_factory=bytearray)


async def receive(request: Request, sink: Sink, *, name: str, limit: int, fields: int, seconds: float) -> Received:
    """Read ``multipart/form-data``; the first file called ``name`` goes to ``sink`` as it comes, others are thrown away.

    A body of another kind has neither fields nor files.

    Args:
        limit: bytes of the file.
        fields: number of parts.
        seconds: between two pieces of the body, at most; all of it may take longer, at 128 KiB a second.

    Raises:
        TooLarge: the file, or all that is beside it.
        InvalidInput: no valid form, cut before its end, not in UTF-8, or the client stopped sending.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    reader = _Reader(boundary, name=name, parts=fields) if kind == b"multipart/form-data" and boundary else None
    if kind == b"multipart/form-data" and not boundary:
        raise InvalidInput("the form cannot be read: its Content-Type names no boundary")
    size = 0
    try:
        check_charset(request)
        pieces = bounded(request, limit + FRAMING)
        async with asyncio.timeout(seconds + limit / _SLOWEST):
            while True:
                async with asyncio.timeout(seconds):
                    chunk = await anext(pieces, None)
                if chunk is None:
                    break
                for piece in reader.feed(chunk) if reader is not None else ():
                    size += len(piece)
                    if size <= limit:
                        await sink(piece)
        if size > limit:  # only now, so that the client has sent all and reads the answer
            raise TooLarge(f"the file has more than {limit} bytes")
        return reader.end() if reader is not None else Received({}, None)
    except (FormParserError, UnicodeError) as error:
        raise InvalidInput(f"the form cannot be read: {error}") from error
    except TimeoutError as error:
        raise InvalidInput(
            f"the request's body did not arrive in time; {seconds:g} seconds without a byte are the most"
        ) from error
    except ClientDisconnect as error:
        raise InvalidInput("the client closed the connection before the request's body was complete") from error


def _text(name: bytes) -> str:
    # Bytes that are no text become what no file name may have, so that the answer speaks of the name.
    return name.decode("utf-8", "surrogateescape")


class _Reader:
    """Turns python-multipart's callbacks into pieces of the file. No I/O."""

    def __init__(self, boundary: bytes, *, name: str, parts: int) -> None:
        self._name = name
        self._parts_left = parts
        self._fields: dict[str, str] = {}
        self._file_name: str | None = None
        self._part = _Part()
        self._in_file = False
        self._header = (bytearray(), bytearray())
        self._pieces: list[bytes] = []
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[bytes]:
        """Pieces of the file that this part of the body holds.

        Raises:
            InvalidInput, FormParserError, UnicodeError
        """
        self._parser.write(chunk)
        pieces, self._pieces = self._pieces, []
        return pieces

    def end(self) -> Received:
        """
        Raises:
            InvalidInput: the closing boundary did not come.
        """
        if not self._ended:
            raise InvalidInput("the form cannot be read: it ends before its closing boundary")
        return Received(self._fields, self._file_name)

    def _part_begin(self) -> None:
        self._parts_left -= 1
        if self._parts_left < 0:
            raise InvalidInput("the form has too many fields")
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        key, value = bytes(self._header[0]), bytes(self._header[1])
        self._header = (bytearray(), bytearray())
        if key.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._part.name = options.get(b"name", b"").decode()
        self._part.file_name = _text(options[b"filename"]) if b"filename" in options else None

    def _headers_finished(self) -> None:
        part = self._part
        self._in_file = part.name == self._name and part.file_name is not None and self._file_name is None
        if self._in_file:
            self._file_name = part.file_name

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])
        elif self._part.file_name is None:
            self._part.content.extend(data[start:end])
            if len(self._part.content) > _FIELD:
                raise InvalidInput(f"field {self._part.name!r} has more than {_FIELD} bytes")

    def _part_end(self) -> None:
        if not self._in_file and self._part.file_name is None:
            self._fields.setdefault(self._part.name, self._part.content.decode())
        self._in_file = False

    def _end(self) -> None:
        self._ended = True
