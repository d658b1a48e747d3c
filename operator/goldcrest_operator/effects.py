"""Carries out one step of a Job. What it learns goes into the Attempt; what must survive the process, into the Job's status."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from goldcrest.authorised import token_of
from goldcrest.authority import ByResource
from goldcrest.errors import (
    AnswerLost,
    Blocked,
    Denied,
    GoldcrestError,
    InvalidInput,
    LeaseNotHeld,
    NotFound,
    SchedulerUnavailable,
)
from goldcrest.kube import Raw
from goldcrest.models.job import JobResource, JobStatus
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.tracing import span
from goldcrest.wellknown import FINALIZER, EventReason, Kind, Reason
from goldcrest_operator.faults import Faults
from goldcrest_operator.lease import Lease
from goldcrest_operator.life import record_life
from goldcrest_operator.metrics import CODES, Metrics
from goldcrest_operator.reconcile import steps
from goldcrest_operator.reconcile.certainty import LATE_SECONDS, is_certain, settled_at
from goldcrest_operator.reconcile.observation import Attempt, Source, Trouble
from goldcrest_operator.reconcile.steps import Notice, Step
from goldcrest_operator.reconcile.troubles import refusal_of, trouble_of
from goldcrest_operator.recorder import Recorder, Regarding
from goldcrest_operator.scheduler.interface import (
    Described,
    NotInThatState,
    NotTaken,
    Scheduler,
    SubmissionUncertain,
    SubmittedBefore,
    Target,
)
from goldcrest_operator.store import Store
from goldcrest_operator.tracker import Tracker

_log = Log(__name__)

_SYSTEM_KNOWN_SECONDS = 10.0


class Kubernetes(Protocol):
    """The part of the Kubernetes client that effects need."""

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Raw: ...
    async def replace_status(self, kind: Kind, resource: Raw, status: Raw) -> Raw: ...
    async def patch(self, kind: Kind, name: str, patch: Raw, *, namespace: str | None = None) -> Raw: ...
    async def delete(self, kind: Kind, name: str, *, namespace: str | None = None, uid: str | None = None) -> None: ...


@dataclass(slots=True)
class Subject:
    """The Job that a step is for, as it was read."""

    raw: Raw
    job: JobResource
    system: SystemSpec | None
    trace: Trace
    now: float
    """Epoch seconds."""
    source: Source | None = None
    """The script that its spec names a ConfigMap for, when it was read."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step of this pass took: where the latency of a submission goes."""


class JobEffects:
    """The hands of the reconciler of Jobs.

    Every method checks the Lease first and raises LeaseLost without it; Conflict, NotFound and KubernetesUnavailable of status writes are
    the caller's to handle. Errors of the scheduler end up in the Attempt.
    """

    def __init__(
        self,
        *,
        kube: Kubernetes,
        scheduler: Scheduler,
        lease: Lease,
        recorder: Recorder,
        store: Store,
        tracker: Tracker,
        faults: Faults,
        metrics: Metrics,
        cluster_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._scheduler = scheduler
        self._lease = lease
        self._recorder = recorder
        self._store = store
        self._tracker = tracker
        self._faults = faults
        self._metrics = metrics
        self._cluster_id = cluster_id
        self._clock = clock

    async def perform(self, step: Step, subject: Subject, attempt: Attempt) -> Attempt:
        """Carry out one step; the Attempt afterwards.

        Raises:
            LeaseLost, Conflict, NotFound, KubernetesUnavailable.
        """
        self._lease.check()
        name = type(step).__name__
        began = self._clock()
        try:
            job = subject.job
            with span(name, subject.trace, system=job.spec.system, user=job.spec.run_as):
                self._faults.before(step)
                done = await self._perform(step, subject, attempt)
                if done.trouble is None:
                    self._faults.after(step)
                return done
        finally:
            seconds = self._clock() - began
            subject.seconds[name] = subject.seconds.get(name, 0.0) + seconds
            self._metrics.steps.labels(name).inc()
            self._metrics.step_seconds.labels(name).observe(seconds)

    def tell_unreadable(self, raw: Raw, error: InvalidInput) -> None:
        """Say in an event that nothing is done for a Job, because what is stored of it is not understood."""
        meta = raw["metadata"]
        message = f"Left alone, because this release does not understand what is stored: {error.message}"
        regarding = Regarding(Kind.JOB, meta["namespace"], meta["name"], meta["uid"])
        self._recorder.post(regarding, Notice(EventReason.DELAYED, message, warning=True))

    async def _perform(self, step: Step, subject: Subject, attempt: Attempt) -> Attempt:
        match step:
            case steps.WriteIntent(status, notices):
                return await self._write_intent(status, notices, subject, attempt)
            case steps.Find():
                return await self._find(subject, attempt)
            case steps.Submit(again):
                return await self._submit(subject, attempt, again=again)
            case steps.Persist(status, notices):
                return await self._persist(status, notices, subject, attempt)
            case steps.Release(job_id):
                return await self._release(job_id, subject, attempt)
            case steps.Sweep(keep, strays):
                return await self._sweep(keep, strays, subject, attempt)
            case steps.AskFiles(job_id):
                return await self._ask_files(job_id, subject, attempt)
            case steps.Hold(job_id):
                return await self._hold(job_id, subject, attempt)
            case steps.Cancel():
                return await self._cancel(subject, attempt)
            case steps.WriteStatus(status, notices):
                await self._write(status, subject, notices)
            case steps.RemoveFinalizer():
                await self._remove_finalizer(subject)
            case steps.Delete():
                await self._delete(subject)
            case steps.Wait() | steps.Retry() | steps.Rest():
                pass  # the controller's
        return attempt

    # Before sbatch: that a submission begins is stored, so that a successor looks for its token first.

    async def _write_intent(
        self, status: JobStatus, notices: tuple[Notice, ...], subject: Subject, attempt: Attempt
    ) -> Attempt:
        await self._write(status, subject, notices)
        if is_certain(subject.job, attempt):
            return replace(attempt, clean=True, found=None, unclear_until=None)
        return replace(attempt, unclear_until=settled_at(subject.job, attempt))

    # T10.1 (retry only): look for the token.

    async def _find(self, subject: Subject, attempt: Attempt) -> Attempt:
        try:
            found = await self._scheduler.find(self._target(subject), self._token(subject))
        except SchedulerUnavailable as error:
            if subject.system is not None and subject.system.scheduler.submit_fence == "None":
                # Without a fence a second submission would run: never without a reliable answer.
                message = f"Whether it was submitted cannot be found out: {error.message}."
                return replace(attempt, trouble=Trouble(Reason.SUBMISSION_AMBIGUOUS, message, stalled=True))
            return await self._failed(error, subject, attempt)
        except GoldcrestError as error:
            return await self._failed(error, subject, attempt)
        _log.info("job.looked_for", **self._names(subject), found=found)
        looked = replace(attempt, found=found, found_at=subject.now)
        # Of a run with a key the scheduler may have forgotten what an earlier gjob began: only the node can tell then.
        inferred = subject.job.spec.run_key is None and is_certain(subject.job, looked)
        nothing_taken = not found and (attempt.nothing_taken or inferred)
        return replace(looked, nothing_taken=nothing_taken)

    # T10.2: sbatch --hold, marked with the token.

    async def _submit(self, subject: Subject, attempt: Attempt, *, again: bool) -> Attempt:
        certain, began = is_certain(subject.job, attempt), self._clock()
        until = None if certain else settled_at(subject.job, attempt)
        uncertain = replace(attempt, clean=False, found=None, unclear_until=until, nothing_taken=False, repeated=False)
        try:
            submitted = await self._scheduler.submit(
                self._target(subject),
                subject.job,
                self._token(subject),
                again=again,
                script=subject.source.script if subject.source is not None else None,
            )
        except SubmittedBefore as error:
            # Of a Job of this name that was deleted, or of a try that nobody knows of any more: as after a restart, the token is looked for.
            _log.warning("job.submitted_before", **self._names(subject), message=error.message)
            until = subject.now + self._clock() - began + LATE_SECONDS
            return replace(uncertain, unclear_until=until, assumed=False, repeated=True)
        except NotTaken as error:
            return await self._failed(error, subject, replace(uncertain, clean=certain, nothing_taken=True))
        except (AnswerLost, SubmissionUncertain) as error:
            _log.warning("job.submission_uncertain", **self._names(subject), message=error.message)
            until = subject.now + self._clock() - began + LATE_SECONDS
            return replace(uncertain, trouble=trouble_of(error), unclear_until=until, assumed=False)
        except GoldcrestError as error:
            known = replace(uncertain, clean=certain, nothing_taken=again)
            return await self._failed(error, subject, known, final=True)
        assert subject.system is not None  # noqa: S101  (nothing is submitted without one)
        released = subject.system.scheduler.submit_fence == "None"
        return replace(uncertain, submitted=submitted, released=released)

    # T10.3: the id is stored, only if nobody stored another one meanwhile.

    async def _persist(
        self, status: JobStatus, notices: tuple[Notice, ...], subject: Subject, attempt: Attempt
    ) -> Attempt:
        await self._write(status, subject, notices)
        self._metrics.submitted.labels(self._metrics.measures.system(subject.job.spec.system)).inc()
        _log.info(
            "job.submitted",
            **self._names(subject),
            job_id=status.job_id,
            host=status.submission.host if status.submission else None,
            seconds={name: round(seconds, 4) for name, seconds in subject.seconds.items()},
        )
        if attempt.released:  # no fence: it may run already
            self._tracker.follow(subject.job.spec.system, subject.job.spec.run_as, hurry=True)
        return replace(attempt, clean=False)

    # T10.4: exactly that id may start.

    async def _release(self, job_id: str, subject: Subject, attempt: Attempt) -> Attempt:
        began = self._clock()
        try:
            await self._scheduler.release(self._target(subject), self._token(subject), job_id)
        except NotInThatState as error:
            # Somebody cancelled it while it was held, and Slurm has forgotten it: the tracker finds out.
            _log.warning("job.not_released", **self._names(subject), job_id=job_id, message=error.message)
        except GoldcrestError as error:
            return await self._failed(error, subject, attempt)
        _log.info("job.released", **self._names(subject), job_id=job_id, seconds=round(self._clock() - began, 4))
        self._tracker.follow(subject.job.spec.system, subject.job.spec.run_as, hurry=True)
        return replace(attempt, released=True, hold_refused_at_generation=None)

    # T10.5: held jobs with our token that are not the stored one are cancelled, and that is said.

    async def _sweep(
        self, keep: tuple[str, ...], strays: tuple[str, ...], subject: Subject, attempt: Attempt
    ) -> Attempt:
        try:
            cancelled = await self._scheduler.cancel(self._target(subject), self._token(subject), keep=keep)
        except GoldcrestError as error:
            return await self._failed(error, subject, attempt)
        self._tracker.forget_strays(subject.job.uid)
        _log.info("job.swept", **self._names(subject), keep=keep, strays=strays, cancelled=cancelled)
        if cancelled:
            message = f"Held doubles were cancelled: {', '.join(cancelled)}; job {', '.join(keep)} counts."
            self._post(subject, Notice(EventReason.DOUBLE_CANCELLED, message, warning=True))
        until = attempt.unclear_until
        looked = until is None or until <= subject.now
        return replace(attempt, found=(), submitted=None, unclear_until=None if looked else until)

    async def _ask_files(self, job_id: str, subject: Subject, attempt: Attempt) -> Attempt:
        try:
            found = await self._scheduler.describe(self._target(subject), subject.job, self._token(subject), job_id)
        except LeaseNotHeld as error:
            return await self._failed(error, subject, attempt)
        except GoldcrestError as error:  # nothing depends on it: the Job goes on without
            _log.warning("job.files_unknown", **self._names(subject), job_id=job_id, message=error.message)
            found = Described()
        return replace(attempt, files=found.files, granted=found.granted, files_asked=True)

    async def _hold(self, job_id: str, subject: Subject, attempt: Attempt) -> Attempt:
        try:
            await self._scheduler.hold(self._target(subject), self._token(subject), job_id)
        except NotInThatState as error:
            _log.info("job.not_held", **self._names(subject), job_id=job_id, message=error.message)
            return replace(attempt, hold_refused_at_generation=subject.job.generation)
        except GoldcrestError as error:
            return await self._failed(error, subject, attempt)
        _log.info("job.held", **self._names(subject), job_id=job_id)
        self._tracker.follow(subject.job.spec.system, subject.job.spec.run_as, hurry=True)
        return replace(attempt, released=False)

    async def _cancel(self, subject: Subject, attempt: Attempt) -> Attempt:
        try:
            cancelled = await self._scheduler.cancel(self._target(subject), self._token(subject))
        except GoldcrestError as error:
            return await self._failed(error, subject, attempt)
        self._tracker.forget_strays(subject.job.uid)
        _log.info("job.cancelled", **self._names(subject), cancelled=cancelled)
        self._tracker.follow(subject.job.spec.system, subject.job.spec.run_as, hurry=True)
        until = attempt.unclear_until
        looked = subject.job.status.job_id is not None and until is not None and until <= subject.now
        return replace(attempt, cancelled_at=subject.now, unclear_until=None if looked else until)

    async def _remove_finalizer(self, subject: Subject) -> None:
        meta = subject.raw["metadata"]
        others = [name for name in meta.get("finalizers", ()) if name != FINALIZER]
        patch = {
            "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": others or None}
        }
        written = await self._kube.patch(Kind.JOB, meta["name"], patch, namespace=meta["namespace"])
        self._store.update_job(written)
        _log.info("job.let_go", **self._names(subject), job_id=subject.job.status.job_id)

    async def _delete(self, subject: Subject) -> None:
        job = subject.job
        await self._kube.delete(Kind.JOB, job.name, namespace=job.namespace, uid=job.uid)
        _log.info("job.expired", **self._names(subject))

    async def _write(self, status: JobStatus, subject: Subject, notices: tuple[Notice, ...] = ()) -> None:
        written = await self._kube.replace_status(Kind.JOB, subject.raw, status.dump())
        self._store.update_job(written)
        for notice in notices:
            self._post(subject, notice)
        phase = status.phase
        if phase is not None and phase is not subject.job.status.phase:
            fields = {"job_id": status.job_id, "phase": phase.value, "message": status.message}
            if phase.finished:
                self._metrics.finished.labels(phase.value).inc()
                record_life(subject.job, status, subject.trace)
                _log.info("job.finished", **self._names(subject), **fields, exit_code=status.exit_code)
            else:
                _log.info("job.phase", **self._names(subject), **fields)

    async def _failed(
        self, error: GoldcrestError, subject: Subject, attempt: Attempt, *, final: bool = False
    ) -> Attempt:
        """The Attempt after a step that did not work, for a reason that is known not to have changed anything."""
        _log.warning("job.step_failed", **self._names(subject), code=error.code, message=error.message)
        self._metrics.failures.labels(CODES.of(error)).inc()
        if isinstance(error, LeaseNotHeld):
            # Either we were replaced and end here, or delegation, which reads the Lease once a second, does not know us yet.
            await self._lease.confirm()
        elif isinstance(error, Denied | NotFound) and not isinstance(error, Blocked):
            # Delegation judges what is stored now. So was it judged what we had in mind?
            job = subject.job
            fresh = await self._kube.get(Kind.JOB, job.name, namespace=job.namespace)
            if fresh["metadata"]["uid"] != job.uid:
                raise NotFound(f"Job {job.namespace}/{job.name} was replaced by another of its name")
            self._store.update_job(fresh)
            if fresh["metadata"]["resourceVersion"] != job.resource_version:
                return attempt
            if not self._is_believed(job.spec.system):
                return replace(attempt, trouble=Trouble(Reason.POLICY_DENIED, error.message))
        refusal = refusal_of(error) if final else None
        if refusal is not None:
            return replace(attempt, refusal=refusal)
        return replace(attempt, trouble=trouble_of(error))

    def _is_believed(self, system: str) -> bool:
        """Whether a denial can be final: delegation may know the System as it was some seconds ago."""
        return self._store.system_unchanged_for(system) >= _SYSTEM_KNOWN_SECONDS

    def _target(self, subject: Subject) -> Target:
        job = subject.job
        assert subject.system is not None  # noqa: S101  (steps that need a login node come only with a System)
        return Target(
            system=job.spec.system,
            spec=subject.system,
            user=job.spec.run_as,
            basis=ByResource(Kind.JOB.value, job.namespace, job.name, job.uid),
            trace=current_trace.get() or subject.trace,
        )

    def _token(self, subject: Subject) -> str:
        return token_of(subject.job, cluster_id=self._cluster_id)

    def _post(self, subject: Subject, notice: Notice) -> None:
        job = subject.job
        self._recorder.post(Regarding(Kind.JOB, job.namespace, job.name, job.uid), notice)

    def _names(self, subject: Subject) -> dict[str, str]:
        job = subject.job
        return {
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
            "system": job.spec.system,
            "user": job.spec.run_as,
        }
