"""Jobs as they are stored, also when a newer release wrote their status."""

from __future__ import annotations

from typing import Final

from goldcrest.errors import InvalidInput
from goldcrest.kube import Raw
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource, JobStatus

NEEDED: Final = frozenset(("phase", "jobId", "submission", "cancelRequestedAt"))
"""Without these a Job could be submitted twice, or live again: they must be understood."""


def read_job(raw: Raw) -> JobResource:
    """The Job; fields of its status that do not fit the model, as after a rollback, are left out unless a decision rests on them.

    Raises:
        InvalidInput: when the spec, or a needed field of the status, does not fit.
    """
    try:
        return JobResource.of(raw)
    except InvalidInput:
        status = raw.get("status")
        if not isinstance(status, dict):
            raise
        understood = {name: value for name, value in status.items() if name in NEEDED or _fits(name, value)}
        return JobResource.of({**raw, "status": understood})


def _fits(name: str, value: object) -> bool:
    try:
        parse_model(JobStatus, {name: value}, what="status")
    except InvalidInput:
        return False
    return True
