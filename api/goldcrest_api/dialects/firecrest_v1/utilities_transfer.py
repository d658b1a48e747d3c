"""``GET /utilities/download`` and ``POST /utilities/upload``: one file, streamed (contract 4, D5, D15)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands import ReadFile, WriteFile
from goldcrest.commands.names import name_text
from goldcrest.errors import GoldcrestError, TooLarge
from goldcrest_api.codes import Code
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.call import CLOSE
from goldcrest_api.dialects.firecrest_v1.fields import outcome
from goldcrest_api.dialects.firecrest_v1.file_failures import Step
from goldcrest_api.dialects.firecrest_v1.utilities_call import TOO_LARGE, Utility, beginning, by_query, description_of
from goldcrest_api.file_response import FileResponse
from goldcrest_api.multipart_stream import IncomingForm
from goldcrest_api.ports import RemoteAnswer

_NEW_MODE: Final = 0o666  # of a file that was not there; the node's umask is taken off
_NAME_BYTES: Final = 255  # NAME_MAX of Linux
_NOT_UPLOADED: Final = "Failed to upload file"


async def download(request: Request) -> Response:
    """The bytes of a file."""
    utility = await by_query(request, "fsize")
    path = utility.path("sourcePath")
    call, most = utility.call, utility.system.spec.limits.file_bytes(ReadFile.op)
    opening = call.context.files.content(path, most=most, system=utility.system, caller=call.caller, trace=call.trace)
    size, pieces = await utility.answered(opening, utility.step("stat", target=path))
    if size > most:
        headers = {"X-Size-Limit": "File exceeds size limit"}
        raise Refusal(400, description="Failed to download file", headers=headers, code=Code("TooLarge"))
    headers = {"Content-Disposition": _attachment(path)}
    if not size:
        return Response(headers=headers, media_type=FileResponse.media_type)
    step = utility.step("base64", target=path, description=description_of("base64"))
    # What keeps the file from being read is known with the first piece: then there is still an answer to give.
    try:
        first = await anext(pieces)
    except GoldcrestError as error:
        raise utility.refusal(error, step) from error
    slow_seconds = call.context.settings.streams.slow_seconds
    return FileResponse(_all(first, pieces), size=size, headers=headers, slow_seconds=slow_seconds)


async def upload(request: Request) -> Response:
    """Write a file into a directory, over what is there. It appears when it is whole; a request that is cut leaves nothing."""
    utility = await beginning(request, "upload")
    limits = utility.call.context.settings.limits
    most = utility.system.spec.limits.file_bytes(WriteFile.op)
    form = IncomingForm(request, name="file", limit=most, fields=limits.form_fields, seconds=limits.body_seconds)
    try:
        try:
            await form.begin()
            written = await _receive(utility, form)
        except (GoldcrestError, Refusal, OSError):
            await form.drain()
            raise
    except (GoldcrestError, Refusal) as error:
        if form.error is None:
            raise
        if isinstance(form.error, TooLarge):
            raise Refusal(413, description=TOO_LARGE.format(bytes=most), headers=CLOSE) from error
        raise Refusal(400, description=_NOT_UPLOADED, error=form.error.message, headers=CLOSE) from error
    except OSError as error:  # of the spool
        told = "The gateway has no room for the file now"
        raise Refusal(503, description=_NOT_UPLOADED, error=told, code=Code("GatewayFull", retryable=True)) from error
    # Beyond the contract: of the bytes that are there, made by the login node.
    headers = {"X-Goldcrest-SHA256": written.result["sha256"]}
    return SortedJson({"description": "File upload successful", "output": ""}, status_code=201, headers=headers)


async def _receive(utility: Utility, form: IncomingForm) -> RemoteAnswer:
    files, system, call = utility.call.context.files, utility.system, utility.call
    if form.file_name is None or "targetPath" in form.fields:
        path, step = _target(utility, form)
        writing = files.write(
            path,
            form.pieces(),
            mode=_NEW_MODE,
            least=form.least,
            most=form.most,
            system=system,
            caller=call.caller,
            trace=call.trace,
        )
        return await utility.answered(writing, step)
    # Where it is to go is behind it.
    with files.spools.open() as spool:
        async for piece in form.pieces():
            await spool.write(piece)
        path, step = _target(utility, form)
        writing = files.write_spooled(path, spool, mode=_NEW_MODE, system=system, caller=call.caller, trace=call.trace)
        return await utility.answered(writing, step)


def _target(utility: Utility, form: IncomingForm) -> tuple[str, Step]:
    """Which file to write."""
    folder = utility.with_fields(form.fields).path()
    if not form.file_name:
        raise Refusal(400, description=_NOT_UPLOADED, error="No file in query")
    if not is_component(form.file_name):
        raise Refusal(400, description=_NOT_UPLOADED, error="Filename has invalid char")
    path = f"{folder.rstrip('/')}/{name_text(form.file_name.encode())}"
    return path, utility.step("cat", target=path)


def is_component(name: str) -> bool:
    """Whether it names a file within a directory (D15), and no other place."""
    return outcome(name) is None and name not in (".", "..") and "/" not in name and len(name.encode()) <= _NAME_BYTES


async def _all(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


def _attachment(path: str) -> str:
    """The header that names the file (RFC 6266): as it is where that can be, and else in UTF-8 as well."""
    name = path.rstrip("/").rpartition("/")[2]
    if name.isascii() and name.isprintable() and not set(name) & set(' "\\;,'):
        return f"attachment; filename={name}"
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
