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
    drained = min(limit * _DRAIN_FACTOR, limit + _DRAIN_MOST)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > drained:
        raise TooLarge(f"the request's body is {declared} bytes, more than {limit}")
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > drained:
            break
        if size <= limit:
            yield chunk
    if size > limit:
        raise TooLarge(f"the request's body is more than {limit} bytes")
