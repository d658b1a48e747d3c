"""Routes of ``/utilities`` that change names, attributes and trees (contract 4)."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands import ChangeMode, ChangeOwner, Copy, MakeDirectory, MakeLink, Remove, Rename
from goldcrest.commands.answers import ModeChanged, OwnerChanged
from goldcrest.commands.changing import check_account_name, check_mode_text
from goldcrest.errors import CommandFailed, InvalidInput
from goldcrest_api.codes import Code
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.change_texts import mode_line, owner_line
from goldcrest_api.dialects.firecrest_v1.utilities_call import Utility, by_form, invalid

_DIRECTORY_MODE: Final = 0o777  # the node's umask is taken off, as for everything that is made there
_INVALID_OWNER: Final = {"owner": ("X-Invalid-Owner", "owner is an invalid user", "user")}
_INVALID_GROUP: Final = {"group": ("X-Invalid-Group", "group is an invalid group", "group")}
_INVALID: Final = _INVALID_OWNER | _INVALID_GROUP


async def mkdir(request: Request) -> Response:
    """Make a directory; with ``p``, whatever its value, parents too, and an existing one is no error."""
    utility = await by_form(request, "mkdir")
    path = utility.path()
    command = MakeDirectory(path, parents="p" in utility.fields, mode=_DIRECTORY_MODE)
    await utility.run(command, utility.step("mkdir", target=path))
    return done("mkdir file", "", status=201)


async def rename(request: Request) -> Response:
    """Move a file or directory, over what is there."""
    utility = await by_form(request, "rename")
    source, target = both_paths(utility)
    await utility.run(Rename(source, target), utility.step("mv", source=source, target=target))
    return done("rename file", "")


async def copy(request: Request) -> Response:
    """Copy a file or directory, over what is there."""
    utility = await by_form(request, "copy")
    source, target = both_paths(utility)
    await utility.run(Copy(source, target), utility.step("cp", source=source, target=target))
    return done("copy file", "", status=201)


async def chmod(request: Request) -> Response:
    """Change the permission bits."""
    utility = await by_form(request, "chmod")
    path = utility.path()
    mode = utility.plain("mode")
    try:
        check_mode_text(mode)
    except InvalidInput as error:
        sentence = f"chmod: invalid mode: '{mode}'"
        raise invalid(
            utility.description, sentence, header="X-Invalid-Mode", value="mode is an invalid mode"
        ) from error
    answer = await utility.run(ChangeMode(path, mode), utility.step("chmod", target=path))
    return done("chmod file or directory", mode_line(path, ModeChanged.of(answer.result)))


async def chown(request: Request) -> Response:
    """Change owner or group; what is not given stays."""
    utility = await by_form(request, "chown")
    path = utility.path()
    owner = utility.plain("owner") if utility.fields.get("owner") else None
    group = utility.plain("group") if utility.fields.get("group") else None
    if owner is None and group is None:
        raise Refusal(400, description="Error in chown operation", error="group or owner must be set")
    for name, value in (("owner", owner), ("group", group)):
        if value is not None:
            _check_account(utility, name, value)
    try:
        answer = await utility.run(ChangeOwner(path=path, owner=owner, group=group), utility.step("chown", target=path))
    except Refusal as refusal:
        cause = refusal.__cause__
        if isinstance(cause, CommandFailed) and cause.kind == "unknown" and cause.what in _INVALID:
            raise _unknown(utility, cause.what, (owner if cause.what == "owner" else group) or "") from cause
        raise
    line = owner_line(path, OwnerChanged.of(answer.result), owner=owner is not None, group=group is not None)
    return done("chown file or directory", line)


async def symlink(request: Request) -> Response:
    """Make a symbolic link; ``targetPath`` is what it points to, there or not."""
    utility = await by_form(request, "symlink")
    target = utility.plain("targetPath")
    path = utility.path("linkPath", description="Failed to create symlink", value_word="value ")
    await utility.run(MakeLink(target, path), utility.step("ln", target=path))
    return done("symlink file", "", status=201)


async def rm(request: Request) -> Response:
    """Remove a file, or a directory with all that is in it."""
    utility = await by_form(request, "rm")
    path = utility.path()
    await utility.run(Remove(path), utility.step("rm", target=path))
    return Response(status_code=204)


def both_paths(utility: Utility) -> tuple[str, str]:
    """Source and target of an operation that has both."""
    target = utility.path("targetPath")  # looked at first, as the answer names the first that is wrong
    return utility.path("sourcePath"), target


def done(what: str, output: object, *, status: int = 200) -> Response:
    """An answer that all is well."""
    return SortedJson({"description": f"Success to {what}.", "output": output}, status_code=status)


def _check_account(utility: Utility, name: str, value: str) -> None:
    try:
        check_account_name(value, name=name)
    except InvalidInput as error:
        raise _unknown(utility, name, value) from error


def _unknown(utility: Utility, name: str, value: str) -> Refusal:
    header, told, word = _INVALID[name]
    return Refusal(
        400,
        description=utility.description,
        error=f"chown: invalid {word}: '{value}'",
        headers={header: told},
        code=Code("UnknownAccount"),
    )
