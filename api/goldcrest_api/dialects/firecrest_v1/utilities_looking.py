"""Routes of ``/utilities`` that tell what something is: stat, file, checksum, whoami, status (contract 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands import Checksum, FileType, StatFile, WhoAmI
from goldcrest.commands.answers import type_text
from goldcrest.errors import GoldcrestError
from goldcrest_api.dialects.firecrest_v1.answers import SortedJson
from goldcrest_api.dialects.firecrest_v1.fields import is_true
from goldcrest_api.dialects.firecrest_v1.utilities_call import by_query, entered
from goldcrest_api.services.quota import quota_of

_ATTRIBUTES: Final = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime")
_ANY_SIZE: Final = 2**53 - 1  # bytes; the time limit bounds a checksum


async def stat(request: Request) -> Response:
    """Attributes of a file, as ``stat`` gives them: integers, times in seconds of the epoch."""
    utility = await by_query(request, "stat")
    field = "sourcePath" if "targetPath" not in utility.fields and "sourcePath" in utility.fields else "targetPath"
    path = utility.path(field)
    command = StatFile(path, dereference=is_true(utility.fields.get("dereference")))
    answer = await utility.run(command, utility.step("stat", target=path))
    output = {name: answer.result[name] for name in _ATTRIBUTES}
    return SortedJson({"description": "Success to stat file.", "output": output})


async def file(request: Request) -> Response:
    """What kind of file it is, in the words of ``file``."""
    utility = await by_query(request, "file")
    path = utility.path()
    answer = await utility.run(FileType(path), utility.step("file", target=path))
    return SortedJson({"description": "Success to file file.", "output": type_text(answer.result)})


async def checksum(request: Request) -> Response:
    """SHA-256 of a file."""
    utility = await by_query(request, "checksum")
    path = utility.path()
    answer = await utility.run(Checksum(path, _ANY_SIZE), utility.step("sha256sum", target=path))
    return SortedJson({"description": "Success to checksum file.", "output": answer.result["sha256"]})


async def whoami(request: Request) -> Response:
    """The caller's name on the system; with ``groups``, ids and groups as well."""
    utility = await by_query(request, "whoami")
    answer = await utility.run(WhoAmI(), utility.step("id", target=""))
    output = identity(answer.result) if is_true(utility.fields.get("groups")) else answer.result["user"]
    return SortedJson({"description": "User information", "output": output})


async def quota(request: Request) -> Response:
    """What the caller may use and has used, in the words of the site's command. Not part of FirecREST."""
    utility = await by_query(request, "quota")
    call = utility.call
    try:
        text = await quota_of(call.context.files, system=utility.system, caller=call.caller, trace=call.trace)
    except GoldcrestError as error:
        raise utility.refusal(error, utility.step("quota", target="")) from error
    return SortedJson({"description": "Quota information", "output": text})


async def status(request: Request) -> Response:
    """Say that this service is there."""
    await entered(request, "status")
    return SortedJson({"success": "ack"})


def identity(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What ``id`` prints, taken apart; all ids are text. A group that has no name is named by its number."""
    groups = [{"name": str(group["name"]), "id": str(group["id"])} for group in answer["groups"]]
    own = str(answer["gid"])
    return {
        "user": {"name": str(answer["user"]), "id": str(answer["uid"])},
        "group": next((group for group in groups if group["id"] == own), {"name": own, "id": own}),
        "groups": groups,
    }
