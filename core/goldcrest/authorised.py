"""Which commands follow from a resource in its state (T8): one pure function.

The operator chooses with it what to do next; delegation checks with it what it is asked to sign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import replace

from goldcrest.commands import (
    Account,
    Cancel,
    Command,
    Describe,
    Find,
    Hold,
    JobUsage,
    Payload,
    Queue,
    Release,
    StatFile,
    Submit,
)
from goldcrest.commands.base import check_job_id, check_path, check_token
from goldcrest.commands.cluster import on_cluster
from goldcrest.commands.queries import ListJobs
from goldcrest.commands.slurm import submit_payload
from goldcrest.errors import InvalidInput
from goldcrest.models.job import JobResource, JobSpec
from goldcrest.models.system import SystemSpec
from goldcrest.sbatch import effective
from goldcrest.scripts import ScriptChanged, check_stamped
from goldcrest.wellknown import REST_NAME_PREFIX, Via, submission_token, token_directory

DEFAULT_SCRIPT_NAME = "job.sh"


def authorised_commands(
    job: JobResource, system: SystemSpec, *, cluster_id: str, script: bytes | None = None
) -> tuple[Command, ...]:
    """Every command that may be run as ``job.spec.runAs`` for this Job as it is now.

    Args:
        script: what the ConfigMap of ``spec.script.configMap`` holds now; with None, or other bytes than the stamped ones,
            nothing is submitted.

    Raises:
        InvalidInput: when no command can be made of it (a script that is no base64, a bad variable, an id that is none).
    """
    token = check_token(token_of(job, cluster_id=cluster_id))
    job_id = check_job_id(job.status.job_id) if job.status.job_id is not None else None
    finished = job.status.phase is not None and job.status.phase.finished
    ending = job.deleting or wants_cancel(job)
    commands: list[Command] = []
    if ending and not (job.deleting and job.spec.deletion_policy == "Orphan"):
        commands.append(Cancel(token))
    if job_id is None:
        if not finished:
            commands.append(Find(token))
            if not ending and not job.spec.suspend and may_be_submitted(job, script):
                submit = submit_command(job, system, token=token, script=script)
                commands.append(submit)
                if job.status.submission is not None:  # only behind a stored intent, with which the operator begins
                    commands.append(replace(submit, again=True))
        return _on(system.scheduler.cluster, commands)
    commands.append(Cancel(token, keep=(job_id,)))  # the sweep of doubles (T10.5)
    if not finished:
        if not ending:
            commands.append(Hold(token, job_id) if job.spec.suspend else Release(token, job_id))
        elif is_left_running(job) and not job.spec.suspend:
            commands.append(Release(token, job_id))  # deleted before it was released: it would be held for ever
        commands += [Queue("own"), Describe((job_id,)), Account("own", (job_id,))]
    elif job.status.usage is None:
        commands.append(JobUsage("own", (job_id,)))
    return _on(system.scheduler.cluster, commands)


def may_be_submitted(job: JobResource, script: bytes | None) -> bool:
    """Whether what a submission needs beside the Job is there: the stamped script, and what each dependency has become."""
    try:
        script_bytes(job.spec, script)
    except ScriptChanged:
        return False
    if job.spec.script.config_map is not None and script is None:
        return False
    names = {(dependency.type, dependency.name) for dependency in job.spec.dependencies if dependency.name is not None}
    known = {(found.type, found.name) for found in job.status.dependencies if found.state in ("Submitted", "Met")}
    return names <= known


def containment_commands(job: JobResource, *, cluster_id: str, cluster: str | None = None) -> tuple[Command, ...]:
    """Every command that may be run for this Job while its user or requester is blocked: each makes less run, and names the token.

    Its cancels are those that :func:`authorised_commands` has. Nothing of the spec is needed but wishes to end it, so that a Job whose
    spec makes no command is contained as well.

    Args:
        cluster: ``spec.scheduler.cluster`` of the System.
    """
    token = token_of(job, cluster_id=cluster_id)
    job_id = job.status.job_id
    finished = job.status.phase is not None and job.status.phase.finished
    commands: list[Command] = []
    if (job.deleting or wants_cancel(job)) and not (job.deleting and job.spec.deletion_policy == "Orphan"):
        commands.append(Cancel(token))
    if job_id is not None:
        commands.append(Cancel(token, keep=(job_id,)))
        if not finished:
            commands.append(Hold(token, job_id))
    return _on(cluster, commands)


def observer_commands_allow(
    command: Command,
    *,
    cluster: str | None = None,
    file_systems: Collection[str] = (),
    public_queue: bool = False,
) -> bool:
    """Whether an observer account may run this: a closed list of read-only queries without a user (trust, promises).

    Args:
        cluster: ``spec.scheduler.cluster`` of the System, which says nothing about other clusters.
        file_systems: paths of the System's file systems, of which it may look whether they answer.
        public_queue: the System says that Slurm shows each job to everybody: then it may list them for all.
    """
    match command:
        case StatFile(path=path, dereference=True):
            return path in file_systems
        case ListJobs(scope="all", job_ids=(), details=False):
            return public_queue and command.cluster == cluster
        case Queue(scope="all") | Account(scope="all") | JobUsage(scope="all") | Describe():
            return command.cluster == cluster
    return False


def _on(cluster: str | None, commands: Iterable[Command]) -> tuple[Command, ...]:
    return tuple(on_cluster(command, cluster) for command in commands)


def wants_cancel(job: JobResource) -> bool:
    """Cancelling was asked for, now or before: the latch in the status counts although the field was set back."""
    return bool(job.spec.cancel) or job.status.cancel_requested_at is not None


def is_left_running(job: JobResource) -> bool:
    """Whether only the resource is deleted, and the job lives on; not where cancelling was asked for before."""
    return job.deleting and job.spec.deletion_policy == "Orphan" and not wants_cancel(job)


def token_of(job: JobResource, *, cluster_id: str) -> str:
    """The submission's token: of the run's key, else of the grant's jti (which is the task id in the name), else of the uid.

    A run's key is a run in every cluster that the resource is moved to, so there is no cluster's id in its token.
    """
    if job.spec.run_key is not None:
        parts = (job.namespace, job.spec.system, job.spec.run_as, job.spec.run_key)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return submission_token(digest, digest[8:40])
    requested_by = job.spec.requested_by
    if requested_by is not None and requested_by.via is Via.GRANT:
        return submission_token(cluster_id, job.name.removeprefix(REST_NAME_PREFIX))
    return submission_token(cluster_id, job.uid)


def submit_command(job: JobResource, system: SystemSpec, *, token: str, script: bytes | None = None) -> Submit:
    """The one submission that this Job's spec means, with the dependencies on other gjobs as they were resolved in its status.

    Raises:
        InvalidInput: when there is none (a script that is no base64, a directive that is refused, a path with ``..``).
        ScriptChanged: the ConfigMap's bytes are not the stamped ones.
    """
    spec = job.spec
    job_ids = {
        (found.type, found.name): found.job_id for found in job.status.dependencies if found.state == "Submitted"
    }
    asked = effective(spec, script_bytes(spec, script), job_ids=job_ids)
    directory = f"{system.work_directory_of(spec.run_as).rstrip('/')}/goldcrest/{token_directory(token)}"
    return Submit(
        token=token,
        job_directory=check_path(directory, name="the job's directory"),
        work_directory=check_path(asked.work_directory or directory, name="workingDirectory"),
        script_name=spec.script.name or DEFAULT_SCRIPT_NAME,
        script_path=check_path(spec.script.path, name="script.path") if spec.script.path is not None else None,
        script_sha256=spec.script.sha256 if spec.script.path else None,
        hold=_fence(system) == "Hold",
        options=asked.options,
        content=Payload.of(payload_of(spec, script)),
    )


def _fence(system: SystemSpec) -> str:
    return system.scheduler.submit_fence or "Hold"


def payload_of(spec: JobSpec, script: bytes | None = None) -> bytes:
    """The bytes that travel with the submission: environment and script.

    Raises:
        InvalidInput: when the script is no base64, or a variable is malformed.
        ScriptChanged: the ConfigMap's bytes are not the stamped ones.
    """
    return submit_payload(spec.environment, script_bytes(spec, script) or b"")


def script_bytes(spec: JobSpec, config_map: bytes | None = None) -> bytes | None:
    """The script's bytes; None when it is a path on the system, or a ConfigMap that was not read.

    Args:
        config_map: what the ConfigMap holds that the spec names.

    Raises:
        InvalidInput, ScriptChanged.
    """
    script = spec.script
    given = [value for value in (script.inline, script.base64, script.config_map, script.path) if value is not None]
    if len(given) != 1:
        raise InvalidInput("script needs exactly one of inline, base64, configMap and path")
    if script.config_map is not None:
        return check_stamped(spec, config_map) if config_map is not None else None
    if script.inline is not None:
        return script.inline.encode()
    if script.base64 is not None:
        try:
            return base64.b64decode(script.base64, validate=True)
        except binascii.Error as error:
            raise InvalidInput(f"script.base64 is not base64: {error}") from error
    if script.sha256 is None:
        raise InvalidInput("script.path needs script.sha256, the digest of the file")
    return None
