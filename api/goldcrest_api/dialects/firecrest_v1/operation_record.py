"""The record R of a task that is no job (contract 7.3), read off its Task and its result. Pure."""

from __future__ import annotations

from typing import Any

from goldcrest.errors import InvalidInput
from goldcrest.task_results import decode
from goldcrest.wellknown import Phase
from goldcrest_api.dialects.firecrest_v1.result_records import RecordIncomplete, data_of
from goldcrest_api.dialects.firecrest_v1.task_record import FAILED, FINISHED, QUEUED, record
from goldcrest_api.task_view import TaskView

MACHINE_AWAY = "Machine is not available"


def operation_record(task: TaskView, content: bytes | None, *, missing: str | None = None) -> dict[str, Any]:
    """The record.

    Args:
        content: JSON of the result of one that succeeded.
        missing: why that is not there.
    """
    status, data = _outcome(task, content, missing)
    result = task.status.result
    shown = record(
        task_id=task.task_id,
        status=status,
        data=data,
        created=task.created,
        updated=task.status.end_time or task.created,
        system=task.system,
        user=task.run_as,
    )
    # Beyond the contract: of which moment the listing is, as one that was asked for a moment before is shared.
    return shown if result is None else {**shown, "as_of": result.as_of[:19]}


def _outcome(task: TaskView, content: bytes | None, missing: str | None) -> tuple[str, Any]:
    match task.status.phase:
        case Phase.SUCCEEDED if content is not None:
            try:
                return FINISHED, data_of(decode(content))
            except (RecordIncomplete, InvalidInput) as error:
                return FAILED, str(error)
        case Phase.SUCCEEDED:
            return FAILED, missing or "The result is gone"
        case Phase.FAILED | Phase.CANCELLED:
            return FAILED, MACHINE_AWAY if task.unreachable else task.status.message or "It failed"
    return QUEUED, "Queued"
