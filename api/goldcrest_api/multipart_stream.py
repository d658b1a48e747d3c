"""A form with one file, read as a stream: the file goes on piece by piece, only the fields are kept."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from goldcrest.errors import GoldcrestError, InvalidInput, TooLarge
from goldcrest_api.body import Body, check_charset

_FRAMING: Final = 64 * 1024  # bytes of a body beside its file: boundaries, heads of parts, fields
_SLOWEST: Final = 128 * 1024  # bytes a second of a client that is waited for
_FIELD: Final = 16 * 1024  # bytes of one field: a path has 4096, and some characters become longer


class IncomingForm:
    """``multipart/form-data``, of which no more is read than is asked for, so that the client is held back.

    The first file called ``name`` is handed on, others are thrown away. A body of another kind has neither fields nor files.

    Args:
        limit: bytes of the file.
        fields: number of parts.
        seconds: that the client is waited for between two pieces of the body; all together as many, and one for each 128 KiB of the limit.
    """

    def __init__(self, request: Request, *, name: str, limit: int, fields: int, seconds: float) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        self._request = request
        self._is_form = kind == b"multipart/form-data"
        self._reader = _Reader(boundary, name=name, parts=fields) if self._is_form and boundary else None
        self._body = Body(request, limit + _FRAMING)
        self._limit = limit
        self._seconds = seconds
        self._patience = seconds + limit / _SLOWEST
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self.error: GoldcrestError | None = None
        """What was wrong with it, once that is known."""

    @property
    def fields(self) -> dict[str, str]:
        """Those that have come."""
        return self._reader.fields if self._reader is not None else {}

    @property
    def file_name(self) -> str | None:
        """As the client gave it; None: no file has come."""
        return self._reader.file_name if self._reader is not None else None

    @property
    def most(self) -> int:
        """Bytes that the file can have: no more than the limit, nor than the body."""
        declared = self._body.declared
        return self._limit if declared is None else min(self._limit, declared)

    @property
    def least(self) -> int:
        """Bytes that the file has, as far as the body's length says so."""
        return max(0, (self._body.declared or 0) - _FRAMING)

    async def begin(self) -> None:
        """Read up to the file, or all where there is none.

        Raises:
            TooLarge: the file, or all that is beside it.
            InvalidInput: no valid form, cut before its end, not in UTF-8, or the client stopped sending.
        """
        if self._is_form and self._reader is None:
            raise self._wrong(InvalidInput("the form cannot be read: its Content-Type names no boundary"))
        try:
            check_charset(self._request)
        except InvalidInput as error:
            raise self._wrong(error) from None
        declared = self._body.declared
        if declared is not None and declared > self._limit + _FRAMING:
            self._size = self._limit + 1  # then nothing goes on
        while self.file_name is None and await self._more():
            pass
        if self._size > self._limit:
            await self._to_the_end()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The file's bytes as they come. When they end all of the form was read.

        Raises:
            TooLarge, InvalidInput: as :meth:`begin`.
        """
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if not await self._more():
                return

    async def drain(self) -> None:
        """Read what is left, for a client that reads no answer before it has sent all."""
        if self.error is None or isinstance(self.error, TooLarge):
            with suppress(GoldcrestError):
                await self._to_the_end()

    async def _to_the_end(self) -> None:
        while await self._more():
            self._pieces.clear()

    async def _more(self) -> bool:
        """Read on; False at the end."""
        if self._ended:
            return False
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(self._seconds, self._patience))):
                chunk = await self._body.next()
            self._patience -= time.monotonic() - began
            if chunk is None:
                self._ended = True
                if self._size > self._limit:  # only now, so that the client has sent all and reads the answer
                    raise TooLarge(f"the file has more than {self._limit} bytes")
                if self._reader is not None:
                    self._reader.end()
                return False
            for piece in self._reader.feed(chunk) if self._reader is not None else ():
                self._size += len(piece)
                if self._size <= self._limit:
                    self._pieces.append(piece)
            return True
        except GoldcrestError as error:
            raise self._wrong(error) from None
        except (FormParserError, UnicodeError) as error:
            raise self._wrong(InvalidInput(f"the form cannot be read: {error}")) from error
        except TimeoutError as error:
            told = f"the request's body did not arrive in time; {self._seconds:g} seconds without a byte are the most"
            raise self._wrong(InvalidInput(told)) from error
        except ClientDisconnect as error:
            told = "the client closed the connection before the request's body was complete"
            raise self._wrong(InvalidInput(told)) from error

    def _wrong(self, error: GoldcrestError) -> GoldcrestError:
        self.error = self.error or error
        return error


@dataclass(slots=True)
class _Part:
    name: str = ""
    file_name: str | None = None
    content: bytearray = field(default_factory=bytearray)


def _text(name: bytes) -> str:
    # Bytes that are no text become what no file name may have, so that the answer speaks of the name.
    return name.decode("utf-8", "surrogateescape")


class _Reader:
    """Turns python-multipart's callbacks into pieces of the file. No I/O."""

    def __init__(self, boundary: bytes, *, name: str, parts: int) -> None:
        self._name = name
        self._parts_left = parts
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
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

    def end(self) -> None:
        """Nothing more comes.

        Raises:
            InvalidInput: the closing boundary did not come.
        """
        if not self._ended:
            raise InvalidInput("the form cannot be read: it ends before its closing boundary")

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
        self._in_file = part.name == self._name and part.file_name is not None and self.file_name is None
        if self._in_file:
            self.file_name = part.file_name

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])
        elif self._part.file_name is None:
            self._part.content.extend(data[start:end])
            if len(self._part.content) > _FIELD:
                raise InvalidInput(f"field {self._part.name!r} has more than {_FIELD} bytes")

    def _part_end(self) -> None:
        if not self._in_file and self._part.file_name is None:
            self.fields.setdefault(self._part.name, self._part.content.decode())
        self._in_file = False

    def _end(self) -> None:
        self._ended = True
