"""Errors of the core, in this dialect's codes, headers and texts (contract 3.3, 3.6, 3.7, 5.2).

They are told apart by class and errno name, never by words in a message.
"""

from __future__ import annotations

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
    NotFound,
    QuotaExceeded,
    Unauthenticated,
    Unavailable,
)
from goldcrest_api.dialects.firecrest_v1.answers import Refusal
from goldcrest_api.dialects.firecrest_v1.call import unauthenticated
from goldcrest_api.dialects.firecrest_v1.texts import (
    MACHINE_NOT_AVAILABLE,
    NO_PERMISSION_MACHINE_OR_PATH,
    NOT_ALLOWED,
    PERMISSION_DENIED,
    RETRY_AFTER,
    RETRY_LATER,
    RETRY_QUOTA,
    TIMED_OUT,
)
from goldcrest_api.services.scripts import RemoteScript, UploadedScript
from goldcrest_api.services.submissions import Stage, SubmissionFailed

_NO_ACCESS: Final = frozenset({"EACCES", "EPERM"})
_NO_SUCH_PATH: Final = frozenset({"ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG"})


def of_submission(failed: SubmissionFailed, *, description: str, script: UploadedScript | RemoteScript) -> Refusal:
    """The answer when no Job was made."""
    cause = failed.cause
    if isinstance(cause, Unauthenticated):
        return unauthenticated(cause)
    match failed.stage:
        case Stage.ACCESS:
            return _of_access(cause)
        case Stage.READING if isinstance(script, RemoteScript):
            return _of_script_on_system(cause, description=description, path=script.path)
        case Stage.WRITING:
            return _of_writing(cause, description=description)
        case _:
            return _of_creation(cause, description=description)


def of_operation(failed: SubmissionFailed, *, description: str, probed: str) -> Refusal:
    """The answer when no Task was made.

    Args:
        probed: description when the system does not let the caller in.
    """
    cause = failed.cause
    if isinstance(cause, Unauthenticated):
        return unauthenticated(cause)
    return _of_access(cause, probed) if failed.stage is Stage.ACCESS else _of_creation(cause, description=description)


def of_cancelling(cause: GoldcrestError, *, description: str) -> Refusal:
    """The answer when a Job could not be told to end."""
    return (
        unauthenticated(cause) if isinstance(cause, Unauthenticated) else _of_creation(cause, description=description)
    )


def _of_access(cause: GoldcrestError, description: str = "Failed to retrieve jobs information") -> Refusal:
    """The access probe (5.2): the wording of the job listing, on most routes."""
    match cause:
        case Denied():
            return Refusal(
                404,
                description=description,
                error=cause.message,
                headers={PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH},
            )
        case CommandRefused():
            return Refusal(404, description=description, headers={PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH})
        case DeniedForNow():
            return for_now(cause, description=description)
        case ConnectionRefused():  # not "not available", in the contract's words (3.6)
            return Refusal(400, description=description, headers=RETRY_AFTER)
        case LoginDenied():
            return Refusal(400, description=description, error=cause.message)
        case Unavailable():
            return Refusal(400, description=description, headers=MACHINE_NOT_AVAILABLE | RETRY_AFTER)
    return Refusal(400, description=description)


def _of_script_on_system(cause: GoldcrestError, *, description: str, path: str) -> Refusal:
    """The look at the script of ``jobs/path`` (5.2)."""
    match cause:
        case DeniedForNow():
            return for_now(cause, description=description)
        case ConnectionRefused():
            headers = RETRY_AFTER
        case LoginDenied():
            headers = {"X-Error": cause.message}
        case Unavailable():
            headers = MACHINE_NOT_AVAILABLE | RETRY_AFTER
        case Denied():
            headers = {PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH}
        case CommandRefused():
            headers = {"X-Error": NOT_ALLOWED}
        case CommandFailed(kind="os", errno_name=name) if name in _NO_SUCH_PATH:
            headers = {"X-Invalid-Path": f"{path} is an invalid path."}
        case CommandFailed(kind="os", errno_name=name) if name in _NO_ACCESS:
            headers = {PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH}
        case CommandFailed(kind="os", errno_name="EISDIR"):
            headers = {"X-A-Directory": f"{path} is a directory"}
        case CommandFailed(kind="timeout"):
            headers = {"X-Timeout": TIMED_OUT}
        case _:
            headers = {"X-Error": cause.message}
    return Refusal(400, description=description, headers=headers)


def _of_writing(cause: GoldcrestError, *, description: str) -> Refusal:
    """A large script could not be put onto the system."""
    error = "Failed to upload file"
    match cause:
        case DeniedForNow():
            return for_now(cause, description=description)
        case ConnectionRefused():
            headers = RETRY_AFTER
        case LoginDenied():
            headers = {"X-Error": cause.message}
        case Unavailable():
            headers = MACHINE_NOT_AVAILABLE | RETRY_AFTER
        case Denied():
            headers = {PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH}
            return Refusal(404, description=description, error=cause.message, headers=headers)
        case CommandFailed(kind="os", errno_name=name) if name in _NO_ACCESS:
            headers = {PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH}
        case CommandFailed(kind="timeout"):
            headers = {"X-Timeout": TIMED_OUT}
        case _:
            headers = {"X-Error": cause.message}
    return Refusal(400, description=description, error=error, headers=headers)


def _of_creation(cause: GoldcrestError, *, description: str) -> Refusal:
    """Delegation or Kubernetes did not take the Job."""
    match cause:
        case Denied():
            return Refusal(
                404,
                description=description,
                error=cause.message,
                headers={PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH},
            )
        case DeniedForNow():
            return for_now(cause, description=description)
        case QuotaExceeded():
            return Refusal(429, description=description, error=cause.message, headers=RETRY_QUOTA)
        case Unavailable():
            return Refusal(400, description=description, error="Error creating task", headers=RETRY_AFTER)
        case InvalidInput() | NotFound():
            return Refusal(400, description=description, error=cause.message)
    return Refusal(400, description=description, error=f"Error creating task: {cause.message}")


def for_now(cause: DeniedForNow, *, description: str) -> Refusal:
    """A maintenance window: the site's own message, and the headers of a machine that is away (3.6)."""
    headers = MACHINE_NOT_AVAILABLE | RETRY_LATER
    return Refusal(400, description=description, error=cause.message, headers=headers)
