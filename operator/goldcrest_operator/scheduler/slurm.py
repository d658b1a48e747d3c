"""Slurm through ssh-filter: typed commands out, views of jobs back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from goldcrest.authorised import payload_of, submit_command
from goldcrest.commands import Account, Cancel, Command, CommandOutput, Describe, Find, Hold, JobUsage, Queue, Release
from goldcrest.commands.cluster import on_cluster
from goldcrest.commands.outputs import (
    JobRecord,
    SubmissionVerdict,
    parse_account,
    parse_describe,
    parse_queue,
    parse_submitted,
    require_answer,
    submission_verdict,
    words,
)
from goldcrest.commands.refusals import submission_refusal
from goldcrest.commands.slurm import Scope
from goldcrest.commands.usage import parse_usage
from goldcrest.errors import (
    CommandFailed,
    SchedulerRefused,
    SchedulerUnavailable,
    TooLarge,
)
from goldcrest.models.job import JobFiles, JobResource
from goldcrest.models.job_details import Allotment
from goldcrest.sbatch.patterns import Facts, resolved
from goldcrest_operator.scheduler.interface import (
    Answer,
    CommandRunner,
    Consumed,
    Described,
    JobView,
    NotInThatState,
    NotTaken,
    SiteRefused,
    SubmissionUncertain,
    Submitted,
    SubmittedBefore,
    Target,
)
from goldcrest_operator.scheduler.queue_views import QueueViews
from goldcrest_operator.scheduler.running import run
from goldcrest_operator.scheduler.states import Row, view_of

# What the file system says about the user's paths; everything else (EAGAIN, ESTALE, EIO, EMFILE, …) is about the node, and passes.
_ERRNO_FOR_GOOD = frozenset(
    ("EACCES", "EPERM", "EROFS", "ENAMETOOLONG", "ELOOP", "EISDIR", "ENOTDIR", "EDQUOT", "ENOSPC")
)
_PATH_LIMIT = 4096
# Of the payload, before it was sent; any other TooLarge is of the answer, when sbatch has run.
_NOT_SENT = "are more than login host"

_HARMLESS = re.compile(r"already (completing or completed|finished)|invalid job id|no longer pending", re.IGNORECASE)


class SlurmScheduler:
    """The :class:`~goldcrest_operator.scheduler.interface.Scheduler` that is Slurm."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner
        self._seen: defaultdict[str, QueueViews] = defaultdict(QueueViews)

    async def submit(
        self, target: Target, job: JobResource, token: str, *, again: bool, script: bytes | None = None
    ) -> Submitted:
        command = replace(submit_command(job, target.spec, token=token, script=script), again=again)
        try:
            answer = await self._run(command, target, payload=payload_of(job.spec, script))
        except CommandFailed as error:
            if error.kind == "repeated":
                raise SubmittedBefore(error.message) from error
            if error.kind in ("os", "limit", "state"):  # before sbatch was started
                if _is_passing(error):
                    raise SchedulerUnavailable(_os_words(error)) from error
                raise SiteRefused(_os_words(error)) from error
            raise SubmissionUncertain(f"submitting was cut short on the login node: {error.message}") from error
        except TooLarge as error:
            if _NOT_SENT in error.message:
                raise SiteRefused(error.message) from error
            raise SubmissionUncertain(f"what sbatch answered was not read: {error.message}") from error
        output = CommandOutput.of(answer.result)
        submitted = parse_submitted(output.stdout) if output.exit == 0 else None
        if submitted is None:
            raise _not_submitted(output)
        described = parse_describe(str(answer.result.get("describe", "")))
        files = _files(described, job, answer.result, job_id=submitted.job_id, token=token)
        return Submitted(submitted.job_id, answer.host, files, _granted(described))

    async def find(self, target: Target, token: str) -> tuple[str, ...]:
        answer = await self._run(Find(token), target)
        queue = parse_queue(require_answer(CommandOutput.of(answer.result["squeue"]), program="squeue"))
        account = parse_account(require_answer(CommandOutput.of(answer.result["sacct"]), program="sacct"))
        ids = {row.base_id for row in queue if row.user == target.user and row.comment == token}
        ids |= {
            row.base_id
            for row in account
            # SubmitLine is there where a site does not store comments.
            if row.user == target.user and (row.comment == token or f"--comment={token}" in row.submit_line.split())
        }
        return tuple(sorted(ids, key=int))

    async def describe(self, target: Target, job: JobResource, token: str, job_id: str) -> Described:
        answer = await self._run(Describe((job_id,)), target)
        described = [
            record
            for item in answer.result["jobs"]
            for record in parse_describe(CommandOutput.of(item).stdout)
            if record.base_id == job_id and record.user == target.user and record.comment in (None, token)
        ]
        if not described:
            return Described()
        return Described(_files(described, job, {}, job_id=job_id, token=token), _granted(described))

    async def release(self, target: Target, token: str, job_id: str) -> None:
        output = await self._on_job(Release(token, job_id), target)
        if output.exit != 0 and not _HARMLESS.search(output.stderr):
            raise SchedulerUnavailable(f"releasing job {job_id} failed: {words(output)}")

    async def hold(self, target: Target, token: str, job_id: str) -> None:
        output = await self._on_job(Hold(token, job_id), target)
        if _HARMLESS.search(output.stderr):
            raise NotInThatState(words(output))
        if output.exit != 0:
            raise SchedulerUnavailable(f"holding job {job_id} failed: {words(output)}")

    async def cancel(self, target: Target, token: str, *, keep: Sequence[str] = ()) -> tuple[str, ...]:
        answer = await self._run(Cancel(token, tuple(keep)), target)
        for result in answer.result["results"]:
            output = CommandOutput.of(result)
            if output.exit != 0 and not _HARMLESS.search(output.stderr):
                raise SchedulerUnavailable(f"cancelling failed: {words(output)}")
        return tuple(str(job_id) for job_id in answer.result["cancelled"])

    async def queue(self, target: Target, scope: Scope) -> tuple[JobView, ...]:
        answer = await self._run(Queue(scope), target)
        listed = require_answer(CommandOutput.of(answer.result), program="squeue")
        # Only what an observer asks is asked for as long as the process lives.
        views = self._seen[target.system] if scope == "all" else QueueViews()
        return views.read(listed)

    async def details(self, target: Target, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        answer = await self._run(Describe(tuple(job_ids)), target)
        views: dict[str, JobView] = {}
        for item in answer.result["jobs"]:
            output = CommandOutput.of(item)
            if output.exit != 0:
                if _HARMLESS.search(output.stderr):
                    continue  # Slurm has forgotten it
                raise SchedulerUnavailable(f"scontrol failed: {words(output)}")
            asked = str(item["jobId"])
            rows = [record for record in parse_describe(output.stdout) if asked in (record.base_id, record.job_id)]
            if rows:
                views[asked] = view_of(rows)
        return views

    async def accounting(self, target: Target, scope: Scope, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        answer = await self._run(Account(scope, tuple(job_ids)), target)
        rows = parse_account(require_answer(CommandOutput.of(answer.result), program="sacct"))
        return {job_id: view for job_id, view in _views(rows).items() if job_id in job_ids}

    async def usage(self, target: Target, scope: Scope, job_ids: Sequence[str]) -> Mapping[str, Consumed]:
        answer = await self._run(JobUsage(scope, tuple(job_ids)), target)
        records = parse_usage(require_answer(CommandOutput.of(answer.result), program="sacct"))
        return {
            job_id: Consumed(record.cpu_seconds, record.max_rss_bytes)
            for job_id, record in records.items()
            if job_id in job_ids and record.ended
        }

    async def _on_job(self, command: Release | Hold, target: Target) -> CommandOutput:
        try:
            return CommandOutput.of((await self._run(command, target)).result)
        except CommandFailed as error:
            if error.kind == "state":
                raise NotInThatState(error.message) from error
            raise

    async def _run(self, command: Command, target: Target, *, payload: bytes = b"") -> Answer:
        return await run(self._runner, on_cluster(command, target.spec.scheduler.cluster), target, payload=payload)


def _not_submitted(output: CommandOutput) -> Exception:
    text = words(output)
    match submission_verdict(output):
        case SubmissionVerdict.REFUSED:
            refusal = submission_refusal(output)
            return SchedulerRefused(f"Slurm refused it: {refusal.message}", again=refusal.again)
        case SubmissionVerdict.NOT_NOW:
            return NotTaken(text)
        case SubmissionVerdict.UNCERTAIN:
            return SubmissionUncertain(text)


def _is_passing(error: CommandFailed) -> bool:
    """Whether an error of the operating system is one of the node, not of what was asked for."""
    if error.kind != "os" or error.errno_name in _ERRNO_FOR_GOOD:
        return False
    # Without an absolute path it is a program that is missing: an upgrade, or a file system that is away.
    return error.errno_name != "ENOENT" or not (error.path or "").startswith("/")


def _os_words(error: CommandFailed) -> str:
    where = f" ({error.path})" if error.path and error.path not in error.message else ""
    name = f" [{error.errno_name}]" if error.errno_name else ""
    return f"{error.message}{where}{name}"


def _views(rows: Iterable[Row]) -> dict[str, JobView]:
    by_id: dict[str, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row.base_id, []).append(row)
    return {job_id: view_of(found) for job_id, found in by_id.items()}


def _granted(described: Sequence[JobRecord]) -> Allotment | None:
    if not described:
        return None
    record = described[0]
    return Allotment(account=record.account, partition=record.partition, qos=record.qos, time_limit=record.time_limit)


def _files(
    described: Sequence[JobRecord], job: JobResource, result: Mapping[str, Any], *, job_id: str, token: str
) -> JobFiles | None:
    script = job.spec.script.path or str(result.get("jobFile") or "") or None
    if not described:
        return JobFiles(script=script) if script else None
    record = described[0]
    name = job.spec.job_name or (script or record.command or "").rpartition("/")[2]
    # Which of these Slurm has put in already depends on its release.
    facts = Facts(job_id=job_id, name=name, user=job.spec.run_as, array=record.array)
    return JobFiles(
        directory=_path(record.work_directory),
        script=script or _path(record.command),
        stdout=_path(resolved(record.stdout, facts)),
        stderr=_path(resolved(record.stderr, facts)),
    )


_ANY_ELEMENT = "4294967294"  # NO_VAL: what scontrol shows for the index in paths of an array as a whole


def _path(text: str | None) -> str | None:
    return text.replace(_ANY_ELEMENT, "%a") if text is not None and len(text) <= _PATH_LIMIT else None
