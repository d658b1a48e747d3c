"""Beginning an operation on a system that is no job: a grant of delegation and a Task resource (T6). The rest is the operator's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from goldcrest.creation import parse_spec
from goldcrest.errors import GoldcrestError, QuotaExceeded
from goldcrest.faults import NO_FAULTS, FaultPoints
from goldcrest.telemetry import Log, Trace
from goldcrest.wellknown import (
    ANNOTATION_GRANT,
    ANNOTATION_TRACEPARENT,
    API_VERSION,
    LABEL_DIALECT,
    QUERY_SECONDS,
    TASKS_OF_USER,
    Kind,
    rest_name,
)
from goldcrest_api.caller import Caller
from goldcrest_api.names import random_task_id
from goldcrest_api.ports import Grants
from goldcrest_api.services.access import AccessProbe
from goldcrest_api.services.creation import Creator
from goldcrest_api.services.namespaces import Namespaces
from goldcrest_api.services.submissions import Stage, SubmissionFailed
from goldcrest_api.system_cache import SystemView
from goldcrest_api.task_view import TaskCache, TaskView

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """An operation, as a dialect understood it: one field of ``Task.spec.operation``."""

    system: SystemView
    operation: Mapping[str, Any]
    dialect: str


class Operations:
    """Makes Tasks.

    Args:
        ttl_seconds: how long a finished Task stays that changed something; what only asked stays an hour at most.
    """

    def __init__(
        self,
        *,
        tasks: TaskCache,
        grants: Grants,
        access: AccessProbe,
        namespaces: Namespaces,
        creator: Creator,
        ttl_seconds: int,
        faults: FaultPoints = NO_FAULTS,
    ) -> None:
        self._faults = faults
        self._tasks = tasks
        self._grants = grants
        self._access = access
        self._namespaces = namespaces
        self._creator = creator
        self._ttl_seconds = ttl_seconds

    async def begin(self, request: OperationRequest, caller: Caller, trace: Trace) -> TaskView:
        """Make the Task.

        Raises:
            SubmissionFailed: nothing was made; its cause is QuotaExceeded when the caller has too many.
        """
        namespace = self._namespaces.of(caller.user)
        try:
            await self._access.check(request.system, caller, trace)
        except GoldcrestError as error:
            _fail(Stage.ACCESS, error)
        try:
            self._check_quota(namespace, caller.user)
            name = rest_name(random_task_id())
            spec = self._spec(request, caller)
            parse_spec(Kind.TASK, spec)
            grant = await self._grants.grant(
                token=caller.token,
                route=caller.route,
                kind=Kind.TASK.value,
                namespace=namespace,
                name=name,
                spec=spec,
                trace=trace.header,
            )
            self._faults.point("after-grant", Kind.TASK.value)
            resource = {
                "apiVersion": API_VERSION,
                "kind": Kind.TASK.value,
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": {LABEL_DIALECT: request.dialect},
                    "annotations": {ANNOTATION_GRANT: grant, ANNOTATION_TRACEPARENT: trace.header},
                },
                "spec": spec,
            }
            view = self._tasks.learn(await self._creator.create(Kind.TASK, resource))
            self._faults.point("after-write", Kind.TASK.value)
        except GoldcrestError as error:
            _fail(Stage.CREATION, error)
        _log.info(
            "task.made", namespace=namespace, name=name, system=view.system, user=caller.user, task=view.operation
        )
        return view

    def _check_quota(self, namespace: str, user: str) -> None:
        """Admission counts too; here it costs nothing, and neither delegation nor policy is troubled."""
        there = sum(task.namespace == namespace for task in self._tasks.of_user(user))
        if there >= TASKS_OF_USER:
            raise QuotaExceeded(
                f"{user} has {there} tasks here, and no more than {TASKS_OF_USER} may be there at once: "
                "those whose result was read go within minutes"
            )

    def _spec(self, request: OperationRequest, caller: Caller) -> dict[str, Any]:
        changes = "cancelJob" in request.operation
        return {
            "system": request.system.name,
            "runAs": caller.user,
            "ttlSecondsAfterFinished": self._ttl_seconds if changes else QUERY_SECONDS,
            "operation": dict(request.operation),
        }


def _fail(stage: Stage, error: GoldcrestError) -> NoReturn:
    raise SubmissionFailed(stage, error) from error
