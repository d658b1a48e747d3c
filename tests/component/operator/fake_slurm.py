"""A Slurm in memory behind the SSH pool's interface, which answers in Slurm's own formats.

Before each command it asks what delegation would: does this command follow from the resource as it is stored now?
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from component.operator.fake_questions import BatchJob, answer_to, kill, listing, output
from component.operator.memory_kube import MemoryKube
from goldcrest.authorised import authorised_commands, containment_commands, observer_commands_allow
from goldcrest.authorised_tasks import authorised_task_commands
from goldcrest.authority import Basis, ByResource
from goldcrest.blocked import BlockList
from goldcrest.commands import (
    Account,
    Cancel,
    Command,
    Describe,
    Find,
    Hold,
    JobUsage,
    Kill,
    ListJobs,
    Queue,
    Release,
    Submit,
)
from goldcrest.commands.outputs import SEPARATOR
from goldcrest.errors import AnswerLost, Blocked, CommandFailed, Denied, NotFound
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource
from goldcrest.ssh import Answer
from goldcrest.telemetry import Trace
from goldcrest.wellknown import Kind

CLUSTER = "12345678-aaaa-bbbb-cccc-1234567890ab"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")


@dataclass(frozen=True, slots=True)
class Effect:
    """What a command does, when it is called; for a submission, what comes before sbatch by itself."""

    act: Callable[[], dict[str, Any]]
    begin: Callable[[], None] = lambda: None

    def __call__(self) -> dict[str, Any]:
        self.begin()
        return self.act()


Fault = Callable[[Effect], Awaitable[dict[str, Any]]]
"""Given the effect, decides whether it happens and what is answered."""


async def lost_before(effect: Effect) -> dict[str, Any]:
    raise AnswerLost("the connection was cut")


async def lost_after(effect: Effect) -> dict[str, Any]:
    effect()
    raise AnswerLost("the connection was cut")


def fails(error: Exception) -> Fault:
    async def fault(effect: Effect) -> dict[str, Any]:
        raise error

    return fault


def says(answer: dict[str, Any], *, acts: bool = False) -> Fault:
    async def fault(effect: Effect) -> dict[str, Any]:
        effect.begin()
        if acts:
            effect.act()
        return answer

    return fault


class FakeSlurm:
    """Jobs that run through their states as they are looked at, unless ``frozen``."""

    def __init__(self, kube: MemoryKube) -> None:
        self._kube = kube
        self.jobs: dict[int, BatchJob] = {}
        self.blocked = BlockList()
        self.frozen = False
        self.ends_as = "COMPLETED"
        self.accounting_down = False
        self.denies_tasks = False
        self.marks: set[str] = set()  # directories of jobs that remember their submission
        self.remembers = True  # False: the user takes the marks away
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.calls: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self._next = 100

    def carrying(self, token: str) -> list[BatchJob]:
        return [job for job in self.jobs.values() if job.comment == token]

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
    ) -> Answer:
        await asyncio.sleep(0)
        self.asked.append((command.op, user))
        self.authorise(command, spec, user, basis)
        self.calls.append(command.op)

        def begin() -> None:
            if isinstance(command, Submit):
                self._mark(command)

        effect = Effect(lambda: self.carry_out(command, user), begin)
        fault = self.faults[command.op].pop(0) if self.faults[command.op] else None
        result = await fault(effect) if fault else effect()
        return Answer(result, host="login1:2222")

    def authorise(self, command: Command, spec: SystemSpec, user: str, basis: Basis) -> None:
        assert isinstance(basis, ByResource)
        raw = self._kube.look(Kind(basis.kind), basis.name, namespace=basis.namespace)
        if raw is None or raw["metadata"]["uid"] != basis.uid:
            raise NotFound(f"{basis.kind} {basis.name}")
        if basis.kind == Kind.SYSTEM:
            public = spec.scheduler.queue_is_public is True
            if user != spec.scheduler.observer or not observer_commands_allow(command, public_queue=public):
                raise Denied(f"{command.op} is not on an observer's list")
            return
        if basis.kind == Kind.TASK:
            self._authorise_task(TaskResource.of(raw), command, spec, user)
            return
        job = JobResource.of(raw)
        why = self.blocked.why(requester=job.spec.requested_by.username if job.spec.requested_by else "", user=user)
        if why and command not in containment_commands(job, cluster_id=CLUSTER):
            raise Blocked(why)
        script = self._kube.script_of(job)
        commands = authorised_commands(job, spec, cluster_id=CLUSTER, script=script)
        if not why and (user != job.spec.run_as or command not in commands):
            raise Denied(f"{command.op} does not follow from the Job")

    def _authorise_task(self, task: TaskResource, command: Command, spec: SystemSpec, user: str) -> None:
        requester = task.spec.requested_by
        why = self.blocked.why(requester=requester.username if requester else "", user=user)
        if why:
            raise Blocked(why)
        if user != task.spec.run_as or command not in authorised_task_commands(task, spec) or self.denies_tasks:
            raise Denied(f"{command.op} does not follow from the Task")

    def carry_out(self, command: Command, user: str) -> dict[str, Any]:
        """What Slurm makes of a command that may be run."""
        match command:
            case Submit():
                return self._submit(command, user)
            case Find(token):
                queue = self._lines(lambda job: job.comment == token)
                return {"squeue": output(queue), "sacct": self._sacct(lambda job: job.comment == token)}
            case Release(token, job_id) | Hold(token, job_id):
                return self._hold(job_id, token, held=isinstance(command, Hold))
            case Cancel(token, keep):
                return self._cancel(token, keep)
            case Queue(scope):
                if not self.frozen:
                    self._advance()
                return output(self._lines(lambda job: scope == "all" or job.user == user))
            case Describe(ids):
                return {"jobs": [self._describe(job_id) for job_id in ids]}
            case Account(_, ids):
                return self._sacct(lambda job: str(job.id) in ids)
            case JobUsage(_, ids):
                return self._usage(lambda job: str(job.id) in ids)
            case ListJobs(scope=scope, details=details):
                jobs = [job for job in self.jobs.values() if job.in_controller and (scope == "all" or job.user == user)]
                return listing(jobs, details=details)
            case Kill(job_ids=ids):
                return kill(self.jobs, ids, user)
        return answer_to(command)

    def _mark(self, command: Submit) -> None:
        if command.job_directory in self.marks and not command.again:
            raise CommandFailed("this submission was begun before", kind="repeated", path=command.job_directory)
        if self.remembers:
            self.marks.add(command.job_directory)

    def _submit(self, command: Submit, user: str) -> dict[str, Any]:
        self._next += 1
        job = BatchJob(self._next, user, command.token, command.hold, self.ends_as)
        job.dependency = command.options.dependency or ""
        self.jobs[job.id] = job
        describe = self._describe(str(job.id))["stdout"]
        return {**output(f"{job.id}\n"), "jobFile": f"{command.job_directory}/job.sh", "describe": describe}

    def _hold(self, job_id: str, token: str, *, held: bool) -> dict[str, Any]:
        job = self.jobs.get(int(job_id))
        if job is None or job.comment != token or not job.in_controller:
            raise CommandFailed("no such job with this token", kind="state")
        if job.state in ENDED:
            return output(status=1, stderr="Job has already finished")
        if job.state != "PENDING":
            return output(status=1, stderr="Job is no longer pending execution")
        job.held = held
        return output()

    def _cancel(self, token: str, keep: tuple[str, ...]) -> dict[str, Any]:
        gone = []
        for job in self.carrying(token):
            if job.state in ENDED or str(job.id) in keep or (keep and not job.held):
                continue
            job.state, job.ended = "CANCELLED", time.time()
            gone.append(str(job.id))
        return {"cancelled": gone, "results": [output() for _ in gone]}

    def _advance(self) -> None:
        for job in self.jobs.values():
            if job.state == "RUNNING":
                job.state, job.ended = job.ends_as, time.time()
            elif job.state == "PENDING" and not job.held and self._waits_for(job) is None:
                job.state, job.started = "RUNNING", time.time()

    def _waits_for(self, job: BatchJob) -> str | None:
        """Reason why it waits for others; None when it does not (of the kinds of dependency, afterok)."""
        for part in filter(None, job.dependency.split(",")):
            other = self.jobs[int(part.removeprefix("afterok:"))]
            if other.state in ENDED and other.state != "COMPLETED":
                return "DependencyNeverSatisfied"
            if other.state != "COMPLETED":
                return "Dependency"
        return None

    def requeue(self, job_id: int) -> None:
        """As after the failure of a node."""
        job = self.jobs[job_id]
        job.state, job.restarts = "PENDING", job.restarts + 1

    def _lines(self, wanted: Callable[[BatchJob], bool]) -> str:
        rows = []
        for job in self.jobs.values():
            if not job.in_controller or not wanted(job):
                continue
            reason = (
                "JobHeldUser" if job.held else "None" if job.state != "PENDING" else self._waits_for(job) or "Priority"
            )
            times = (_epoch(job.started), _epoch(job.ended), _epoch(job.submitted))
            rows.append(
                SEPARATOR.join(
                    [
                        *(str(job.id), str(job.id), "N/A", str(job.id), job.user, job.state, reason, *times),
                        *("0:01", "1", "n1", "normal", "physics", "normal", job.comment),
                    ]
                )
            )
        return "".join(row + "\n" for row in rows)

    def _describe(self, job_id: str) -> dict[str, Any]:
        job = self.jobs.get(int(job_id))
        if job is None or not job.in_controller:
            return {"jobId": job_id, **output(status=1, stderr="slurm_load_jobs error: Invalid job id specified")}
        code = "3:0" if job.state == "FAILED" else "0:0"
        line = (
            f"JobId={job.id} JobName=job.sh UserId={job.user}(2001) GroupId={job.user}(2001) MCS_label=N/A Priority=1 "
            f"QOS=normal JobState={job.state} Reason=None Restarts={job.restarts} ExitCode={code} RunTime=00:00:01 "
            f"TimeLimit=00:10:00 Partition=normal NodeList=n1 NumNodes=1 "
            f"Account=physics Command=/scratch/x/job.sh WorkDir=/scratch/x Comment={job.comment}  "
            f"StdErr=/scratch/x/slurm-{job.id}.out StdIn=/dev/null StdOut=/scratch/x/slurm-{job.id}.out Power=\n"
        )
        return {"jobId": job_id, **output(line)}

    def _sacct(self, wanted: Callable[[BatchJob], bool]) -> dict[str, Any]:
        if self.accounting_down:
            return output(
                status=1, stderr="sacct: error: slurm_persist_conn_open_without_init: failed to open persistent"
            )
        rows = []
        for job in filter(wanted, self.jobs.values()):
            code = "3:0" if job.state == "FAILED" else "0:0"
            times = (_epoch(job.submitted), _epoch(job.started), _epoch(job.ended))
            rows.append(
                SEPARATOR.join(
                    [
                        *(str(job.id), str(job.id), job.user, job.state, code, *times),
                        *("1", "1", "n1", "normal", "physics", "normal", job.comment, "sbatch …"),
                    ]
                )
            )
        return output("".join(row + "\n" for row in rows))

    def _usage(self, wanted: Callable[[BatchJob], bool]) -> dict[str, Any]:
        if self.accounting_down:
            return output(status=1, stderr="sacct: error: Problem talking to the database: Connection refused")
        rows = []
        for job in filter(wanted, self.jobs.values()):
            end = _epoch(job.ended) if job.ended is not None else "Unknown"
            for suffix, user, memory in (("", job.user, ""), (".batch", "", "2048K")):
                rows.append(SEPARATOR.join([f"{job.id}{suffix}", user, job.state, end, "1", "00:01.500", memory]))
        return output("".join(row + "\n" for row in rows))


def _epoch(at: float | None) -> str:
    return str(int(at)) if at is not None else "N/A"
