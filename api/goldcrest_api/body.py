"""Forms, read within bounds: how many bytes, how many fields, how long it may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from goldcrest.errors import InvalidInput, TooLarge

_UTF_8 = frozenset({b"utf-8", b"utf8"})
# A body up to this many times the limit is read to its end, so that the client can read the refusal; not much of a very large one.
_DRAIN_FACTOR = 8
_DRAIN_MOST = 64 * 1024 * 1024  # bytes beyond the limit


class _InMemoryParser(MultiPartParser):
    # Never on disk: the body is bounded, the file system of a pod may be read-only, and scripts may hold secrets.
    spool_max_size = 2**31


async def read_form(request: Request, *, limit: int, fields: int, seconds: float) -> FormData:
    """The fields and files of a form, ``multipart/form-data`` or ``application/x-www-form-urlencoded``; empty for other bodies.

    Args:
        limit: bytes of the whole body.
        fields: number of fields, and of files.
        seconds: time for the body to arrive.

    Raises:
        TooLarge: more than ``limit`` bytes.
        InvalidInput: no valid form, not in UTF-8, or it did not arrive in time.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(seconds):
            stream = bounded(request, limit)
            match content_type:
                case "multipart/form-data":
                    check_charset(request)
                    return await _InMemoryParser(
                        request.headers, stream, max_files=fields, max_fields=fields, max_part_size=limit
                    ).parse()
                case "application/x-www-form-urlencoded":
                    check_charset(request)
                    return await FormParser(request.headers, stream, max_fields=fields, max_part_size=limit).parse()
                case _:
                    async for _ in stream:
                        pass
                    return FormData()
    except MultiPartException as error:
        raise InvalidInput(error.message) from error
    except (FormParserError, UnicodeError) as error:
        raise InvalidInput(f"the form cannot be read: {error}") from error
    except TimeoutError as error:
        raise InvalidInput(f"the request's body did not arrive within {seconds:g} seconds") from error
    except ClientDisconnect as error:
        raise InvalidInput("the client closed the connection before the request's body was complete") from error


def check_charset(request: Request) -> None:
    """Refuse a form that is not in UTF-8.

    Raises:
        InvalidInput
    """
    # Python knows codecs that are no encodings of text (unicode_escape, punycode, undefined): they give characters that
    # cannot be written down again, or errors of their own.
    _, options = parse_options_header(request.headers.get("content-type"))
    charset = options.get(b"charset", b"utf-8").strip().lower()
    if charset not in _UTF_8:
        raise InvalidInput(f"the form's charset is {charset.decode('latin-1')!r}; send it as utf-8")


async def bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes.

    Raises:
        TooLarge: more than ``limit`` bytes; what is a little more was read, and thrown away.
    """
    body = Body(request, limit)
    while (chunk := await body.next()) is not None:
        yield chunk


class Body:
    """A request's body within a bound. Whoever is cancelled while it waits for a piece loses none.

    Args:
        limit: bytes of all of it.
    """

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._drained = min(limit * _DRAIN_FACTOR, limit + _DRAIN_MOST)
        self._size = 0
        self._ended = False
        declared = request.headers.get("content-length", "")
        self.declared = int(declared) if declared.isascii() and declared.isdigit() else None
        """Bytes that it will have, where the client says so."""

    async def next(self) -> bytes | None:
        """The next piece; None at the end.

        Raises:
            TooLarge: more than the limit; what is a little more was read, and thrown away.
            ClientDisconnect: the client has gone.
        """
        if self.declared is not None and self.declared > self._drained:
            raise TooLarge(f"the request's body is {self.declared} bytes, more than {self._limit}")
        while not self._ended:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            self._size += len(chunk)
            self._ended = not message.get("more_body", False) or self._size > self._drained
            if chunk and self._size <= self._limit:
                return chunk
        if self._size > self._limit:
            raise TooLarge(f"the request's body is more than {self._limit} bytes")
        return None
