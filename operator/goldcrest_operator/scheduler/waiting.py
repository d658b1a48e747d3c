"""Why a job waits, in a sentence for people. Source: squeue(1), JOB REASON CODES (22.05 to 24.11)."""

from __future__ import annotations

from typing import Final

_WORDS: Final = {
    "Priority": "jobs with a higher priority go first",
    "Resources": "what it asks for is not free yet",
    "Dependency": "another job must come first",
    "DependencyNeverSatisfied": "the job that it depends on did not end as it should have, so it can never start",
    "JobHeldUser": "it is held",
    "JobHeldAdmin": "an administrator holds it",
    "BeginTime": "its time to begin has not come, or it was put back into the queue a moment ago",
    "JobArrayTaskLimit": "as many elements run as the array allows at once",
    "Reservation": "its reservation has not begun",
    "ReservationDeleted": "its reservation was deleted, so it can never start",
    "Licenses": "the licenses that it asks for are in use",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs now",
    "PartitionNodeLimit": "it asks for more nodes than its partition has or allows, so it cannot start there",
    "PartitionTimeLimit": "its time limit is above that of its partition, so it cannot start there",
    "NodeDown": "a node that it needs is down",
    "ReqNodeNotAvail": "a node that it needs is not available",
    "BadConstraints": "no node can have what it asks for",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its QOS is not valid",
    "AccountNotAllowed": "its account may not use that partition",
    "QOSNotAllowed": "its QOS may not use that partition or account",
    "JobHoldMaxRequeue": "it was put back into the queue too often and is held",
    "JobLaunchFailure": "it could not be launched and was put back into the queue",
    "NonZeroExitCode": "it ended with an exit code that put it back into the queue",
    "SystemFailure": "a node or file system failed, and it was put back into the queue",
    "Prolog": "nodes are being prepared for it",
    "Cleaning": "it was put back into the queue and is still being cleaned up",
    "SchedDefer": "the scheduler has not looked at it yet",
    "MaxMemPerLimit": "it asks for more memory than its partition allows",
    "BurstBufferResources": "there is not enough of the burst buffer",
    "BurstBufferStageIn": "data is being staged in",
}
_LIMITS: Final = (
    ("QOS", "a limit of its QOS is reached"),
    ("Assoc", "a limit of its account is reached"),
    ("Max", "a limit of its account or QOS is reached"),
)
NEVER: Final = frozenset({"DependencyNeverSatisfied"})
"""Reasons with which a job waits for ever unless somebody does something."""


def why_waiting(reason: str) -> str:
    """``reason`` in words, with the scheduler's own word behind it."""
    plain = reason.strip("()").partition(",")[0].partition(" ")[0]
    words = _WORDS.get(plain)
    if words is None and ("Limit" in plain or plain.startswith(("QOS", "Assoc"))):
        words = next((text for prefix, text in _LIMITS if plain.startswith(prefix)), None)
    return f"{words} ({reason})" if words else reason
