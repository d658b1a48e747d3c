"""Forms, read within bounds: how many bytes, how many fields, how long it may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from goldcrest.errors import InvalidInput, TooLarge

_DRAIN_FACTOR = 8  # a body up to this many times the limit is read to its end, so that the client can read the refusal


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
        InvalidInput: no valid form, or it did not arrive in time.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(seconds):
            stream = _bounded(request, limit)
            match content_type:
                case "multipart/form-data":
                    return await _InMemoryParser(
                        request.headers, stream, max_files=fields, max_fields=fields, max_part_size=limit
                    ).parse()
                case "application/x-www-form-urlencoded":
                    return await FormParser(request.headers, stream, max_fields=fields, max_part_size=limit).parse()
                case _:
                    async for _ in stream:
                        pass
                    return FormData()
    except MultiPartException as error:
        raise InvalidInput(error.message) from error
    except FormParserError as error:
        raise InvalidInput(f"the form cannot be read: {error}") from error
    except TimeoutError as error:
        raise InvalidInput(f"the request's body did not arrive within {seconds:g} seconds") from error
    except ClientDisconnect as error:
        raise InvalidInput("the client closed the connection before the request's body was complete") from error


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit * _DRAIN_FACTOR:
        raise TooLarge(f"the request's body is {declared} bytes, more than {limit}")
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit * _DRAIN_FACTOR:
            break
        if size <= limit:
            yield chunk
    if size > limit:
        raise TooLarge(f"the request's body is more than {limit} bytes")
