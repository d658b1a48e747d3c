"""Jobs whose status a newer release wrote."""

from __future__ import annotations

from typing import Any

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.wellknown import Phase
from goldcrest_operator.reading import read_job
from unit.operator.jobs import INTENT, UID, in_phase

pytestmark = pytest.mark.unit


def raw(**status: Any) -> dict[str, Any]:
    meta = {
        "name": "hello",
        "namespace": "hpc-alice",
        "uid": UID,
        "resourceVersion": "7",
        "creationTimestamp": "2030-03-17T17:40:00Z",
    }
    spec = {"system": "cluster", "runAs": "alice", "script": {"inline": "x"}}
    full = {**in_phase(Phase.QUEUED, jobId="12", submission=INTENT), **status}
    return {"metadata": meta, "spec": spec, "status": full}


def test_what_is_not_needed() -> None:
    """A field of another form is left out, and the others are read."""
    job = read_job(raw(nodeList=["n1", "n2"], files="many", exitCode=3))
    assert (job.status.node_list, job.status.files, job.status.exit_code) == (None, None, 3)
    assert (job.status.job_id, job.status.phase) == ("12", Phase.QUEUED)


@pytest.mark.parametrize(
    "status", [{"phase": "Migrating"}, {"jobId": 12}, {"submission": {"mark": "x"}}, {"cancelRequestedAt": 7}]
)
def test_what_is_needed(status: dict[str, Any]) -> None:
    """What decisions rest on is not guessed: without it a Job could run twice."""
    with pytest.raises(InvalidInput):
        read_job(raw(**status))
