"""The closed set of steps that a reconciler can ask for. One step is one effect."""

from __future__ import annotations

from dataclasses import dataclass

from goldcrest.models.job import JobStatus
from goldcrest.wellknown import EventReason


@dataclass(frozen=True, slots=True)
class Notice:
    """A Kubernetes event to post beside a write."""

    reason: EventReason
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Store a status, if nobody changed the resource since it was read."""

    status: JobStatus
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteIntent:
    """Store that a submission is about to begin, with its token: before sbatch, so that a successor looks for it."""

    status: JobStatus
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Persist:
    """Store the id of the submission that counts (T10.3)."""

    status: JobStatus
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Find:
    """Look for the token in queue and accounting (T10.1)."""


@dataclass(frozen=True, slots=True)
class Submit:
    """sbatch, held (T10.2). ``again``: what was begun before with this token took nothing."""

    again: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Let exactly this id start (T10.4)."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AskFiles:
    """Ask which files a job has whose sbatch answer was lost."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep this id from starting."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel everything that carries the token."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Cancel held doubles: what carries the token and is not to be kept (T10.5)."""

    keep: tuple[str, ...]
    strays: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let a deleted resource go."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the resource: its time after the end is over."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this many seconds, or before something changes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a back-off; ``seldom``: only a person can help, so minutes are soon enough."""

    seldom: bool = False


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do until something changes."""


Step = (
    WriteStatus
    | WriteIntent
    | Persist
    | Find
    | Submit
    | Release
    | AskFiles
    | Hold
    | Cancel
    | Sweep
    | RemoveFinalizer
    | Delete
    | Wait
    | Retry
    | Rest
)
