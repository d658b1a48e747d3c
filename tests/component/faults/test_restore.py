"""etcd is put back to an earlier snapshot, which is worst of all: Kubernetes has forgotten what was submitted since."""

from __future__ import annotations

import pytest

from component.admission.stage import until
from component.faults.jobs import JOBS
from component.faults.rig import LEASE, Rig
from goldcrest_operator.unclaimed import SHOWN

pytestmark = pytest.mark.component


def test_restored(rig: Rig) -> None:
    """Jobs that had not been submitted in the snapshot are known again, and not run twice; those that ran are followed on; those that were made
    after it have no Job any more, and are reported; one with a run key is adopted when it is made again. Gateway and operator notice."""
    stage = rig.stage
    waiting = rig.add_many(JOBS, suspend=True)
    rig.slurm.run_for(600)
    running, deleted = rig.add_many(JOBS), rig.add()
    rig.until(lambda: all(rig.phase(name) == "Running" for name in (*running, deleted)))
    rig.until(lambda: all(rig.phase(name) == "Suspended" for name in waiting))
    stage.snapshot("hour-old")
    rig.until(rig.leads)

    rig.slurm.run_for(1)
    for name in waiting:
        rig.edit(name, suspend=False)
    rig.finished(*waiting)
    rig.slurm.run_for(600)
    lost, keyed = rig.add_many(JOBS), rig.add(runKey="the-run-of-today")
    rig.until(lambda: all(rig.phase(name) == "Running" for name in (*lost, keyed)))
    ids = {name: rig.status(name)["jobId"] for name in (*waiting, *running, *lost, keyed)}
    ghost = rig.task_id(lost[0])
    # Not at once: its watch was cut for the snapshot, and is tried again within 15 s.
    rig.until(lambda: _task_code(rig, ghost) == 200, what="the gateway knows it")
    rig.delete(deleted)
    rig.until(lambda: rig.job(deleted) is None)
    runs = rig.slurm.runs()

    rig.restart_operator(
        GOLDCREST_OPERATOR_LEASE__DURATION_SECONDS="121", GOLDCREST_OPERATOR_LEASE__RENEW_DEADLINE_SECONDS="120"
    )
    stage.restore("hour-old")

    until(lambda: stage.operator_has_ended, "the operator has noticed", seconds=100)
    assert "StoreWentBack" in stage.log("operator")
    stage.must("DELETE", LEASE)  # else its successor waits until that has expired
    stage.start_operator()
    rig.until(rig.leads, what="its successor has the Lease")
    assert not any(rig.job(name) for name in (*lost, keyed))
    rig.finished(deleted, phase="Cancelled")
    for name in waiting:
        assert not rig.status(name).get("jobId")
        rig.edit(name, suspend=False)
    rig.finished(*waiting)
    assert {name: rig.status(name)["jobId"] for name in (*waiting, *running)} == {
        n: ids[n] for n in (*waiting, *running)
    }
    assert {rig.phase(name) for name in running} == {"Running"}

    said = rig.until(lambda: _unclaimed(rig), what="what has no Job is reported")
    assert sum(f"{ids[name]} (alice, RUNNING)" in said for name in lost) == min(len(lost), SHOWN), said
    assert len(lost) <= SHOWN or f"and {len(lost) - SHOWN} more" in said
    assert not any(ids[name] in said for name in (*running, *waiting, keyed))  # a run with a key is of every cluster
    rig.until(lambda: _task_code(rig, ghost) == 404, what="the gateway has forgotten it too")

    rig.add(keyed, runKey="the-run-of-today")
    rig.until(lambda: rig.phase(keyed) == "Running")
    assert rig.status(keyed)["jobId"] == ids[keyed]
    rig.slurm.end_all()
    rig.finished(*running, keyed)
    assert rig.slurm.runs() == runs
    assert all(number <= 1 for number in runs.values())


def _unclaimed(rig: Rig) -> str:
    listed = rig.stage.must("GET", "/api/v1/namespaces/default/events")["items"]
    return " ".join(event["message"] for event in listed if event["reason"] == "Unclaimed")


def _task_code(rig: Rig, task: str) -> int:
    return rig.stage.rest(f"/tasks/{task}", rig.stage.issuer.token("alice"))[0]
