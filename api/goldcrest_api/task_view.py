"""A Task as the gateway keeps it. Results above 4 KiB are elsewhere, and are read when somebody asks for them."""

from __future__ import annotations

from dataclasses import dataclass

from goldcrest.kube import Raw
from goldcrest.models.base import parse_model
from goldcrest.models.task import TaskStatus
from goldcrest.wellknown import ANNOTATION_READ_AT, ConditionType, Kind, Reason, task_id_of
from goldcrest_api.resource_cache import ResourceCache


@dataclass(frozen=True, slots=True)
class TaskView:
    """What REST answers are made of."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    created: str
    system: str
    run_as: str
    via: str | None
    operation: str
    """``listJobs`` and so on."""
    read: bool
    """Somebody was shown its result."""
    status: TaskStatus

    @classmethod
    def of(cls, raw: Raw) -> TaskView:
        """Read the JSON of the API server.

        Raises:
            InvalidInput: when the stored status does not fit the model.
        """
        meta, spec = raw["metadata"], raw["spec"]
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            created=meta["creationTimestamp"],
            system=spec["system"],
            run_as=spec["runAs"],
            via=(spec.get("requestedBy") or {}).get("via"),
            operation=next(iter(spec.get("operation") or {}), ""),
            read=ANNOTATION_READ_AT in (meta.get("annotations") or {}),
            status=parse_model(TaskStatus, raw.get("status") or {}, what="status"),
        )

    @property
    def task_id(self) -> str:
        """Under which REST shows it."""
        return task_id_of(self.name, self.uid, via=self.via)

    @property
    def finished(self) -> bool:
        return self.status.phase is not None and self.status.phase.finished

    @property
    def is_query(self) -> bool:
        """It only asked: once its result was read it need not stay."""
        return self.operation != "cancelJob"

    @property
    def reason(self) -> str:
        """Why it is where it is, as a word for programs."""
        return next((c.reason for c in self.status.conditions if c.type == ConditionType.READY), "")

    @property
    def unreachable(self) -> bool:
        """It ended because the system did not answer."""
        return self.reason == Reason.SYSTEM_UNREACHABLE.value


class TaskCache(ResourceCache[TaskView]):
    """Tasks by the ids under which REST speaks of them."""

    def __init__(self) -> None:
        super().__init__(Kind.TASK, TaskView.of)
        self._tasks = self.indexed(lambda task: [task.task_id])

    def by_task(self, task_id: str) -> TaskView | None:
        return self._tasks.last(task_id)
