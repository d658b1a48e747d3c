"""Jobs in any state, for tests of decisions."""

from __future__ import annotations

from typing import Any

from goldcrest.models.conditions import run_once_conditions
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import FINALIZER, Phase, Reason
from goldcrest_operator.scheduler.interface import JobView

CLUSTER = "12345678-aaaa-bbbb-cccc-1234567890ab"
UID = "01234567-89ab-cdef-0123-456789abcdef"
TOKEN = "goldcrest:12345678:0123456789abcdef0123456789abcdef"
NOW = 1_900_000_000.0
INTENT = {"token": TOKEN, "time": "2030-03-17T17:46:00Z"}  # 40 s before NOW


def system(**scheduler: Any) -> SystemSpec:
    return SystemSpec.model_validate(
        {
            "hosts": [{"address": "login1", "port": 2222}],
            "filterPath": "/usr/libexec/goldcrest/ssh-filter",
            "scheduler": {"type": "Slurm", **scheduler},
            "workDirectory": "/scratch/{user}",
        }
    )


def job(
    *, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, deleting: bool = False, **meta: Any
) -> JobResource:
    metadata: dict[str, Any] = {
        "name": "hello",
        "namespace": "hpc-alice",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": "2030-03-17T17:40:00Z",
        "finalizers": [FINALIZER],
        **({"deletionTimestamp": "2030-03-17T17:41:00Z"} if deleting else {}),
        **meta,
    }
    full = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}, **(spec or {})}
    return JobResource.of({"metadata": metadata, "spec": full, "status": status or {}})


def in_phase(phase: Phase, reason: Reason = Reason.QUEUED, *, message: str = "", **fields: Any) -> dict[str, Any]:
    """A status as the operator writes it."""
    conditions = run_once_conditions(
        phase=phase, reason=reason, message=message, generation=1, at="2030-03-17T17:46:10Z"
    )
    return {
        "observedGeneration": 1,
        "phase": phase.value,
        "message": message,
        "conditions": [condition.dump() for condition in conditions],
        **fields,
    }


def view(
    state: str = "RUNNING", phase: Phase = Phase.RUNNING, outcome: Reason = Reason.RUNNING, **fields: Any
) -> JobView:
    values: dict[str, Any] = {
        "job_id": "12",
        "user": "alice",
        "token": TOKEN,
        "state": state,
        "reason": None,
        "phase": phase,
        "outcome": outcome,
        "message": f"Job 12: {state}.",
        **fields,
    }
    return JobView(**values)


COMPLETED = view("COMPLETED", Phase.SUCCEEDED, Reason.COMPLETED, exit_code=0, signal=0, elapsed=5)
PENDING = view("PENDING", Phase.QUEUED, Reason.QUEUED, reason="Priority")
