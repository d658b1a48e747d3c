"""What the operator asks of a batch scheduler, and in which words it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from goldcrest.authority import Basis
from goldcrest.commands import Command
from goldcrest.commands.slurm import Scope
from goldcrest.errors import GoldcrestError, SchedulerUnavailable
from goldcrest.models.job import JobFiles, JobResource
from goldcrest.models.job_details import Allotment
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import Operation
from goldcrest.task_results import Result
from goldcrest.telemetry import Trace
from goldcrest.wellknown import Phase, Reason


class SubmissionUncertain(SchedulerUnavailable):
    """Nobody knows whether the submission took effect: look for its token before anything else."""

    code = "SubmissionUncertain"


class SubmittedBefore(GoldcrestError):
    """A submission with this token was begun before, perhaps for another resource: look for the token, then submit again."""

    code = "SubmittedBefore"


class NotTaken(SchedulerUnavailable):
    """The scheduler was asked, and took nothing for now."""


class SiteRefused(GoldcrestError):
    """The login node refused for good: ssh-filter's rules, or the file system."""

    code = "RejectedBySite"


class OperationFailed(GoldcrestError):
    """An operation was carried out and failed: asked again unchanged it would fail again. The message is the scheduler's own."""

    code = "OperationFailed"


class NotInThatState(GoldcrestError):
    """The job is gone, is not this submission's, or is not in the state that the command needs."""

    code = "NotInThatState"


class Answer(Protocol):
    """What the SSH pool answers."""

    @property
    def result(self) -> Mapping[str, Any]: ...
    @property
    def host(self) -> str:
        """``address:port`` of the login host used."""


class CommandRunner(Protocol):
    """The SSH pool, as far as the operator uses it."""

    async def run(
        self,
        command: Command,
        *,
        system: str,
        spec: SystemSpec,
        user: str,
        basis: Basis,
        trace: Trace,
        payload: bytes = b"",
        seconds: float | None = None,
    ) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a command goes, as whom, and on what ground it is signed."""

    system: str
    spec: SystemSpec
    user: str
    basis: Basis
    trace: Trace


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission that was taken."""

    job_id: str
    host: str
    files: JobFiles | None = None
    granted: Allotment | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What the scheduler says of a job that was found again."""

    files: JobFiles | None = None
    granted: Allotment | None = None


class Element(NamedTuple):
    """One element of an array."""

    number: int
    """Its index."""
    state: str
    exit_code: int | None = None
    signal: int | None = None


class Component(NamedTuple):
    """One component of a heterogeneous job."""

    offset: int
    state: str
    node_list: str | None = None


@dataclass(frozen=True, slots=True)
class Consumed:
    """What a job used, as accounting has it; None where it knows nothing."""

    cpu_seconds: int | None = None
    max_rss_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job (an array as a whole) as the scheduler shows it. Times are epoch seconds."""

    job_id: str
    user: str
    token: str | None
    """The job's comment; None where the scheduler keeps or shows none."""
    state: str
    """Raw state."""
    reason: str | None
    """Raw reason."""
    phase: Phase
    outcome: Reason
    """What the state means, as a reason of conditions."""
    message: str
    held: bool = False
    waiting_elements: bool = False
    """Whether any of an array's elements waits in the queue, though others run."""
    array: bool = False
    """Whether the scheduler shows it as an array, wherever that was asked for."""
    exit_code: int | None = None
    signal: int | None = None
    submit: int | None = None
    start: int | None = None
    end: int | None = None
    elapsed: int | None = field(default=None, compare=False)  # moves every second: no change worth a write
    nodes: int | None = None
    node_list: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time_limit: str | None = None
    expected_start: int | None = None
    """When the scheduler thinks that a waiting job will start."""
    restarts: int | None = None
    """How often it was put back into the queue."""
    elements: tuple[Element, ...] = ()
    """Of an array: those that the scheduler shows now."""
    components: tuple[Component, ...] = ()
    """Of a heterogeneous job."""

    @property
    def final(self) -> bool:
        return self.phase.finished

    @property
    def waits(self) -> bool:
        """Whether anything of it waits in the queue, and can be held."""
        return self.phase is Phase.QUEUED or self.waiting_elements


class Scheduler(Protocol):
    """One batch scheduler. Every method may raise what the SSH pool raises (unreachable, denied, …) and SchedulerUnavailable."""

    async def submit(
        self, target: Target, job: JobResource, token: str, *, again: bool, script: bytes | None = None
    ) -> Submitted:
        """Submit, held where the system's fence says so.

        Args:
            script: what the ConfigMap holds that the spec names.
            again: what was begun before with this token is known to have taken nothing.

        Raises:
            SubmittedBefore: without ``again``, and something was begun before.
            SchedulerRefused, SiteRefused: for good.
            NotTaken: the scheduler did not take it, for now.
            SchedulerUnavailable: it did not come to the scheduler, for now.
            SubmissionUncertain, AnswerLost: perhaps taken.
        """

    async def find(self, target: Target, token: str) -> tuple[str, ...]:
        """Ids of this user's jobs with the token, lowest first.

        Raises:
            SchedulerUnavailable: unless queue and accounting both answered.
        """

    async def describe(self, target: Target, job: JobResource, token: str, job_id: str) -> Described:
        """Files and allotment of a submission whose answer was lost; nothing when the scheduler does not say, or it is another's."""

    async def release(self, target: Target, token: str, job_id: str) -> None:
        """Let a held job start; harmless when it already may.

        Raises:
            NotInThatState: it is gone, or not this submission's.
        """

    async def hold(self, target: Target, token: str, job_id: str) -> None:
        """Keep a waiting job from starting.

        Raises:
            NotInThatState: it is gone, or runs already.
        """

    async def cancel(self, target: Target, token: str, *, keep: Sequence[str] = ()) -> tuple[str, ...]:
        """Cancel what carries the token; with ``keep``, only held jobs that are not in it. Returns ids."""

    async def queue(self, target: Target, scope: Scope) -> tuple[JobView, ...]:
        """All jobs that the queue shows; ended ones too, as long as it does."""

    async def details(self, target: Target, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        """Exact views of single jobs, ended ones for some minutes; unknown ones are left out."""

    async def accounting(self, target: Target, scope: Scope, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        """What accounting has recorded; unknown ones are left out."""

    async def usage(self, target: Target, scope: Scope, job_ids: Sequence[str]) -> Mapping[str, Consumed]:
        """What jobs used that have ended; those whose end accounting does not know yet are left out."""


class Operations(Protocol):
    """What Tasks ask of one batch scheduler: a typed command for each operation, and what is answered as a typed result."""

    def check(self, operation: Operation) -> None:
        """
        Raises:
            OperationFailed: it is known to fail, without asking the system.
        """

    def command(self, operation: Operation, spec: SystemSpec) -> Command:
        """The one command that it means on this system: the same that delegation derives from the Task (T8).

        Raises:
            InvalidInput: it says something impossible.
        """

    def is_whole_queue(self, command: Command) -> bool:
        """Whether it lists all jobs, and with nothing but what a public queue shows to everybody: then users may share the answer."""

    async def answer(self, target: Target, command: Command) -> Mapping[str, Any]:
        """What the login node answers, which :meth:`result` understands.

        Raises:
            OperationFailed, SiteRefused: for good.
            SystemUnreachable, SchedulerUnavailable: for now; and what the SSH pool raises.
        """

    def result(self, operation: Operation, answer: Mapping[str, Any], *, begun_before: bool = False) -> Result:
        """The result that an answer means, all of it: pages are cut from it by who asked.

        Args:
            begun_before: an earlier try of the same cancelling may have taken effect: that nothing is left to cancel is then no failure.

        Raises:
            OperationFailed: with the scheduler's words.
            SchedulerUnavailable: the scheduler does not answer for now.
        """
