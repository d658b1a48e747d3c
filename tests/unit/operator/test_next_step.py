"""The table of decisions: what follows from a Job in its state and what was observed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldcrest.authorised import authorised_commands, containment_commands, submit_command
from goldcrest.commands import Cancel, Command, Describe, Find, Hold, Release
from goldcrest.models.job import JobFiles, JobResource, JobStatus
from goldcrest.wellknown import ANNOTATION_PAUSED, EventReason, Phase, Reason
from goldcrest_operator.reconcile import steps
from goldcrest_operator.reconcile.certainty import LATE_SECONDS, STORED_SECONDS, begun, is_certain
from goldcrest_operator.reconcile.job import CANCEL_AGAIN_SECONDS, LOOK_AGAIN_SECONDS, next_step
from goldcrest_operator.reconcile.observation import Attempt, Observation, Refusal, Sighting, Trouble
from goldcrest_operator.reconcile.steps import Step
from goldcrest_operator.scheduler.interface import Submitted
from unit.operator.jobs import CLUSTER, COMPLETED, INTENT, NOW, PENDING, TOKEN, in_phase, job, system, view

pytestmark = pytest.mark.unit

FILES = {"stdout": "/scratch/alice/slurm-12.out"}
SUBMITTED = {"jobId": "12", "submission": {**INTENT, "host": "login1:2222"}, "files": FILES}
RELEASED = {**SUBMITTED, "submission": {**INTENT, "host": "login1:2222", "released": True}}
SUBMITTING = in_phase(Phase.SUBMITTING, Reason.SUBMITTING, submission=INTENT)
QUEUED = in_phase(Phase.QUEUED, **RELEASED)
INTENDED = NOW - 40
SETTLED = INTENDED + STORED_SECONDS
BLOCKED = "Unix user alice is blocked by the site"
TROUBLE = Trouble(Reason.SYSTEM_UNREACHABLE, "no host answers", unreachable=True)


def decide(
    resource: JobResource,
    attempt: Attempt | None = None,
    sighting: Sighting | None = None,
    *,
    fence: str | None = None,
    exists: bool = True,
    now: float = NOW,
    blocked: str = "",
    observer: str | None = None,
) -> Step:
    observed = Observation(now=now, attempt=attempt or Attempt(), sighting=sighting or Sighting(), blocked=blocked)
    scheduler = {"submitFence": fence, "observer": observer}
    spec = system(**{name: value for name, value in scheduler.items() if value}) if exists else None
    return next_step(resource, spec, observed, cluster_id=CLUSTER)


def written(step: Step) -> JobStatus:
    assert isinstance(step, steps.WriteStatus | steps.WriteIntent | steps.Persist), step
    return step.status


# ---- before submission ----


def test_new() -> None:
    """A new Job: first the intent, with the token, is written."""
    step = decide(job())
    assert isinstance(step, steps.WriteIntent)
    assert step.status.phase is Phase.SUBMITTING
    assert step.status.submission is not None
    assert step.status.submission.token == TOKEN


def test_own_intent() -> None:
    """An intent that this process wrote just now is followed by sbatch at once."""
    assert decide(job(status=SUBMITTING), Attempt(clean=True), now=INTENDED + 5) == steps.Submit()


@pytest.mark.parametrize("attempt", [Attempt(clean=True), Attempt(found=())])
def test_intent_of_another_try(attempt: Attempt) -> None:
    """Before another sbatch the stored time is written anew, and nothing else: a successor counts from the last try."""
    resource = job(status=SUBMITTING)
    step = decide(resource, attempt)
    assert isinstance(step, steps.WriteIntent)
    assert step.status.submission is not None
    assert step.status.submission.time == "2030-03-17T17:46:40Z"
    assert step.status.model_copy(update={"submission": resource.status.submission}) == resource.status
    assert decide(resource.model_copy(update={"status": step.status}), attempt) == steps.Submit(again=False)


@pytest.mark.parametrize(
    ("attempt", "again"),
    [
        (Attempt(clean=True), False),  # first of all: a node that knows the token refuses, and it is looked for
        (Attempt(clean=True, nothing_taken=True), True),  # sbatch itself said no, for now
        (
            Attempt(found=(), found_at=INTENDED + 5),
            False,
        ),  # not there, but its record may come late: the node says whether there was one
    ],
)
def test_only_who_knows_what_was_begun_submits_again(attempt: Attempt, again: bool) -> None:
    """A Job that is made again with its grant has the token of the first, whose submission a node remembers."""
    assert decide(job(status=SUBMITTING), attempt, now=INTENDED + 5) == steps.Submit(again)


def test_unknown_intent() -> None:
    """An intent of which nothing is known: the token is looked for."""
    assert decide(job(status=SUBMITTING)) == steps.Find()


def test_nothing_found() -> None:
    """Nothing found: with the fence it is submitted at once, without only when nothing can come late any more."""
    resource, early = job(status=SUBMITTING), INTENDED + 5
    assert decide(resource, Attempt(found=(), found_at=early), now=early) == steps.Submit(again=False)
    told = written(decide(resource, Attempt(found=(), found_at=early), fence="None", now=early))
    assert told.message == (
        "Not submitted again yet: what came of an earlier submission is certain at 2030-03-17T17:48:30Z."
    )
    waiting = resource.model_copy(update={"status": told})
    assert decide(waiting, Attempt(found=(), found_at=early), fence="None", now=early) == steps.Wait(LOOK_AGAIN_SECONDS)
    looked = Attempt(found=(), found_at=early)
    assert decide(waiting, looked, fence="None", now=early + LOOK_AGAIN_SECONDS) == steps.Find()
    nearly = Attempt(found=(), found_at=SETTLED - 3)
    assert decide(waiting, nearly, fence="None", now=SETTLED - 3) == steps.Wait(3)
    assert decide(waiting, nearly, fence="None", now=SETTLED) == steps.Find()
    settled = Attempt(found=(), found_at=SETTLED)
    assert isinstance(decide(waiting, settled, fence="None", now=SETTLED), steps.WriteIntent)
    known = Attempt(found=(), found_at=early, unclear_until=early + 200)
    told = written(decide(waiting, known, fence="None", now=early))
    assert decide(resource.model_copy(update={"status": told}), known, fence="None", now=early) == steps.Wait(
        LOOK_AGAIN_SECONDS
    )


def test_the_node_remembers_one() -> None:
    """An sbatch that the node remembers: looked for until it is certain, with the fence too; then submitted again, past the mark."""
    resource, early = job(status=SUBMITTING), INTENDED + 5
    until = early + LATE_SECONDS
    repeated = Attempt(repeated=True, unclear_until=until)
    assert decide(resource, repeated, now=early) == steps.Find()
    looked = replace(repeated, found=(), found_at=early)
    told = written(decide(resource, looked, now=early))
    assert told.message == (
        "Not submitted again yet: what came of an earlier submission is certain at 2030-03-17T17:47:20Z."
    )
    waiting = resource.model_copy(update={"status": told})
    assert decide(waiting, looked, now=early) == steps.Wait(LOOK_AGAIN_SECONDS)
    assert decide(waiting, looked, now=early + LOOK_AGAIN_SECONDS) == steps.Find()
    certain = replace(repeated, found=(), found_at=until, nothing_taken=True)
    renewed = written(decide(waiting, certain, now=until))
    ready = waiting.model_copy(update={"status": renewed})
    assert decide(ready, certain, now=until) == steps.Submit(again=True)
    adopted = decide(waiting, replace(repeated, found=("12",), found_at=early), now=early)
    assert isinstance(adopted, steps.Persist)
    assert adopted.status.job_id == "12"


def test_the_node_remembers_an_unwanted_one() -> None:
    """Cancelled, suspended or deleted meanwhile: it is looked for all the same, and nothing is submitted."""
    looked = Attempt(repeated=True, found=(), found_at=NOW, unclear_until=NOW + 60)
    for unwanted in ({"cancel": True}, {"suspend": True}):
        resource = job(spec=unwanted, status=SUBMITTING)
        assert decide(resource, Attempt(repeated=True, unclear_until=NOW + 60)) == steps.Find()
        told = written(decide(resource, looked))
        assert decide(resource.model_copy(update={"status": told}), looked) == steps.Wait(LOOK_AGAIN_SECONDS)
    assert decide(job(status=SUBMITTING, deleting=True), looked) == steps.Cancel()


@pytest.mark.parametrize("attempt", [Attempt(found=("12", "110")), Attempt()])
def test_found(attempt: Attempt) -> None:
    """Found, by asking or by the tracker: the lowest id is stored, as Adopted."""
    step = decide(job(status=SUBMITTING), attempt, Sighting(strays=("12", "110")))
    assert isinstance(step, steps.Persist)
    assert step.status.job_id == "12"
    assert step.notices[0].reason is EventReason.ADOPTED


def test_sbatch_answered() -> None:
    """An id that is stored nowhere is stored before anything else is done, even for a Job that is to be deleted."""
    attempt = Attempt(submitted=Submitted("12", "login1:2222"))
    for resource in (
        job(status=SUBMITTING),
        job(status=SUBMITTING, deleting=True),
        job(spec={"cancel": True}, status=SUBMITTING),
    ):
        step = decide(resource, attempt)
        assert isinstance(step, steps.Persist)
        assert step.status.job_id == "12"
        assert step.status.submission is not None
        assert step.status.submission.host == "login1:2222"


def test_refused() -> None:
    """A final no is Failed, with reason and words, in an event too."""
    step = decide(
        job(status=SUBMITTING), Attempt(clean=True, refusal=Refusal(Reason.REJECTED_BY_SCHEDULER, "no such partition"))
    )
    assert isinstance(step, steps.WriteStatus)
    assert (step.status.phase, step.status.message) == (Phase.FAILED, "no such partition")
    assert [notice.reason for notice in step.notices] == [EventReason.FAILED]


def test_trouble() -> None:
    """Trouble is shown once, then tried again; where only a person can help, seldom."""
    resource = job(status=SUBMITTING)
    step = decide(resource, Attempt(clean=True, trouble=TROUBLE))
    status = written(step)
    assert status.phase is Phase.SUBMITTING
    assert {item.type: item.status for item in status.conditions}["Ready"] == "Unknown"
    shown = resource.model_copy(update={"status": status})
    assert decide(shown, Attempt(clean=True, trouble=TROUBLE)) == steps.Retry()
    other_words = Trouble(Reason.SYSTEM_UNREACHABLE, "login2 does not answer", unreachable=True)
    assert decide(shown, Attempt(clean=True, trouble=other_words)) == steps.Retry()
    stalled = Trouble(Reason.POLICY_DENIED, "no", stalled=True)
    denied = written(decide(shown, Attempt(trouble=stalled)))
    assert decide(resource.model_copy(update={"status": denied}), Attempt(trouble=stalled)) == steps.Retry(seldom=True)


@pytest.mark.parametrize("status", [{}, in_phase(Phase.SUSPENDED, Reason.SUSPENDED)])
def test_cancelled_before(status: dict[str, Any]) -> None:
    """Not wanted any more before any submission: Cancelled, without a login node and without a System."""
    step = decide(job(spec={"cancel": True}, status=status), exists=False)
    assert written(step).phase is Phase.CANCELLED
    assert written(step).cancel_requested_at is not None


def test_cancelled_with_unknown_intent() -> None:
    """Not wanted any more, but there may be a submission: looked for, and Cancelled only when nothing can come late any more."""
    resource = job(spec={"cancel": True}, status=SUBMITTING)
    assert decide(resource) == steps.Find()
    told = written(decide(resource, Attempt(found=(), found_at=NOW)))
    assert told.phase is Phase.SUBMITTING
    assert told.cancel_requested_at is not None
    waiting = resource.model_copy(update={"status": told})
    assert decide(waiting, Attempt(found=(), found_at=NOW)) == steps.Wait(LOOK_AGAIN_SECONDS)
    assert decide(waiting, Attempt(found=(), found_at=NOW), now=SETTLED) == steps.Find()
    settled = Attempt(found=(), found_at=SETTLED)
    assert written(decide(waiting, settled, now=SETTLED)).phase is Phase.CANCELLED
    assert isinstance(decide(resource, Attempt(found=("12",))), steps.Persist)


def test_deleted_before() -> None:
    """Deleted before any submission: let go."""
    assert decide(job(deleting=True)) == steps.RemoveFinalizer()
    assert decide(job(status=SUBMITTING, deleting=True), Attempt(clean=True)) == steps.RemoveFinalizer()


def test_deleted_with_unknown_intent() -> None:
    """Deleted, and there may be a submission: cancelled by its token, again when nothing can come late any more, then let go."""
    resource = job(status=SUBMITTING, deleting=True)
    early = INTENDED + 10
    assert decide(resource, now=early) == steps.Cancel()
    assert decide(resource, Attempt(cancelled_at=early), now=early) == steps.Wait(140)
    assert decide(resource, Attempt(cancelled_at=early), now=SETTLED) == steps.Cancel()
    assert decide(resource, Attempt(cancelled_at=SETTLED), now=SETTLED) == steps.RemoveFinalizer()
    later = Attempt(cancelled_at=SETTLED, unclear_until=SETTLED + 60)  # this process tried again later
    assert decide(resource, later, now=SETTLED) == steps.Wait(60)


def test_refused_after_a_lost_answer() -> None:
    """A final no to a second try is Failed only when it is certain that the first did not take effect."""
    refusal = Refusal(Reason.REJECTED_BY_SCHEDULER, "no such partition")
    resource = job(status=SUBMITTING)
    assert decide(resource, Attempt(refusal=refusal)) == steps.Find()
    assert written(decide(resource, Attempt(refusal=refusal, found=(), found_at=NOW))).phase is Phase.SUBMITTING
    settled = Attempt(refusal=refusal, found=(), found_at=SETTLED)
    assert written(decide(resource, settled, now=SETTLED)).phase is Phase.FAILED


def test_suspended_before() -> None:
    """suspend before submission: Suspended, without an intent; written once."""
    resource = job(spec={"suspend": True}, status=SUBMITTING)
    assert decide(resource) == steps.Find()
    status = written(decide(resource, Attempt(clean=True)))
    assert (status.phase, status.submission) == (Phase.SUSPENDED, None)
    assert decide(resource.model_copy(update={"status": status})) == steps.Rest()


def test_no_system() -> None:
    """Without its System a Job says so, once."""
    resource = job()
    status = written(decide(resource, exists=False))
    assert status.message == "There is no System 'cluster'."
    assert isinstance(decide(resource.model_copy(update={"status": status}), exists=False), steps.Wait)


# ---- after submission ----


def test_released_after_its_id_is_stored() -> None:
    """A stored job is released, exactly by its id."""
    assert decide(job(status=in_phase(Phase.QUEUED, **SUBMITTED)), Attempt(released=False)) == steps.Release("12")
    assert decide(job(status=in_phase(Phase.QUEUED, **SUBMITTED))) == steps.Release("12")


def test_files_of_a_job_that_was_found_again() -> None:
    """They are asked for once, after the release, and written when the scheduler says them."""
    resource = job(status=in_phase(Phase.QUEUED, jobId="12", submission=INTENT))
    assert decide(resource) == steps.Release("12")
    assert decide(resource, Attempt(released=True)) == steps.AskFiles("12")
    files = JobFiles.model_validate(FILES)
    assert written(decide(resource, Attempt(released=True, files_asked=True, files=files))).files == files
    assert decide(resource, Attempt(released=True, files_asked=True)) == steps.Rest()


def test_released_once() -> None:
    """That it was released is not worth a write of its own: it goes along with the next state."""
    resource = job(status=in_phase(Phase.QUEUED, **SUBMITTED))
    assert decide(resource, Attempt(released=True)) == steps.Rest()
    status = written(decide(resource, Attempt(released=True), Sighting(view=view())))
    assert status.phase is Phase.RUNNING
    assert status.submission is not None
    assert status.submission.released


def test_no_fence() -> None:
    """Without a fence nothing is released that was not held."""
    assert decide(job(status=in_phase(Phase.QUEUED, **SUBMITTED)), fence="None") == steps.Rest()
    held = in_phase(Phase.SUSPENDED, **{**SUBMITTED, "submission": {**INTENT, "released": False}})
    assert decide(job(status=held), fence="None") == steps.Release("12")


def holds(resource: JobResource, *about: Any, **more: Any) -> steps.Step:
    """The step after the one that writes down that nobody knows whether the job is held."""
    status = written(decide(resource, *about, **more))
    assert status.submission is not None
    assert status.submission.released is None
    return decide(resource.model_copy(update={"status": status}), *about, **more)


def test_suspended_after() -> None:
    """suspend while it waits: held once; Suspended; not while it runs; not again for the same wish when it came too late."""
    resource = job(spec={"suspend": True}, status=QUEUED)
    assert holds(resource, sighting=Sighting(view=PENDING)) == steps.Hold("12")
    status = written(decide(resource, Attempt(released=False), Sighting(view=PENDING)))
    assert status.phase is Phase.SUSPENDED
    assert status.submission is not None
    assert status.submission.released is False
    assert not isinstance(decide(resource, sighting=Sighting(view=view())), steps.Hold)
    assert not isinstance(decide(resource, Attempt(hold_refused_at_generation=1), Sighting(view=PENDING)), steps.Hold)


def test_suspended_before_release() -> None:
    """suspend between sbatch and release: it stays held, and nothing is asked of the scheduler."""
    resource = job(spec={"suspend": True}, status=in_phase(Phase.QUEUED, **SUBMITTED))
    step = decide(resource, Attempt(released=False))
    assert written(step).phase is Phase.SUSPENDED


def test_suspended_though_it_was_let_go() -> None:
    """A predecessor released it, died before that was written, and now it is to be held: what the scheduler shows counts."""
    stale = in_phase(Phase.QUEUED, **HELD)
    suspended = job(spec={"suspend": True}, status=stale)
    assert holds(suspended, sighting=Sighting(view=PENDING)) == steps.Hold("12")
    held = view(phase=Phase.QUEUED, state="PENDING", held=True)
    assert not isinstance(decide(suspended, sighting=Sighting(view=held)), steps.Hold)


@pytest.mark.parametrize("fence", ["Hold", "None"])
def test_resumed_though_it_may_be_held(fence: str) -> None:
    """A predecessor held it, or was about to: it is released."""
    unknown = job(status=in_phase(Phase.QUEUED, **SUBMITTED))
    held = view(phase=Phase.QUEUED, state="PENDING", held=True)
    assert decide(unknown, sighting=Sighting(view=held), fence=fence) == steps.Release("12")


def test_resumed() -> None:
    """suspend taken back: released, then Queued, with an event."""
    status = in_phase(Phase.SUSPENDED, **{**SUBMITTED, "submission": {**INTENT, "released": False}})
    assert decide(job(status=status)) == steps.Release("12")
    step = decide(job(status=status), Attempt(released=True))
    assert isinstance(step, steps.WriteStatus)
    assert step.status.phase is Phase.QUEUED
    assert step.notices[0].reason is EventReason.RESUMED


def test_cancelled_after() -> None:
    """cancel: the latch is written, the token cancelled, repeated after half a minute; Cancelled when the scheduler says so."""
    resource = job(spec={"cancel": True}, status=QUEUED)
    status = written(decide(resource))
    assert status.cancel_requested_at is not None
    latched = resource.model_copy(update={"status": status})
    assert decide(latched) == steps.Cancel()
    assert decide(latched, Attempt(cancelled_at=NOW)) == steps.Wait(CANCEL_AGAIN_SECONDS)
    assert decide(latched, Attempt(cancelled_at=NOW - 31)) == steps.Cancel()
    ended = view("CANCELLED", Phase.CANCELLED, Reason.CANCELLED)
    assert written(decide(latched, Attempt(cancelled_at=NOW), Sighting(view=ended))).phase is Phase.CANCELLED


def test_latch() -> None:
    """cancel set back has no effect once it was latched."""
    resource = job(spec={"cancel": False}, status={**QUEUED, "cancelRequestedAt": "2030-03-17T17:46:20Z"})
    assert decide(resource) == steps.Cancel()


def test_deleted_after() -> None:
    """Deleted: cancelled first, then let go; with Orphan let go at once; another's finalizer is none of ours."""
    latched = {**QUEUED, "cancelRequestedAt": "2030-03-17T17:46:20Z"}
    assert written(decide(job(status=QUEUED, deleting=True))).cancel_requested_at is not None
    assert decide(job(status=latched, deleting=True)) == steps.Cancel()
    assert decide(job(status=latched, deleting=True), Attempt(cancelled_at=NOW)) == steps.RemoveFinalizer()
    orphan = job(spec={"deletionPolicy": "Orphan"}, status=QUEUED, deleting=True)
    assert decide(orphan, exists=False) == steps.RemoveFinalizer()
    assert decide(orphan) == steps.RemoveFinalizer()
    assert decide(job(status=QUEUED, deleting=True, finalizers=["example.org/other"])) == steps.Rest()


def test_orphan_that_is_still_held() -> None:
    """Deleted with Orphan before its release: found, stored and released first; not when it is suspended or cancelled."""
    orphan = {"deletionPolicy": "Orphan"}
    held = in_phase(Phase.QUEUED, **SUBMITTED)
    resource = job(spec=orphan, status=held, deleting=True)
    assert decide(resource) == steps.Release("12")
    assert decide(resource, Attempt(released=True)) == steps.RemoveFinalizer()
    assert decide(resource, sighting=Sighting(view=view())) == steps.RemoveFinalizer()
    for unwanted in ({"suspend": True}, {"cancel": True}):
        assert decide(job(spec={**orphan, **unwanted}, status=held, deleting=True)) == steps.RemoveFinalizer()
    unclear = job(spec=orphan, status=SUBMITTING, deleting=True)
    assert decide(unclear) == steps.Find()
    assert isinstance(decide(unclear, Attempt(found=("12",))), steps.Persist)
    assert isinstance(decide(unclear, Attempt(submitted=Submitted("12", "login1:2222"))), steps.Persist)
    told = unclear.model_copy(update={"status": written(decide(unclear, Attempt(found=(), found_at=NOW)))})
    assert decide(told, Attempt(found=(), found_at=NOW)) == steps.Wait(LOOK_AGAIN_SECONDS)
    assert decide(told, Attempt(found=(), found_at=SETTLED), now=SETTLED) == steps.RemoveFinalizer()
    assert decide(unclear, Attempt(clean=True)) == steps.RemoveFinalizer()


def test_doubles() -> None:
    """Doubles are swept, whoever saw them; the stored id is kept."""
    resource = job(status=QUEUED)
    expected = steps.Sweep(keep=("12",), strays=("15",))
    assert decide(resource, sighting=Sighting(strays=("15",))) == expected
    assert decide(resource, Attempt(found=("12", "15"))) == expected
    assert decide(resource, Attempt(submitted=Submitted("15", "login1:2222"))) == expected


def test_seen() -> None:
    """What the scheduler shows is written when it changes, and only then."""
    resource = job(status=QUEUED)
    status = written(decide(resource, sighting=Sighting(view=PENDING)))
    assert status.scheduler is not None
    assert (status.scheduler.state, status.scheduler.reason) == ("PENDING", "Priority")
    again = resource.model_copy(update={"status": status})
    assert decide(again, sighting=Sighting(view=PENDING)) == steps.Rest()
    longer = view("PENDING", Phase.QUEUED, Reason.QUEUED, reason="Priority", elapsed=99)
    assert decide(again, sighting=Sighting(view=longer)) == steps.Rest()


def test_ended() -> None:
    """The end is written with exit code and times, before a cancel that is also wanted."""
    for resource in (job(status=QUEUED), job(spec={"cancel": True}, status=QUEUED)):
        seen = view(
            "FAILED", Phase.FAILED, Reason.NON_ZERO_EXIT, exit_code=3, signal=0, start=1_800_000_000, elapsed=60
        )
        status = written(decide(resource, sighting=Sighting(view=seen)))
        assert (status.phase, status.exit_code, status.signal) == (Phase.FAILED, 3, 0)
        assert (status.start_time, status.end_time) == ("2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z")


def test_unreachable_while_active() -> None:
    """Ready is Unknown while the system does not answer, in the same phase; never Failed; back when it answers."""
    resource = job(status=QUEUED)
    status = written(decide(resource, sighting=Sighting(view=PENDING, trouble=TROUBLE)))
    assert status.phase is Phase.QUEUED
    assert {item.type: (item.status, item.reason) for item in status.conditions}["Ready"] == (
        "Unknown",
        "SystemUnreachable",
    )
    shown = resource.model_copy(update={"status": status})
    assert decide(shown, sighting=Sighting(view=PENDING, trouble=TROUBLE)) == steps.Rest()
    assert decide(shown) == steps.Rest()  # after a restart, before anything was seen
    back = written(decide(shown, sighting=Sighting(view=PENDING)))
    assert {item.type: item.status for item in back.conditions}["Ready"] == "False"


def test_another_jobs_view() -> None:
    """A view of another id is not believed."""
    assert decide(job(status=QUEUED), sighting=Sighting(view=view(job_id="13"))) == steps.Rest()


# ---- after the end ----

DONE = in_phase(Phase.SUCCEEDED, Reason.COMPLETED, **RELEASED)


def test_finished() -> None:
    """A finished Job is left alone, whatever is seen or wanted."""
    for resource in (
        job(status=DONE),
        job(spec={"suspend": True}, status=DONE),
        job(spec={"cancel": True}, status=DONE),
    ):
        assert decide(resource, sighting=Sighting(view=view())) == steps.Rest()


def test_finished_and_deleted() -> None:
    """A finished Job is let go without asking anybody."""
    assert decide(job(status=DONE, deleting=True), exists=False) == steps.RemoveFinalizer()


def test_time_to_live() -> None:
    """It is deleted when its time after the end is over, and waited for until then."""
    finished = NOW - 30  # 17:46:10
    assert decide(job(spec={"ttlSecondsAfterFinished": 30}, status=DONE)) == steps.Delete()
    assert decide(job(spec={"ttlSecondsAfterFinished": 60}, status=DONE)) == steps.Wait(finished + 60 - NOW)


def test_late_double() -> None:
    """A double that shows up after the end is swept; trouble with that does not hold up a deletion."""
    strays = Sighting(strays=("15",))
    assert decide(job(status=DONE), sighting=strays) == steps.Sweep(keep=("12",), strays=("15",))
    assert decide(job(status=DONE, deleting=True), Attempt(trouble=TROUBLE), strays) == steps.RemoveFinalizer()


@pytest.mark.parametrize("status", [QUEUED, DONE])
def test_swept_when_nothing_can_come_late(status: dict[str, Any]) -> None:
    """After an sbatch whose end nobody saw doubles are swept once more, when it can have no effect any more; also after the end."""
    resource = job(status=status)
    assert decide(resource, Attempt(released=True, unclear_until=NOW + 30)) == steps.Wait(30)
    due = Attempt(released=True, unclear_until=NOW)
    assert decide(resource, due) == steps.Sweep(keep=("12",), strays=())
    latched = job(status={**status, "cancelRequestedAt": "2030-03-17T17:46:20Z"}, deleting=True)
    assert decide(latched, Attempt(cancelled_at=NOW, unclear_until=NOW + 30)) == steps.Wait(30)
    assert decide(latched, Attempt(cancelled_at=NOW)) == steps.RemoveFinalizer()
    assumed = Attempt(cancelled_at=NOW, unclear_until=NOW + 30, assumed=True)
    assert decide(latched, assumed) == steps.RemoveFinalizer()


def test_what_a_successor_assumes() -> None:
    """A process that sees a Job first takes its intent for an sbatch; an old one of a submitted Job has been swept."""
    assert begun(job(), now=NOW) == Attempt()
    assert begun(job(status=SUBMITTING), now=NOW + 10_000) == Attempt(unclear_until=SETTLED, assumed=True)
    assert begun(job(status=QUEUED), now=NOW) == Attempt(unclear_until=SETTLED, assumed=True)
    assert begun(job(status=QUEUED), now=NOW + 10_000) == Attempt()
    failed = in_phase(Phase.FAILED, Reason.REJECTED_BY_SCHEDULER, submission=INTENT)
    assert begun(job(status=failed), now=NOW) == Attempt()


# ---- blocked by an administrator ----

HELD = {**SUBMITTED, "submission": {**INTENT, "host": "login1:2222", "released": False}}


@pytest.mark.parametrize("status", [{}, in_phase(Phase.SUSPENDED, Reason.SUSPENDED), SUBMITTING])
def test_blocked_before(status: dict[str, Any]) -> None:
    """Neither intent, search nor sbatch: it waits and says why, with one event; written once."""
    step = decide(job(status=status), blocked=BLOCKED)
    shown = written(step)
    assert shown.phase is (Phase.SUBMITTING if status is SUBMITTING else Phase.PENDING)
    ready = {condition.type: condition for condition in shown.conditions}
    assert (ready["Ready"].status, ready["Ready"].reason) == ("False", "Blocked")
    assert (ready["Reconciling"].status, ready["Stalled"].status) == ("True", "False")
    assert shown.message == f"Stopped by an administrator: {BLOCKED}. It goes on by itself when that is lifted."
    assert isinstance(step, steps.WriteStatus)
    assert [notice.reason for notice in step.notices] == [EventReason.BLOCKED]
    again = job().model_copy(update={"status": shown})
    assert decide(again, blocked=BLOCKED) == steps.Rest()
    assert decide(again, Attempt(clean=True)) != steps.Rest()


def test_blocked_and_not_wanted() -> None:
    """What needs no login node is done all the same: suspended, cancelled, deleted."""
    assert written(decide(job(spec={"suspend": True}), blocked=BLOCKED)).phase is Phase.SUSPENDED
    assert written(decide(job(spec={"cancel": True}), blocked=BLOCKED)).phase is Phase.CANCELLED
    assert decide(job(deleting=True), blocked=BLOCKED) == steps.RemoveFinalizer()


def test_blocked_with_an_answer_of_sbatch() -> None:
    """An id that is stored nowhere yet is stored first."""
    attempt = Attempt(clean=True, submitted=Submitted("12", "login1:2222", None))
    assert isinstance(decide(job(status=SUBMITTING), attempt, blocked=BLOCKED), steps.Persist)


def test_blocked_in_the_queue() -> None:
    """Held, then shown as suspended with that reason; released when the block is lifted, unless the user suspended it."""
    resource = job(status=QUEUED)
    assert holds(resource, Attempt(released=True), Sighting(PENDING), blocked=BLOCKED) == steps.Hold("12")
    step = decide(resource, Attempt(released=False), Sighting(PENDING), blocked=BLOCKED)
    shown = written(step)
    assert (shown.phase, shown.conditions[0].reason) == (Phase.SUSPENDED, "Blocked")
    assert shown.submission is not None
    assert shown.submission.released is False
    assert isinstance(step, steps.WriteStatus)
    assert [notice.reason for notice in step.notices] == [EventReason.BLOCKED]
    held = resource.model_copy(update={"status": shown})
    assert decide(held, blocked=BLOCKED) == steps.Rest()
    assert decide(held) == steps.Release("12")
    unwanted = job(spec={"suspend": True}, status=in_phase(Phase.SUSPENDED, Reason.BLOCKED, **HELD))
    assert written(decide(unwanted)).conditions[0].reason == "Suspended"


def test_blocked_while_it_runs() -> None:
    """Left alone; without an observer it is said that it is not followed, with one nothing is said at all."""
    running = job(status=in_phase(Phase.RUNNING, Reason.RUNNING, **RELEASED))
    shown = written(decide(running, Attempt(), Sighting(view()), blocked=BLOCKED))
    assert (shown.phase, shown.conditions[0].reason) == (Phase.RUNNING, "Blocked")
    assert "left as it is" in (shown.message or "")
    step = decide(running, Attempt(), Sighting(view()), blocked=BLOCKED, observer="watcher")
    assert not isinstance(step, steps.WriteStatus) or written(step).conditions[0].reason == "Running"


def test_blocked_and_it_could_not_be_held() -> None:
    """Holding that came too late is not tried again."""
    attempt = Attempt(hold_refused_at_generation=1)
    assert isinstance(decide(job(status=QUEUED), attempt, blocked=BLOCKED), steps.WriteStatus)


def test_blocked_and_cancelled() -> None:
    """Cancelled once; nobody can look whether it has ended, so it is not repeated."""
    resource = job(spec={"cancel": True}, status={**QUEUED, "cancelRequestedAt": "2030-03-17T17:46:20Z"})
    assert decide(resource, blocked=BLOCKED) == steps.Cancel()
    late = decide(resource, Attempt(cancelled_at=NOW - 100), blocked=BLOCKED)
    assert not isinstance(late, steps.Cancel)
    assert decide(resource, Attempt(cancelled_at=NOW - 100)) == steps.Cancel()


def test_blocked_and_only_the_resource_deleted() -> None:
    """A job that waits is held and keeps its resource; one that runs is let go."""
    orphan: dict[str, Any] = {"spec": {"deletionPolicy": "Orphan"}, "deleting": True}
    assert holds(job(status=QUEUED, **orphan), blocked=BLOCKED) == steps.Hold("12")
    held = in_phase(Phase.SUSPENDED, Reason.BLOCKED, **HELD)
    assert decide(job(status=held, **orphan)) == steps.Release("12")
    assert not isinstance(decide(job(status=held, **orphan), blocked=BLOCKED), steps.RemoveFinalizer)
    running = in_phase(Phase.RUNNING, Reason.RUNNING, **RELEASED)
    assert decide(job(status=running, **orphan), blocked=BLOCKED) == steps.RemoveFinalizer()


def test_paused() -> None:
    """Paused: nothing at all."""
    annotations = {ANNOTATION_PAUSED: "true"}
    assert decide(job(annotations=annotations)) == steps.Rest()
    assert decide(job(status=DONE, deleting=True, annotations=annotations)) == steps.Rest()


# ---- what holds always ----

STATUSES: list[dict[str, Any]] = [
    {},
    in_phase(Phase.SUSPENDED, Reason.SUSPENDED),
    SUBMITTING,
    in_phase(Phase.QUEUED, **SUBMITTED),
    in_phase(Phase.QUEUED, jobId="12", submission=INTENT),
    QUEUED,
    in_phase(Phase.RUNNING, Reason.RUNNING, **RELEASED),
    in_phase(Phase.SUSPENDED, Reason.SUSPENDED, **{**SUBMITTED, "submission": {**INTENT, "released": False}}),
    DONE,
    in_phase(Phase.CANCELLED, Reason.CANCELLED, cancelRequestedAt="2030-03-17T17:46:20Z"),
]
jobs = st.builds(
    lambda status, suspend, cancel, policy, deleting: job(
        spec={
            key: value
            for key, value in {"suspend": suspend, "cancel": cancel, "deletionPolicy": policy}.items()
            if value is not None
        },
        status=status,
        deleting=deleting,
    ),
    st.sampled_from(STATUSES),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "Cancel", "Orphan"]),
    st.booleans(),
)
attempts = st.builds(
    Attempt,
    clean=st.booleans(),
    found=st.sampled_from([None, (), ("12",), ("12", "15")]),
    found_at=st.sampled_from([None, NOW]),
    repeated=st.booleans(),
    nothing_taken=st.booleans(),
    unclear_until=st.sampled_from([None, NOW - 1, NOW + 30]),
    released=st.sampled_from([None, True, False]),
    cancelled_at=st.sampled_from([None, NOW, NOW - 100]),
)
sightings = st.builds(
    Sighting,
    view=st.sampled_from([None, PENDING, COMPLETED, view()]),
    strays=st.sampled_from([(), ("15",)]),
    trouble=st.sampled_from([None, TROUBLE]),
)


@settings(deadline=None)  # no assertion on seconds: other builds share the machine
@given(jobs, attempts, sightings, st.sampled_from([None, "Hold", "None"]))
def test_only_what_is_authorised(
    resource: JobResource, attempt: Attempt, sighting: Sighting, fence: str | None
) -> None:
    """Every step that needs a certificate is one that delegation will sign in this very state."""
    spec = system(**({"submitFence": fence} if fence else {}))
    command = _command(decide(resource, attempt, sighting, fence=fence), resource, spec)
    if command is not None:
        assert command in authorised_commands(resource, spec, cluster_id=CLUSTER)


@given(jobs, attempts, sightings, st.sampled_from([None, "Hold", "None"]), st.sampled_from([None, "watcher"]))
def test_only_containment_while_blocked(
    resource: JobResource, attempt: Attempt, sighting: Sighting, fence: str | None, observer: str | None
) -> None:
    """While somebody is blocked, every step that needs a certificate only makes less run, and delegation will sign it."""
    command = _command(
        decide(resource, attempt, sighting, fence=fence, observer=observer, blocked=BLOCKED), resource, system()
    )
    if command is not None:
        assert command in containment_commands(resource, cluster_id=CLUSTER)


@given(jobs, attempts, sightings)
def test_never_blindly(resource: JobResource, attempt: Attempt, sighting: Sighting) -> None:
    """sbatch is only run with an intent stored, none of its jobs known, nothing against it, and certainty that none is there."""
    if isinstance(decide(resource, attempt, sighting), steps.Submit):
        assert resource.status.submission is not None
        assert resource.status.job_id is None
        assert not resource.deleting
        assert not resource.spec.suspend
        assert not resource.spec.cancel
        assert attempt.clean or attempt.found == ()


@given(jobs, attempts, sightings)
def test_without_a_fence_never_early(resource: JobResource, attempt: Attempt, sighting: Sighting) -> None:
    """Without a fence nothing follows an unclear sbatch before the token was looked for after its last moment."""
    if isinstance(decide(resource, attempt, sighting, fence="None"), steps.Submit):
        assert is_certain(resource, attempt)


@given(jobs, attempts, sightings, st.sampled_from([None, "None"]))
def test_nothing_follows_what_the_node_remembers(
    resource: JobResource, attempt: Attempt, sighting: Sighting, fence: str | None
) -> None:
    """What the node remembers is never passed by before it is certain that nothing came of it."""
    if isinstance(decide(resource, replace(attempt, repeated=True), sighting, fence=fence), steps.Submit):
        assert is_certain(resource, attempt)


@given(jobs, attempts, sightings)
def test_no_finished_job_changes(resource: JobResource, attempt: Attempt, sighting: Sighting) -> None:
    """Nothing is written to a finished Job, and no id is stored twice."""
    step = decide(resource, attempt, sighting)
    if resource.status.phase is not None and resource.status.phase.finished:
        assert not isinstance(step, steps.WriteStatus | steps.WriteIntent | steps.Persist)
    if isinstance(step, steps.Persist):
        assert resource.status.job_id is None


@given(jobs, attempts, sightings, st.sampled_from(["", BLOCKED]))
def test_a_write_settles(resource: JobResource, attempt: Attempt, sighting: Sighting, blocked: str) -> None:
    """A status that was written is not written again: deciding anew on it gives another step."""
    step = decide(resource, attempt, sighting, blocked=blocked)
    if isinstance(step, steps.WriteStatus):
        again = decide(resource.model_copy(update={"status": step.status}), attempt, sighting, blocked=blocked)
        assert not (isinstance(again, steps.WriteStatus) and again.status == step.status)
        for _ in range(5):
            if not isinstance(again, steps.WriteStatus):
                break
            again = decide(resource.model_copy(update={"status": again.status}), attempt, sighting, blocked=blocked)
        assert not isinstance(again, steps.WriteStatus)


def _command(step: Step, resource: JobResource, spec: Any) -> Command | None:
    match step:
        case steps.Submit(again):
            return replace(submit_command(resource, spec, token=TOKEN), again=again)
        case steps.Find():
            return Find(TOKEN)
        case steps.Release(job_id):
            return Release(TOKEN, job_id)
        case steps.AskFiles(job_id):
            return Describe((job_id,))
        case steps.Hold(job_id):
            return Hold(TOKEN, job_id)
        case steps.Cancel():
            return Cancel(TOKEN)
        case steps.Sweep(keep):
            return Cancel(TOKEN, keep=keep)
    return None
