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
from goldcrest_api.dialects.firecrest_v1.fields import is_true, outcome
from goldcrest_api.dialects.firecrest_v1.head import count, first_bytes, first_lines, matching_lines
from goldcrest_api.services.files import FileFailed, FileStage

_SIZE: Final = "Error on fsize operation"
_HEAD: Final = "Error on head operation"
_STAT: Final = "Error on stat operation"
_ATTRIBUTES: Final = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime")


async def view(request: Request) -> Response:
    """The content of a text file, whole (D4), or a part of it: ``bytes``, ``lines``, ``grep``."""
    call = await authenticated(request)
    system = call.machine(description=_SIZE)
    query = request.query_params
    path = _named(query.get("targetPath"), description=_SIZE)
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
    _check_whole(path, description=_SIZE)
    try:
        content = await call.context.files.read(
            path, limit=call.context.settings.limits.view_bytes, system=system, caller=call.caller, trace=call.trace
        )
    except TooLarge as error:
        headers = {"X-Size-Limit": "File exceeds size limit"}
        raise Refusal(400, description="Failed to view file content", headers=headers) from error
    except FileFailed as error:
        step = _SIZE if error.stage is FileStage.STAT else description
        raise failures.of_file(
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


async def stat(request: Request) -> Response:
    """Attributes of a file, as ``stat`` gives them: integers, times in seconds of the epoch."""
    call = await authenticated(request)
    system = call.machine(description=_STAT)
    query = request.query_params
    given = query.get("targetPath")
    path = _named(query.get("sourcePath") if given is None else given, description=_STAT)
    _check_whole(path, description=_STAT)
    try:
        attributes = await call.context.files.stat(
            path, dereference=is_true(query.get("dereference")), system=system, caller=call.caller, trace=call.trace
        )
    except FileFailed as error:
        raise failures.of_file(
            error, description=_STAT, path=path, user=call.caller.user, machine=system.name
        ) from error
    return SortedJson(
        {"description": "Success to stat file.", "output": {name: attributes[name] for name in _ATTRIBUTES}}
    )


async def status(request: Request) -> Response:
    """Say that this service is there."""
    await authenticated(request)
    return SortedJson({"success": "ack"})


def _named(path: str | None, *, description: str) -> str:
    """The path that a request must name."""
    wrong = outcome(path)
    if path is None or wrong is not None:
        raise Refusal(400, description=description, error=f"'targetPath' {wrong}")
    return path


def _check_whole(path: str, *, description: str) -> None:
    try:
        check_path(path, name="targetPath")
    except InvalidInput as error:
        raise Refusal(
            400,
            description=description,
            error=f"{error.message}: give the whole path",
            headers={"X-Invalid-Path": "path is an invalid path"},
        ) from error
