"""What to do next for a Job: one pure function, read from top to bottom.

It is asked again after every step, with the Job as it then is. Everything that must survive the process is in the Job's status; so
whatever step a process dies after, its successor is led to the right next one.
"""

from __future__ import annotations

from typing import Any

from goldcrest.authorised import is_left_running, token_of, wants_cancel
from goldcrest.grants import parse_time
from goldcrest.models.job import JobResource, JobStatus, Submission
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import ANNOTATION_PAUSED, FINALIZER, EventReason, Phase, Reason
from goldcrest_operator.reconcile.allotments import asked_fields
from goldcrest_operator.reconcile.certainty import FRESH_SECONDS, is_certain, settled_at
from goldcrest_operator.reconcile.dependencies import resolve
from goldcrest_operator.reconcile.observation import Attempt, Observation, Sighting, Trouble
from goldcrest_operator.reconcile.seen import usage_of
from goldcrest_operator.reconcile.sightings import as_seen
from goldcrest_operator.reconcile.statuses import (
    differs,
    finished_at,
    iso,
    notices,
    reason_of,
    with_state,
    with_trouble,
)
from goldcrest_operator.reconcile.steps import (
    AskFiles,
    Cancel,
    Delete,
    Find,
    Hold,
    Notice,
    Persist,
    Release,
    RemoveFinalizer,
    Rest,
    Retry,
    Step,
    Submit,
    Sweep,
    Wait,
    WriteIntent,
    WriteStatus,
)
from goldcrest_operator.reconcile.troubles import blocked_words
from goldcrest_operator.reconcile.waiting import in_trouble, is_to_be_looked_for, key_is_used, refused, waits_for_others
from goldcrest_operator.scheduler.interface import JobView

CANCEL_AGAIN_SECONDS = 30.0
"""A cancel that the scheduler accepted is repeated when the job has not ended after this: Slurm's KillWait is 30 s."""
LOOK_AGAIN_SECONDS = 10.0
"""While an sbatch of unknown outcome may still take effect, its token is looked for this often."""
NO_SYSTEM_SECONDS = 60.0
"""A System that does not exist is waited for; its creation wakes the Job at once."""


def next_step(job: JobResource, system: SystemSpec | None, observed: Observation, *, cluster_id: str) -> Step:
    """The one next step for this Job.

    Args:
        system: None when there is no System of that name.
        cluster_id: uid of the namespace kube-system; part of the submission's token.
    """
    attempt = observed.attempt

    # 1. Somebody asked for it to be left alone.
    if job.annotations.get(ANNOTATION_PAUSED) == "true":
        return Rest()

    # 2. It is over: nothing changes any more, only cleaning up is left.
    if job.status.phase is not None and job.status.phase.finished:
        return _after_the_end(job, system, observed)

    # 3. Deleted, and our finalizer has gone already; or it is left to itself, cancelled or not.
    if job.deleting:
        if FINALIZER not in job.finalizers:
            return Rest()
        if job.spec.deletion_policy == "Orphan" and (wants_cancel(job) or system is None):
            return RemoveFinalizer()

    # 4. sbatch answered, and the id is stored nowhere yet: nothing is more urgent.
    if job.status.job_id is None and attempt.submitted is not None:
        return _persist(job, attempt.submitted.job_id, observed, cluster_id=cluster_id)

    # 5. It was refused for good, and nothing of an earlier try can come any more.
    if job.status.job_id is None and attempt.refusal is not None and is_certain(job, attempt):
        return refused(job, attempt.refusal, observed)

    # 6. What the last step needed does not answer: say so, once, and try again.
    if attempt.trouble is not None:
        return in_trouble(job, attempt.trouble, observed)

    # 7. Not submitted yet, or submitted.
    if job.status.job_id is None:
        return _before_submission(job, system, observed, cluster_id=cluster_id)
    step = _after_submission(job, system, observed, job_id=job.status.job_id)
    return _not_beyond_the_sweep(step, observed)


def _after_the_end(job: JobResource, system: SystemSpec | None, observed: Observation) -> Step:
    # Doubles that show up late still have to go; they are held, and the stored id is another.
    strays, trouble = _strays(job, observed), observed.attempt.trouble
    orphaned = job.deleting and job.spec.deletion_policy == "Orphan"
    if system is not None and trouble is None:
        if job.status.job_id is not None and (strays or _sweep_is_due(observed)):
            return Sweep(keep=(job.status.job_id,), strays=strays)
        if strays and job.status.job_id is None and wants_cancel(job) and not orphaned:
            return Cancel()
    if job.deleting:
        if FINALIZER not in job.finalizers:
            return Rest()
        return _let_go(observed) if system is not None else RemoveFinalizer()
    step = _at_rest(job, observed)
    if trouble is not None and isinstance(step, Rest | Wait):
        return Retry(seldom=trouble.stalled)
    return _not_beyond_the_sweep(step, observed)


def _at_rest(job: JobResource, observed: Observation) -> Step:
    if job.status.observed_generation < job.generation:
        return WriteStatus(_seen_generation(job))
    if observed.sighting.consumed is not None and job.status.usage is None:
        return WriteStatus(job.status.model_copy(update={"usage": usage_of(observed.sighting.consumed)}))
    seconds = job.spec.ttl_seconds_after_finished
    since = finished_at(job.status)
    if seconds is not None and since is not None:
        left = since + seconds - observed.now
        return Delete() if left <= 0 else Wait(left)
    return Rest()


def _sweep_is_due(observed: Observation) -> bool:
    """Whether an sbatch that nobody saw the end of can have made its double by now, and that was not looked at since."""
    until = observed.attempt.unclear_until
    return until is not None and until <= observed.now


def _let_go(observed: Observation) -> Step:
    """A deleted Job stays while a double of it may come; not for a mere possibility, as after every restart."""
    attempt = observed.attempt
    if attempt.unclear_until is None or attempt.assumed or attempt.trouble is not None:
        return RemoveFinalizer()
    return Wait(attempt.unclear_until - observed.now) if observed.now < attempt.unclear_until else RemoveFinalizer()


def _not_beyond_the_sweep(step: Step, observed: Observation) -> Step:
    """``step``, but no rest is longer than until the sweep."""
    until = observed.attempt.unclear_until
    if until is None or until <= observed.now:
        return step
    left = until - observed.now
    if isinstance(step, Rest) or (isinstance(step, Wait) and step.seconds > left):
        return Wait(left)
    return step


def _seen_generation(job: JobResource) -> JobStatus:
    """Only that the new generation was seen: `kubectl wait` and kstatus disbelieve conditions of an older one."""
    conditions = [
        condition.model_copy(update={"observed_generation": job.generation}) for condition in job.status.conditions
    ]
    return job.status.model_copy(update={"observed_generation": job.generation, "conditions": conditions})


def _before_submission(job: JobResource, system: SystemSpec | None, observed: Observation, *, cluster_id: str) -> Step:
    attempt, intent = observed.attempt, job.status.submission
    carriers = attempt.found or observed.sighting.strays  # jobs that carry our token
    certain = is_certain(job, attempt)
    nothing_submitted = certain and not carriers

    # 1. Not wanted any more, and certainly nothing was submitted: no login node is needed for that.
    if nothing_submitted and job.deleting:
        return RemoveFinalizer()
    if nothing_submitted and wants_cancel(job):
        return _cancelled(job, observed)

    # 2. Not wanted yet.
    if nothing_submitted and job.spec.suspend:
        return _suspended(job, observed)

    # 3. No system to submit to.
    if system is None:
        return _no_system(job, observed)

    # 4. Deleted, and there may be a submission: whatever carries the token is cancelled, also what comes late.
    if job.deleting and not nothing_submitted and not is_left_running(job):
        return _cancel_unseen(job, observed)

    # 5. Jobs carry our token: the lowest id is the one that counts, the others are doubles.
    if carriers:
        return _persist(job, min(carriers, key=int), observed, cluster_id=cluster_id)

    # 6. An administrator blocked the user or the requester: nothing is submitted or looked for until that is lifted.
    if observed.blocked:
        return _blocked(
            job,
            observed,
            phase=Phase.SUBMITTING if intent is not None else Phase.PENDING,
            message=blocked_words(observed.blocked),
        )

    # 7. Another gjob comes first; a run with a key may be there already, and is adopted then whatever else it waits for.
    resolution = resolve(job, observed.related)
    if nothing_submitted:
        if is_to_be_looked_for(job, observed, seconds=None):
            return Find()
        if resolution.failed or resolution.waiting:
            return waits_for_others(job, observed, resolution)
        if is_to_be_looked_for(job, observed, seconds=LOOK_AGAIN_SECONDS):
            return Find()
        if observed.source.refusal is not None:
            return refused(job, observed.source.refusal, observed)
        if observed.source.trouble is not None:
            return in_trouble(job, observed.source.trouble, observed)

    # 8. First the intent: whoever comes after us then knows that there may be a submission.
    if intent is None:
        begun = with_state(
            job,
            phase=Phase.SUBMITTING,
            reason=Reason.SUBMITTING,
            message=f"Being submitted to {job.spec.system}.",
            now=observed.now,
            submission=_intent(job, observed, cluster_id=cluster_id),
            dependencies=list(resolution.statuses),
            **asked_fields(job, observed.source.script),
        )
        return WriteIntent(begun, notices(job.status, begun))

    # 9. An intent that we do not know the outcome of: look for the token before anything else (T10.1). That nothing is there is believed
    # only when nothing can come late any more; with the fence another sbatch can do no harm before: its double is held, and swept. But what
    # the node remembers may be of an earlier Job with the same grant, and have run already: only its record would come late.
    if not certain:
        settled = settled_at(job, attempt)
        again_at = settled if attempt.found_at is None else min(settled, attempt.found_at + LOOK_AGAIN_SECONDS)
        if attempt.found is None or again_at <= observed.now:
            return Find()
        unwanted = wants_cancel(job) or job.spec.suspend or job.deleting or attempt.refusal is not None
        if unwanted or attempt.repeated or system.scheduler.submit_fence == "None":
            return _settling(job, observed, settled, again_at=again_at)

    # 10. Whoever names a run wants it once, and the node says that it was begun: not even the scheduler's forgetting makes it run again.
    if attempt.repeated and job.spec.run_key is not None:
        return in_trouble(job, key_is_used(job), observed)

    # 11. The time of the last sbatch is stored before it, so that a successor knows how long to look; and what it waits for.
    if observed.now - parse_time(intent.time) > FRESH_SECONDS or job.status.dependencies != list(resolution.statuses):
        renewed = intent.model_copy(update={"time": iso(observed.now)})
        return WriteIntent(
            job.status.model_copy(update={"submission": renewed, "dependencies": list(resolution.statuses)})
        )

    # 12. A node where something was begun with this token takes it only from who knows what came of that: a Job that was deleted and
    # made again with its grant has the token of the first.
    return Submit(again=attempt.nothing_taken)


def _after_submission(job: JobResource, system: SystemSpec | None, observed: Observation, *, job_id: str) -> Step:
    attempt, view = observed.attempt, observed.sighting.view
    if view is not None and view.job_id != job_id:
        view = None

    # 1. It has ended: that is written first, whatever else is wanted.
    if view is not None and view.final:
        return _write_if_changed(job, observed)

    # 2. Nothing can be done without the System's addresses.
    if system is None:
        return _no_system(job, observed)

    # 3. Doubles with our token go, as long as they are held (T10.5).
    strays = _strays(job, observed)
    if strays or _sweep_is_due(observed):
        return Sweep(keep=(job_id,), strays=strays)

    # 4. It is not wanted any more; or only the resource is not, and what it still holds back is let go first.
    if is_left_running(job):
        if not (observed.blocked and _is_waiting(job, observed)):  # else nobody could release it any more
            return Release(job_id) if _is_to_be_released(job, system, observed) else RemoveFinalizer()
    elif job.deleting or wants_cancel(job):
        if job.status.cancel_requested_at is None:
            return WriteStatus(_cancelling(job, observed))
        again = observed.now - (attempt.cancelled_at or 0.0) >= CANCEL_AGAIN_SECONDS
        # Of who is blocked nothing is seen, so the scheduler's word that it accepted the cancel has to do.
        if attempt.cancelled_at is None or (again and not observed.blocked):
            return Cancel()
        if job.deleting:
            return _let_go(observed)
        step = _write_if_changed(job, observed)
        if observed.blocked:
            return step
        return step if step != Rest() else Wait(attempt.cancelled_at + CANCEL_AGAIN_SECONDS - observed.now)

    # 5. It shall not start yet, because the user or an administrator says so; what runs already is left running.
    released = _released(job, observed)
    if job.spec.suspend or observed.blocked:
        held = released is False and not _is_seen_unheld(view, attempt)
        if _is_waiting(job, observed) and not held and attempt.hold_refused_at_generation != job.generation:
            return _hold(job, job_id=job_id)

    # 6. It may start: exactly this id is released, now that it is stored (T10.4).
    elif _is_to_be_released(job, system, observed):
        return Release(job_id)

    # 7. Nothing more is asked about a blocked user's job.
    if observed.blocked and not (job.spec.suspend and released is False):
        return _blocked_in_queue(job, system, observed, job_id=job_id)

    # 8. It was found again, without sbatch's answer: its files are asked for, once.
    if job.status.files is None and not observed.blocked:
        if not attempt.files_asked:
            return AskFiles(job_id)
        if attempt.files is not None:
            found = {"files": attempt.files, "granted": attempt.granted or job.status.granted}
            described = job.status.model_copy(update=found)
            return WriteStatus(described, notices(job.status, described))

    # 9. What the scheduler says of it.
    return _write_if_changed(job, observed)


def _hold(job: JobResource, *, job_id: str) -> Step:
    record = job.status.submission
    if record is None or record.released is None:
        return Hold(job_id)
    # First that nobody knows: a successor that finds the job unwanted holds it again, and one that is to let it go releases it.
    return WriteStatus(job.status.model_copy(update={"submission": record.model_copy(update={"released": None})}))


def _is_seen_unheld(view: JobView | None, attempt: Attempt) -> bool:
    """Whether the scheduler knows better than the status: a predecessor died before it held the job, or after it let it go."""
    return attempt.released is None and view is not None and view.phase is Phase.QUEUED and not view.held


def _blocked_in_queue(job: JobResource, system: SystemSpec, observed: Observation, *, job_id: str) -> Step:
    """A submitted job of a blocked user or requester: held if it waits, and else left as it is."""
    held = _released(job, observed) is False
    if not _is_waiting(job, observed) or not held:
        if system.scheduler.observer:
            return _write_if_changed(job, observed)  # it is followed on nobody's word
        message = f"Job {job_id} may have started before; it is left as it is, and not followed now. {blocked_words(observed.blocked)}"
        return _blocked(job, observed, phase=job.status.phase or Phase.QUEUED, message=message)
    message = f"Job {job_id} is held. {blocked_words(observed.blocked)}"
    record = job.status.submission
    fields = {"submission": record.model_copy(update={"released": False})} if record is not None else {}
    return _blocked(job, observed, phase=Phase.SUSPENDED, message=message, **fields)


def _blocked(job: JobResource, observed: Observation, *, phase: Phase, message: str, **fields: Any) -> Step:
    status = with_state(job, phase=phase, reason=Reason.BLOCKED, message=message, now=observed.now, **fields)
    return WriteStatus(status, notices(job.status, status)) if differs(job.status, status) else Rest()


def _is_waiting(job: JobResource, observed: Observation) -> bool:
    view = observed.sighting.view
    if view is not None and view.job_id == job.status.job_id:
        return view.waits
    return job.status.phase in (Phase.QUEUED, Phase.SUBMITTING, Phase.SUSPENDED)


def _is_to_be_released(job: JobResource, system: SystemSpec, observed: Observation) -> bool:
    released = _released(job, observed)
    if job.spec.suspend or released is True:
        return False
    return _is_waiting(job, observed) and _may_be_held(system, observed, released)


def _may_be_held(system: SystemSpec, observed: Observation, released: bool | None) -> bool:
    """Whether a job that this process knows nothing of may be held by us. Without a fence only a job that we held later is."""
    view = observed.sighting.view
    return released is False or system.scheduler.submit_fence != "None" or (view is not None and view.held)


def _released(job: JobResource, observed: Observation) -> bool | None:
    if observed.attempt.released is not None:
        return observed.attempt.released
    return job.status.submission.released if job.status.submission else None


def _strays(job: JobResource, observed: Observation) -> tuple[str, ...]:
    attempt = observed.attempt
    ids = {*(attempt.found or ()), *observed.sighting.strays}
    if attempt.submitted is not None:
        ids.add(attempt.submitted.job_id)
    return tuple(sorted(ids - {job.status.job_id or ""}, key=int))


def _intent(job: JobResource, observed: Observation, *, cluster_id: str) -> Submission:
    return Submission(token=token_of(job, cluster_id=cluster_id), time=iso(observed.now))


def _persist(job: JobResource, job_id: str, observed: Observation, *, cluster_id: str) -> Persist:
    submitted = observed.attempt.submitted
    record = job.status.submission or _intent(job, observed, cluster_id=cluster_id)
    fields: dict[str, Any] = {"job_id": job_id, "submission": record}
    event, message = EventReason.ADOPTED, f"Submitted before as job {job_id}, which was found again."
    if submitted is not None and submitted.job_id == job_id:
        event, message = EventReason.SUBMITTED, f"Submitted as job {job_id}."
        fields["submission"] = record.model_copy(update={"host": submitted.host})
        if submitted.files is not None:
            fields["files"] = submitted.files
        if submitted.granted is not None:
            fields["granted"] = submitted.granted
    status = with_state(job, phase=Phase.QUEUED, reason=Reason.QUEUED, message=message, now=observed.now, **fields)
    return Persist(status, (Notice(event, message), *notices(job.status, status)))


def _cancelled(job: JobResource, observed: Observation) -> Step:
    status = with_state(
        job,
        phase=Phase.CANCELLED,
        reason=Reason.CANCELLED,
        message="Cancelled before it was submitted.",
        now=observed.now,
        cancel_requested_at=job.status.cancel_requested_at or iso(observed.now),
    )
    return WriteStatus(status, notices(job.status, status))


def _suspended(job: JobResource, observed: Observation) -> Step:
    status = with_state(
        job,
        phase=Phase.SUSPENDED,
        reason=Reason.SUSPENDED,
        message="Suspended: not submitted until spec.suspend is set to false.",
        now=observed.now,
        submission=None,  # nothing is there: the next submission begins with an intent of its own
    )
    return WriteStatus(status, notices(job.status, status)) if differs(job.status, status) else Rest()


def _cancelling(job: JobResource, observed: Observation) -> JobStatus:
    return with_state(
        job,
        phase=job.status.phase or Phase.QUEUED,
        reason=reason_of(job.status) or Reason.QUEUED,
        message=f"Job {job.status.job_id} is being cancelled.",
        now=observed.now,
        cancel_requested_at=iso(observed.now),
    )


def _settling(job: JobResource, observed: Observation, settled: float, *, again_at: float) -> Step:
    """Wait until it is certain whether there is a submission; a cancel is latched meanwhile."""
    doing = "Being cancelled" if wants_cancel(job) else "Not submitted again yet"
    latch: dict[str, Any] = {"cancel_requested_at": job.status.cancel_requested_at or iso(observed.now)}
    status = with_state(
        job,
        phase=Phase.SUBMITTING,
        reason=Reason.SUBMITTING,
        message=f"{doing}: what came of an earlier submission is certain at {iso(settled)}.",
        now=observed.now,
        **(latch if wants_cancel(job) else {}),
    )
    return WriteStatus(status) if differs(job.status, status) else Wait(again_at - observed.now)


def _cancel_unseen(job: JobResource, observed: Observation) -> Step:
    cancelled, settled = observed.attempt.cancelled_at, settled_at(job, observed.attempt)
    if cancelled is None or cancelled < settled <= observed.now:
        return Cancel()
    return Wait(settled - observed.now) if observed.now < settled else RemoveFinalizer()


def _no_system(job: JobResource, observed: Observation) -> Step:
    trouble = Trouble(Reason.SYSTEM_UNREACHABLE, f"There is no System {job.spec.system!r}.", unreachable=True)
    shown = with_trouble(job, trouble, now=observed.now)
    if differs(job.status, shown):
        return WriteStatus(shown, notices(job.status, shown))
    return Wait(NO_SYSTEM_SECONDS)


def _write_if_changed(job: JobResource, observed: Observation) -> Step:
    resumed = job.status.phase is Phase.SUSPENDED and not job.spec.suspend
    if observed.sighting == Sighting() and not resumed and not job.spec.suspend:
        # Not seen since this process started: what its predecessor wrote stands.
        unseen = job.status.observed_generation < job.generation
        return WriteStatus(_seen_generation(job)) if unseen else Rest()
    status = as_seen(job, observed, released=_released(job, observed))
    return WriteStatus(status, notices(job.status, status)) if differs(job.status, status) else Rest()
