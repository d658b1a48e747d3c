"""Dependencies on other gjobs: judged from their statuses."""

from __future__ import annotations

from typing import Any

import pytest

from goldcrest.models.job import JobResource
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.reconcile.dependencies import resolve
from goldcrest_operator.reconcile.job import next_step
from goldcrest_operator.reconcile.observation import Attempt, Observation
from goldcrest_operator.reconcile.statuses import reason_of
from goldcrest_operator.reconcile.steps import Find, Persist, Submit, Wait, WriteIntent, WriteStatus
from unit.operator.jobs import CLUSTER, NOW, in_phase, job, system

pytestmark = pytest.mark.unit


def waiting(*dependencies: tuple[str, str], status: dict[str, Any] | None = None, **spec: Any) -> JobResource:
    named = [{"type": type_, "name": name} for type_, name in dependencies]
    return job(spec={"dependencies": named, **spec}, status=status)


def other(name: str, phase: Phase | None = None, reason: Reason = Reason.QUEUED, **more: Any) -> JobResource:
    spec, fields = more.pop("spec", {}), more
    status = in_phase(phase, reason, **fields) if phase is not None else {}
    return job(spec=spec, status=status, name=name, uid=f"uid-of-{name}")


@pytest.mark.parametrize(
    ("type_", "phase", "fields", "state"),
    [
        ("afterok", Phase.SUCCEEDED, {}, "Met"),
        ("afterok", Phase.FAILED, {}, "Failed"),
        ("afterok", Phase.CANCELLED, {}, "Failed"),
        ("aftercorr", Phase.SUCCEEDED, {}, "Met"),
        ("aftercorr", Phase.FAILED, {}, "Failed"),
        ("afternotok", Phase.FAILED, {}, "Met"),
        ("afternotok", Phase.CANCELLED, {}, "Met"),
        ("afternotok", Phase.SUCCEEDED, {}, "Failed"),
        ("afterany", Phase.FAILED, {}, "Met"),
        ("afterany", Phase.SUCCEEDED, {}, "Met"),
        ("after", Phase.CANCELLED, {}, "Met"),
        ("after", Phase.FAILED, {"startTime": "2030-01-01T00:00:00Z"}, "Met"),
        ("after", Phase.FAILED, {}, "Failed"),  # refused by the scheduler: it never started
        ("afterok", Phase.RUNNING, {"jobId": "9"}, "Submitted"),
        ("after", Phase.RUNNING, {"jobId": "9"}, "Submitted"),
        ("afterok", Phase.SUBMITTING, {}, "Waiting"),
        ("afterok", None, {}, "Waiting"),
    ],
)
def test_one_dependency(type_: str, phase: Phase | None, fields: dict[str, Any], state: str) -> None:
    """Finished ones by their status, submitted ones by their id, others are waited for."""
    found = resolve(waiting((type_, "a")), {"a": other("a", phase, **fields)})
    (status,) = found.statuses
    assert status.state == state
    assert (status.uid, status.job_id) == ("uid-of-a", fields.get("jobId"))
    assert bool(found.failed) == (state == "Failed")
    assert bool(found.waiting) == (state == "Waiting")


@pytest.mark.parametrize("spec", [{"system": "other"}, {"runAs": "bob"}])
def test_only_the_same_system_and_user(spec: dict[str, str]) -> None:
    """Slurm can wait for its own jobs, and nobody learns by this what becomes of another's."""
    found = resolve(waiting(("afterok", "a")), {"a": other("a", Phase.SUCCEEDED, spec=spec)})
    assert (found.statuses[0].state, found.statuses[0].job_id) == ("Waiting", None)
    assert "only the same system and Unix user" in found.failed


def test_what_was_recorded_stays() -> None:
    """A dependency that has ended well, or whose gjob is deleted after it was submitted, is not judged anew."""
    record = {"name": "a", "type": "afterok", "uid": "uid-of-a", "jobId": "9"}
    for state in ("Met", "Submitted"):
        resource = waiting(("afterok", "a"), status={"dependencies": [{**record, "state": state}]})
        (status,) = resolve(resource, {}).statuses
        assert (status.state, status.job_id) == (state, "9")
    failed = waiting(("afterok", "a"), status={"dependencies": [{**record, "state": "Failed"}]})
    assert "is not there any more" in resolve(failed, {}).failed
    again = job(name="a", uid="another", status=in_phase(Phase.SUCCEEDED))
    assert resolve(failed, {"a": again}).statuses[0].state == "Met"  # made again, and well this time


def test_circles_are_found() -> None:
    """Also long ones, with the way; what has been submitted is in no circle."""
    a, b = waiting(("afterok", "b")), other("b", spec={"dependencies": [{"type": "afterany", "name": "c"}]})
    c = other("c", spec={"dependencies": [{"type": "afterok", "name": "hello"}, {"type": "afterok", "name": "b"}]})
    assert "it depends on itself: hello → b → c → hello" in resolve(a, {"b": b, "c": c}).failed
    gone = other("c", Phase.RUNNING, jobId="9", spec=c.spec.dump())
    found = resolve(a, {"b": b, "c": gone})
    assert (found.failed, found.waiting) == ("", "gjob b has not been submitted yet (Pending)")


def test_a_chain_that_cannot_start() -> None:
    """What waits for a gjob that can never start can never start either, and says so."""
    stuck = other("a", Phase.PENDING, Reason.DEPENDENCY_FAILED)
    found = resolve(waiting(("afterok", "a")), {"a": stuck})
    assert "cannot start because of its own dependencies" in found.failed
    assert found.statuses[0].state == "Waiting"  # it may yet


def step_of(resource: JobResource, attempt: Attempt | None = None, **related: JobResource) -> Any:
    observed = Observation(now=NOW, attempt=attempt or Attempt(), related=related)
    return next_step(resource, system(), observed, cluster_id=CLUSTER)


def test_waits_and_says_for_what() -> None:
    """Not submitted, shown, and not written again."""
    step = step_of(waiting(("afterok", "a")))
    assert isinstance(step, WriteStatus)
    assert (step.status.phase, reason_of(step.status)) == (Phase.PENDING, Reason.WAITING_FOR_DEPENDENCY)
    assert step.status.message == "Waits: gjob a is not there yet."
    assert {c.type: c.status for c in step.status.conditions}["Reconciling"] == "True"
    shown = waiting(("afterok", "a"), status=step.status.dump())
    assert isinstance(step_of(shown), Wait)


def test_failed_is_stalled() -> None:
    """With the reason that programs read, and an event; when it is made again and ends well, it goes on."""
    step = step_of(waiting(("afterok", "a")), a=other("a", Phase.FAILED))
    assert isinstance(step, WriteStatus)
    conditions = {c.type: (c.status, c.reason) for c in step.status.conditions}
    assert conditions["Stalled"] == ("True", "DependencyFailed")
    assert conditions["Reconciling"][0] == "False"
    assert "gjob a has ended as Failed, which afterok does not allow" in (step.status.message or "")
    assert [notice.reason.value for notice in step.notices] == ["Delayed"]
    again = waiting(("afterok", "a"), status=step.status.dump())
    assert isinstance(step_of(again, a=job(name="a", uid="2", status=in_phase(Phase.SUCCEEDED))), WriteIntent)


def test_resolved_ids_are_stored_before_sbatch() -> None:
    """Delegation signs what the stored status says; what has changed since is stored first."""
    resource = waiting(("afterok", "a"))
    step = step_of(resource, a=other("a", Phase.RUNNING, jobId="9"))
    assert isinstance(step, WriteIntent)
    assert [found.dump() for found in step.status.dependencies] == [
        {"name": "a", "type": "afterok", "uid": "uid-of-a", "jobId": "9", "state": "Submitted"}
    ]
    begun = waiting(("afterok", "a"), status=step.status.dump())
    clean = Attempt(clean=True)
    assert isinstance(step_of(begun, clean, a=other("a", Phase.RUNNING, jobId="9")), Submit)
    ended = step_of(begun, clean, a=other("a", Phase.SUCCEEDED, jobId="9"))
    assert isinstance(ended, WriteIntent)
    assert ended.status.dependencies[0].state == "Met"


def test_a_run_with_a_key_is_looked_for_first() -> None:
    """Before its dependencies count, and once more right before it is begun; what is found is adopted."""
    resource = waiting(("afterok", "a"), runKey="k")
    assert step_of(resource) == Find()
    looked = Attempt(found=(), found_at=NOW - 5)
    assert isinstance(step_of(resource, looked), WriteStatus)
    done = other("a", Phase.SUCCEEDED)
    assert isinstance(step_of(resource, looked, a=done), WriteIntent)
    assert step_of(resource, Attempt(found=(), found_at=NOW - 50), a=done) == Find()
    adopted = step_of(resource, Attempt(found=("7", "12"), found_at=NOW))
    assert isinstance(adopted, Persist)
    assert adopted.status.job_id == "7"


def test_a_key_that_is_used_up() -> None:
    """The node remembers a run that the scheduler has forgotten: it is not run again, and says what to do."""
    intent = {"token": "goldcrest:12345678:" + "0" * 32, "time": "2030-03-17T17:40:00Z"}
    resource = job(spec={"runKey": "k"}, status=in_phase(Phase.SUBMITTING, submission=intent))
    certain = Attempt(found=(), found_at=NOW, repeated=True, nothing_taken=True)
    step = step_of(resource, certain)
    assert isinstance(step, WriteStatus)
    assert reason_of(step.status) is Reason.SUBMISSION_AMBIGUOUS
    assert "make a gjob with another runKey" in (step.status.message or "")
    assert isinstance(step_of(job(status=resource.status.dump()), certain), WriteIntent | Submit)
