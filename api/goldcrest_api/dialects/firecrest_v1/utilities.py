"""``/utilities``: small operations on files that are done while the client waits (contract section 4)."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands.base import check_path
from goldcrest.errors import InvalidInput, TooLarge
from goldcrest_api.dialects.firecrest_v1 import failures
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.call import authenticated
from goldcrest_api.dialects.firecrest_v1.fields import outcome
from goldcrest_api.dialects.firecrest_v1.head import count, first_bytes, first_lines, matching_lines
from goldcrest_api.services.files import FileFailed, FileStage

_SIZE: Final = "Error on fsize operation"
_HEAD: Final = "Error on head operation"


async def view(request: Request) -> Response:
    """The content of a text file, whole (D4), or a part of it: ``bytes``, ``lines``, ``grep``."""
    call = await authenticated(request)
    system = call.machine(description=_SIZE)
    query = request.query_params
    path = query.get("targetPath")
    wrong = outcome(path)
    if path is None or wrong is not None:
        raise Refusal(400, description=_SIZE, error=f"'targetPath' {wrong}")
    byte_count, line_count, pattern = query.get("bytes"), query.get("lines"), query.get("grep")
    description = f"{_HEAD} with grep" if pattern else _HEAD
    if byte_count and line_count:
        raise Refusal(400, description=description, error="Can not specify both 'bytes' and 'lines'")
    try:
        bytes_wanted = count(byte_count) if byte_count else None
        lines_wanted = count(line_count) if line_count else None
    except ValueError as error:
        sentence = f"head: invalid number: {error}"
        raise Refusal(400, description=description, error=sentence, headers={"X-Error": sentence}) from error
    try:
        check_path(path, name="targetPath")
    except InvalidInput as error:
        raise Refusal(
            400,
            description=_SIZE,
            error=f"{error.message}: give the whole path",
            headers={"X-Invalid-Path": "path is an invalid path"},
        ) from error
    try:
        content = await call.context.files.read(
            path, limit=call.context.settings.limits.view_bytes, system=system, caller=call.caller, trace=call.trace
        )
    except TooLarge as error:
        headers = {"X-Size-Limit": "File exceeds size limit"}
        raise Refusal(400, description="Failed to view file content", headers=headers) from error
    except FileFailed as error:
        step = _SIZE if error.stage is FileStage.STAT else description
        raise failures.of_view(
            error, description=step, path=path, user=call.caller.user, machine=system.name
        ) from error
    if bytes_wanted is not None:
        content = first_bytes(content, bytes_wanted)
    elif lines_wanted is not None:
        content = first_lines(content, lines_wanted)
    if pattern:
        content = matching_lines(content, pattern.encode())
        if not content:
            headers = {"X-Not-Found": "pattern not found"}
            raise Refusal(404, description=description, error="pattern not found", headers=headers)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, description=description, error=str(error), headers={"X-Error": str(error)}) from error
    return SortedJson({"description": "Success to head file.", "output": text})


async def status(request: Request) -> Response:
    """Say that this service is there."""
    await authenticated(request)
    return SortedJson({"success": "ack"})
