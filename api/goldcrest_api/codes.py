"""Errors as programs see them: a stable code, and whether the same request may succeed later. The same in every dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from goldcrest.errors import AnswerLost, CommandFailed, CommandRefused, GoldcrestError

# What the system call said (errno(3)). Others: SystemCallFailed.
_OF_ERRNO: Final = {
    "ENOENT": "NoSuchFile",
    "EACCES": "PermissionDenied",
    "EPERM": "PermissionDenied",
    "EEXIST": "AlreadyExists",
    "ENOTEMPTY": "DirectoryNotEmpty",
    "ENOTDIR": "NotADirectory",
    "EISDIR": "IsADirectory",
    "ELOOP": "TooManyLinks",
    "ENAMETOOLONG": "NameTooLong",
    "EFBIG": "TooLarge",
    "EDQUOT": "QuotaExceeded",
    "ENOSPC": "NoSpaceLeft",
    "EROFS": "ReadOnlyFileSystem",
    "ESTALE": "StaleFileHandle",
    "EIO": "InputOutputError",
    "EBUSY": "Busy",
    "ETXTBSY": "Busy",
}
# These pass by themselves: a server of a shared file system came back, somebody else is done.
_PASSING: Final = frozenset(
    {"ESTALE", "EBUSY", "ETXTBSY", "EAGAIN", "EINTR", "EMFILE", "ENFILE", "ENOMEM", "ETIMEDOUT", "EHOSTDOWN"}
)
_OF_KIND: Final = {
    "limit": "TooLarge",
    "state": "WrongState",
    "timeout": "TimedOut",
    "cancelled": "Cancelled",
    "unknown": "UnknownAccount",
    "archive": "DamagedArchive",
    "changed": "ChangedWhileRead",
}
_FOR_A_MOMENT: Final = frozenset({"busy", "expired", "replay", "session-id"})  # reasons of refusals, docs/protocol.md


CODE_HEADER: Final = "X-Goldcrest-Code"
RETRYABLE_HEADER: Final = "X-Goldcrest-Retryable"


@dataclass(frozen=True, slots=True)
class Code:
    """``name`` is documented in docs/using.md and never changes its meaning."""

    name: str
    retryable: bool = False


UNKNOWN_SYSTEM: Final = Code("UnknownSystem")


def code_headers(code: Code) -> dict[str, str]:
    """The two headers of every answer that is an error."""
    return {CODE_HEADER: code.name, RETRYABLE_HEADER: "true" if code.retryable else "false"}


def code_of(error: BaseException) -> Code | None:
    """The code of an error; None for what is none of ours."""
    match error:
        case CommandFailed(kind="os", errno_name=str() as name):
            return Code(_OF_ERRNO.get(name, "SystemCallFailed"), name in _PASSING)
        case CommandFailed(kind=kind):  # a time-out: it would take as long again
            return Code(_OF_KIND.get(kind, error.code))
        case AnswerLost():  # it may have taken effect: look first
            return Code(error.code)
        case CommandRefused(reason=reason):
            return Code(error.code, reason in _FOR_A_MOMENT)
        case GoldcrestError():
            inner = getattr(error, "cause", None)  # a failed step carries the error that it failed with
            if isinstance(inner, GoldcrestError):
                return code_of(inner)
            return Code(error.code, error.retryable)
    return None


_OF_STATUS: Final = {
    400: "InvalidInput",
    401: "Unauthenticated",
    403: "PolicyDenied",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    413: "TooLarge",
    422: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "Unavailable",
}


def code_of_status(status: int) -> Code:
    """The code of an answer that no error stands behind: the request itself was wrong."""
    return Code(_OF_STATUS.get(status, "Error"), status in (429, 503))
