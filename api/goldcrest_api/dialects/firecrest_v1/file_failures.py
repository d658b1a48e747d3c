"""Failures of operations on files, in this dialect's codes, headers and texts (contract 3.6, 3.7). Told apart by type, never by words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from goldcrest.errors import (
    CommandFailed,
    CommandRefused,
    ConnectionRefused,
    Denied,
    DeniedForNow,
    GoldcrestError,
    InvalidInput,
    LoginDenied,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from goldcrest_api.dialects.firecrest_v1 import gnu_texts
from goldcrest_api.dialects.firecrest_v1.answers import Refusal
from goldcrest_api.dialects.firecrest_v1.call import unauthenticated
from goldcrest_api.dialects.firecrest_v1.gnu_texts import Failed
from goldcrest_api.dialects.firecrest_v1.texts import (
    CONNECTION_REFUSED,
    MACHINE_NOT_AVAILABLE,
    NO_PERMISSION_MACHINE_OR_PATH,
    NO_PERMISSION_PATH,
    NOT_ALLOWED,
    PERMISSION_DENIED,
    RETRY_AFTER,
    RETRY_LATER,
    TIMED_OUT,
)

_A_DIRECTORY: Final = {"X-A-Directory": "path is a directory, can't checksum directories"}
_EXISTS: Final = {"X-Exists": "targetPath already exists"}
_INVALID_PATH: Final = {"X-Invalid-Path": "path is an invalid path"}
_BOTH_PATHS: Final = {"X-Invalid-Path": "sourcePath and/or targetPath are invalid paths"}
_NOT_FOUND: Final = {"X-Not-Found": "sourcePath not found"}
# Programs that say "cannot access" whatever keeps them from a file: row 5 of 3.7, before those for each reason.
_CANNOT_ACCESS: Final = frozenset({"ls", "chmod", "chown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was tried: one command of contract 4.3, whose words the answer has.

    Args:
        description: of the answer, e.g. ``Error on ls operation``.
        program: a key of :mod:`gnu_texts`.
        target: the path of the request, or its second one.
        source: its first one, where there are two.
    """

    description: str
    program: str
    target: str
    source: str = ""


def refusal(cause: GoldcrestError, *, step: Step, user: str, machine: str) -> Refusal:
    """The answer when a step failed; raise it from the cause."""
    if isinstance(cause, Unauthenticated):
        return unauthenticated(cause)
    error: str
    headers: dict[str, str]
    match cause:
        case DeniedForNow():
            error, headers = cause.message, MACHINE_NOT_AVAILABLE | RETRY_LATER
        case ConnectionRefused():
            error, headers = CONNECTION_REFUSED, {"X-Error": CONNECTION_REFUSED} | RETRY_AFTER
        case LoginDenied():
            error, headers = cause.message, {"X-Error": cause.message}
        case Unavailable():
            error, headers = "Machine is not available", MACHINE_NOT_AVAILABLE | RETRY_AFTER
        case Denied():
            error = f"Permission denied for user {user} in {machine}"
            headers = {PERMISSION_DENIED: NO_PERMISSION_PATH}
        case CommandRefused():
            error, headers = NOT_ALLOWED, {"X-Error": NOT_ALLOWED}
        case CommandFailed(kind="timeout"):
            error, headers = TIMED_OUT, {"X-Timeout": TIMED_OUT}
        case CommandFailed(kind="os", errno_name=str() as name):
            failed = _failed(step, name, cause.path)
            error = gnu_texts.text(failed)
            headers = header(failed) or {"X-Error": error}
        case InvalidInput():
            error, headers = cause.message, _INVALID_PATH
        case TooLarge():
            error, headers = cause.message, {"X-Size-Limit": "File exceeds size limit"}
        case _:
            error, headers = cause.message, {"X-Error": cause.message}
    return Refusal(400, description=step.description, error=error.replace("\n", ""), headers=headers)


def header(failed: Failed) -> dict[str, str] | None:
    """The header of a system call that failed; None: ``X-Error`` with the text."""
    match failed.errno_name, failed.program:
        case "ENOENT", "stat":
            return _NOT_FOUND
        case "ENOENT", "mv" | "cp":
            return _NOT_FOUND if failed.at_source else _BOTH_PATHS
        case "ENOENT", "mkdir":
            return _BOTH_PATHS
        case "ENOENT", "rm":
            return {"X-Invalid-Path": "path is an invalid path."}
        case "ENOENT", _:
            return _INVALID_PATH
        case (("ENOTDIR" | "ELOOP" | "ENAMETOOLONG"), program) if program in _CANNOT_ACCESS:
            return _INVALID_PATH
        case "EACCES", "chmod" | "chown":
            return _INVALID_PATH  # they say "cannot access"; ls says it of an entry, and of a folder that it may not read "cannot open"
        case "ENOTDIR", _:
            return {"X-Not-A-Directory": "targetPath is not a directory"}
        case "EACCES", _:
            return {PERMISSION_DENIED: NO_PERMISSION_PATH}
        case "EPERM", _:
            return {PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH}
        case "EEXIST", "mkdir" | "ln":
            return _EXISTS
        case (("EEXIST" | "ENOTEMPTY"), "mv"):
            return _EXISTS
        case "EISDIR", _:
            return _A_DIRECTORY
        case "EINVAL", "mv" | "cp":
            return _A_DIRECTORY
    return None


def _failed(step: Step, errno_name: str, at: str | None) -> Failed:
    """Which path it was: the node names it. One that is not of the request (inside of what a link points to) is not repeated."""
    paths = [path for path in (step.source, step.target) if path]
    below = next((p for p in paths if at is not None and (at == p or at.startswith(p.rstrip("/") + "/"))), None)
    path = at if at is not None and below is not None else step.target
    return Failed(program=step.program, errno_name=errno_name, path=path, source=step.source, target=step.target)
