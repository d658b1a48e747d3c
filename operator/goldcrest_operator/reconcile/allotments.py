"""What was asked for beside what was given, and which lines of a script do not count. Pure."""

from __future__ import annotations

from typing import Any

from goldcrest.authorised import script_bytes
from goldcrest.errors import GoldcrestError
from goldcrest.models.job import JobResource
from goldcrest.models.job_details import Allotment
from goldcrest.sbatch import effective, minutes
from goldcrest.sbatch.effective import overrides

_OVERRIDDEN_LIMIT = 32


def asked_fields(job: JobResource, script: bytes | None) -> dict[str, Any]:
    """``status.asked`` and ``status.overridden``; nothing where no command can be made of the spec (its refusal says why)."""
    try:
        content = script_bytes(job.spec, script)
        options = effective(job.spec, content).options
        lost = overrides(job.spec, content) if content is not None else []
    except GoldcrestError:
        return {}
    asked = Allotment(
        account=_short(options.account),
        partition=_short(options.partition),
        qos=_short(options.qos),
        time_limit=options.time_limit[:64] if options.time_limit is not None else None,
    )
    return {"asked": asked, "overridden": [override.sentence[:256] for override in lost][:_OVERRIDDEN_LIMIT]}


def differences(asked: Allotment | None, granted: Allotment | None) -> tuple[str, ...]:
    """What the site gave otherwise, in words; nothing is said of what was not asked for."""
    if asked is None or granted is None:
        return ()
    found = []
    if asked.account and granted.account and asked.account.lower() != granted.account.lower():
        found.append(f"account {granted.account} instead of {asked.account}")
    if asked.partition and granted.partition and not _names(granted.partition) <= _names(asked.partition):
        found.append(f"partition {granted.partition} instead of {asked.partition}")
    if asked.qos and granted.qos and asked.qos.lower() != granted.qos.lower():
        found.append(f"QOS {granted.qos} instead of {asked.qos}")
    if asked.time_limit and granted.time_limit and minutes(asked.time_limit) != minutes(granted.time_limit):
        found.append(f"a time limit of {granted.time_limit} instead of {asked.time_limit}")
    return tuple(found)


def _names(text: str) -> set[str]:
    return set(text.split(","))


def _short(text: str | None) -> str | None:
    return text[:1024] if text is not None else None
