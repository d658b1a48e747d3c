"""Conditions of a resource that runs once, as one table (kstatus and `kubectl wait` both read it).

kstatus takes the first of Reconciling and Stalled: never both True. `Finished` is what `kubectl wait` needs to return on
failure too. Finished states never change again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from goldcrest.models.base import StatusModel, Timestamp
from goldcrest.wellknown import ConditionType, Phase, Reason

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(StatusModel):
    """One condition, in the form of meta/v1."""

    type: str = Field(max_length=316, description="Name of the condition.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int = Field(ge=0, description="Generation of the spec that this was decided on.")
    last_transition_time: Timestamp = Field(description="When status changed last.")
    reason: str = Field(min_length=1, max_length=1024, description="Constant word for programs.")
    message: str = Field(max_length=32768, description="One or two sentences for people.")


def now() -> str:
    """The present time as Kubernetes writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_once_conditions(
    *,
    phase: Phase,
    reason: Reason,
    message: str,
    generation: int,
    previous: Sequence[Condition] = (),
    unreachable: bool = False,
    stalled: bool = False,
    at: str | None = None,
) -> tuple[Condition, ...]:
    """All conditions of a Job, Transfer or Task in ``phase``.

    Args:
        previous: the conditions written last; ``lastTransitionTime`` is kept where the status did not change.
        unreachable: the system does not answer: Ready is Unknown, and it is still being tried.
        stalled: it cannot go on without a person, although it is not finished (ambiguous submission, failed dependency).
    """
    finished = phase.finished
    succeeded = phase is Phase.SUCCEEDED
    suspended = phase is Phase.SUSPENDED
    values: dict[ConditionType, ConditionStatus] = {
        ConditionType.READY: "Unknown" if unreachable and not finished else _word(succeeded),
        ConditionType.RECONCILING: _word(not finished and not suspended and not stalled),
        ConditionType.STALLED: _word(stalled or (finished and not succeeded)),
        ConditionType.COMPLETE: _word(succeeded),
        ConditionType.FAILED: _word(finished and not succeeded),
        ConditionType.FINISHED: _word(finished),
        ConditionType.SUSPENDED: _word(suspended),
    }
    time = at or now()
    before = {condition.type: condition for condition in previous}
    return tuple(
        _condition(
            before.get(kind), kind.value, value, generation=generation, time=time, reason=reason.value, message=message
        )
        for kind, value in values.items()
    )


def _condition(
    before: Condition | None,
    kind: str,
    value: ConditionStatus,
    *,
    generation: int,
    time: str,
    reason: str,
    message: str,
) -> Condition:
    if before is not None and before.status == value:
        time = before.last_transition_time
        if (before.observed_generation, before.reason, before.message) == (generation, reason, message):
            return before  # of thousands of jobs that are looked at, few have changed
    return Condition(
        type=kind,
        status=value,
        observed_generation=generation,
        last_transition_time=time,
        reason=reason,
        message=message,
    )


def _word(value: bool) -> ConditionStatus:
    return "True" if value else "False"
