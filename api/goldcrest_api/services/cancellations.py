"""Cancelling a Job: an action grant of delegation and one field of the resource (T6). The operator does the rest."""

from __future__ import annotations

from goldcrest.errors import Conflict
from goldcrest.faults import NO_FAULTS, FaultPoints
from goldcrest.kube import Kube
from goldcrest.telemetry import Log, Trace
from goldcrest.wellknown import ANNOTATION_ACTION_GRANT, Kind
from goldcrest_api.caller import Caller
from goldcrest_api.job_cache import JobCache
from goldcrest_api.job_view import JobView
from goldcrest_api.ports import Grants

_log = Log(__name__)
_ATTEMPTS = 4  # the operator writes the status of a running job at any time


class Cancellations:
    """Sets ``spec.cancel`` for callers."""

    def __init__(self, *, kube: Kube, jobs: JobCache, grants: Grants, faults: FaultPoints = NO_FAULTS) -> None:
        self._faults = faults
        self._kube = kube
        self._jobs = jobs
        self._grants = grants

    async def cancel(self, job: JobView, caller: Caller, trace: Trace) -> JobView:
        """Ask for the Job to be cancelled; asking again changes nothing.

        Raises:
            Denied: delegation or admission says no.
            NotFound: the Job is gone.
            Conflict, Unavailable: it could not be written now.
        """
        if job.cancel:
            return job
        grant = await self._grants.action_grant(
            token=caller.token,
            route=caller.route,
            kind=Kind.JOB.value,
            namespace=job.namespace,
            name=job.name,
            uid=job.uid,
            field="cancel",
            value=True,
            trace=trace.header,
        )
        self._faults.point("after-grant", "cancel")
        version = job.resource_version
        for attempt in range(1, _ATTEMPTS + 1):
            patch = {
                "metadata": {
                    "uid": job.uid,
                    "resourceVersion": version,
                    "annotations": {ANNOTATION_ACTION_GRANT: grant},
                },
                "spec": {"cancel": True},
            }
            try:
                raw = await self._kube.patch(Kind.JOB, job.name, patch, namespace=job.namespace)
            except Conflict:
                if attempt == _ATTEMPTS:
                    raise
                live = self._jobs.learn(await self._kube.get(Kind.JOB, job.name, namespace=job.namespace))
                if live.cancel:
                    return live
                version = live.resource_version
                continue
            self._faults.point("after-write", "cancel")
            _log.info("job.cancel", namespace=job.namespace, name=job.name, system=job.system, user=caller.user)
            return self._jobs.learn(raw)
        raise AssertionError("unreachable")
