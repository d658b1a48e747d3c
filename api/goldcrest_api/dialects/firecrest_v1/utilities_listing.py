"""``GET /utilities/ls`` (contract 4.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands import ListDirectory
from goldcrest.commands.listing import Entry, Listed, Skipped, entries
from goldcrest.errors import AnswerUnusable, CommandFailed
from goldcrest_api.codes import Code, code_of
from goldcrest_api.dialects.firecrest_v1 import file_failures, gnu_texts
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.fields import is_true
from goldcrest_api.dialects.firecrest_v1.gnu_texts import Failed
from goldcrest_api.dialects.firecrest_v1.listing import line, page, record
from goldcrest_api.dialects.firecrest_v1.utilities_call import by_query, invalid
from goldcrest_api.ports import RemoteAnswer

_SLICE: Final = 1000  # entries between two looks at what else is to be done
_T = TypeVar("_T")


async def ls(request: Request) -> Response:
    """What a directory holds; of a file, the file itself."""
    utility = await by_query(request, "ls")
    query = utility.fields
    path = utility.path()
    bare = is_true(query.get("unsorted")), is_true(query.get("notListing"))
    command = ListDirectory(
        path=path,
        limit=utility.call.context.settings.limits.listing_entries,
        hidden=is_true(query.get("showhidden")) or bare[0],  # ls -f shows all
        recursive=is_true(query.get("recursive")),
        dereference=is_true(query.get("followLinks")),
        numeric_ids=is_true(query.get("numericUid")),
        sorted=not bare[0],
    )
    try:
        answer = await utility.run(command, utility.step("ls", target=path))
    except Refusal as refusal:
        if isinstance(refusal.__cause__, CommandFailed) and refusal.__cause__.kind == "limit":
            error = f"Command output exceeded buffer limit ({command.limit} entries)"
            raise invalid(utility.description, error) from refusal.__cause__
        raise
    try:
        output = await _output(answer, path, bare, description=utility.description)
    except (KeyError, TypeError, ValueError) as error:  # of the node's lines, which are read here
        told = AnswerUnusable("the system's answer cannot be understood: entries of fs.ls")
        told.__cause__ = error
        raise utility.refusal(told, utility.step("ls", target=path)) from told
    shown = page(output, size=query.get("pageSize"), number=query.get("pageNumber"))
    return SortedJson({"description": "List of contents", "output": shown})


async def _output(
    answer: RemoteAnswer, path: str, bare: tuple[bool, bool], *, description: str
) -> list[str] | list[dict[str, str]]:
    """Records, or names alone.

    Raises:
        Refusal: a part could not be looked at.
        KeyError, TypeError, ValueError: the node says something else than docs/protocol.md.
    """
    listed = Listed.of(answer.result)
    lost = [each for each in listed.skipped if each.errno_name != "EPERM"]  # of a link out of what the node serves
    if lost:
        raise _incomplete(path, lost, description=description)
    found = entries(answer.data)
    if not any(bare):
        return _whole(await _each(record, found), listed)
    names = _whole(await _each(line, found), listed)
    return ['"."', '".."', *names] if bare[0] and listed.directory else names


def _whole(made: list[_T], listed: Listed) -> list[_T]:
    if len(made) != listed.count:
        raise ValueError(f"{len(made)} entries of {listed.count}")
    return made


async def _each(make: Callable[[Entry], _T], found: Iterable[Entry]) -> list[_T]:
    """All of them, without keeping others waiting."""
    made: list[_T] = []
    left: Iterator[Entry] = iter(found)
    while some := [make(entry) for entry in islice(left, _SLICE)]:
        made += some
        if len(some) == _SLICE:
            await asyncio.sleep(0)
    return made


def _incomplete(path: str, skipped: list[Skipped], *, description: str) -> Refusal:
    """A part could not be looked at: ls ends with an error, and so the whole list is one."""
    failures = [
        Failed(program="ls", errno_name=each.errno_name, path=f"{path.rstrip('/')}/{each.path}") for each in skipped
    ]
    error = "".join(map(gnu_texts.text, failures))
    headers = file_failures.header(failures[0]) or {"X-Error": error}
    code: Code | None = code_of(CommandFailed(error, kind="os", errno_name=failures[0].errno_name))
    return Refusal(400, description=description, error=error, headers=headers, code=code)
