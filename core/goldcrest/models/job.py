"""``Job``: one batch job (or array) on a System."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from goldcrest.models.base import (
    AbsolutePath,
    Argument,
    Model,
    Sha256,
    StatusModel,
    SystemName,
    Timestamp,
    UnixUser,
    parse_model,
)
from goldcrest.models.conditions import Condition
from goldcrest.models.job_details import (
    Allotment,
    ArrayStatus,
    ComponentStatus,
    DependencyStatus,
    KubernetesName,
    Usage,
)
from goldcrest.wellknown import Phase, Via

INLINE_SCRIPT_LIMIT = 64 * 1024  # bytes; larger ones made etcd grow by hundreds of MiB under status patches (measured)

EnvironmentName = Annotated[str, StringConstraints(max_length=255, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SchedulerOptionName = Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-zA-Z]+$")]
MailType = Literal["BEGIN", "END", "FAIL", "REQUEUE", "ALL", "TIME_LIMIT", "ARRAY_TASKS", "NONE"]


class RequestedBy(Model):
    """Who asked for this. Written by admission, never by clients."""

    via: Via = Field(description="Grant: through REST, with a token. Kubernetes: through the Kubernetes API.")
    issuer: str | None = Field(default=None, max_length=1024, description="Issuer of the token.")
    subject: str | None = Field(default=None, max_length=1024, description="Subject of the token.")
    username: str = Field(max_length=1024, description="User name in the token, or in Kubernetes.")
    uid: str | None = Field(default=None, max_length=1024, description="uid in Kubernetes.")
    groups: list[Annotated[str, StringConstraints(max_length=1024)]] = Field(
        default_factory=list, max_length=256, description="Groups, as the door knew them."
    )


class ConfigMapKey(Model):
    """A key of a ConfigMap in the gjob's namespace."""

    name: KubernetesName = Field(description="Name of the ConfigMap.")
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        description="Key in its data or binaryData."
    )


class Script(Model):
    """The batch script: exactly one of inline, base64, configMap, path."""

    inline: str | None = Field(
        default=None, min_length=1, max_length=INLINE_SCRIPT_LIMIT, description="The script's text, at most 64 KiB."
    )
    base64: str | None = Field(
        default=None,
        min_length=1,
        max_length=INLINE_SCRIPT_LIMIT * 4 // 3 + 4,
        pattern=r"^[A-Za-z0-9+/]+=*$",
        description="The script's bytes in base64, for scripts that are not UTF-8.",
    )
    config_map: ConfigMapKey | None = Field(
        default=None,
        description="The script is a key of a ConfigMap; as it is when the gjob is made: other bytes are refused later.",
    )
    path: AbsolutePath | None = Field(default=None, description="A file on the system. Needs sha256.")
    sha256: Sha256 | None = Field(default=None, description="Digest of the file at path; other bytes are refused.")
    name: str | None = Field(
        default=None,
        max_length=128,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$",
        description="File name of the script in the job's directory.",
    )


class Dependency(Model):
    """Start only after another job: a gjob by its name, or a job of the scheduler by its id."""

    type: Literal["after", "afterok", "afterany", "afternotok", "aftercorr", "singleton"] = Field(
        description="Slurm's kind of dependency."
    )
    job_id: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[0-9]+(_[0-9]+)?$",
        description="Job id of the scheduler (not for singleton).",
    )
    name: KubernetesName | None = Field(
        default=None,
        description="A gjob in the same namespace, on the same system, with the same runAs; it may be made later.",
    )


class JobSpec(Model):
    """What is asked for. Only suspend, cancel, deletionPolicy and ttlSecondsAfterFinished may change later."""

    system: SystemName = Field(description="Name of the System.")
    run_as: UnixUser = Field(description="Unix user on that system; you need the right to use it.")
    requested_by: RequestedBy | None = Field(default=None, description="Who asked. Written at admission.")
    suspend: bool | None = Field(
        default=None, description="true: do not submit yet; hold it when it already waits in the queue."
    )
    cancel: bool | None = Field(default=None, description="true: cancel it. A request: setting it back has no effect.")
    deletion_policy: Literal["Cancel", "Orphan"] | None = Field(
        default=None,
        description="What deleting the resource does to the job: Cancel (default), or Orphan: leave it running.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="Delete the resource this many seconds after it finished. No default.",
    )
    run_key: (
        Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None
    ) = Field(
        default=None,
        description=(
            "Names the run: a gjob with the same namespace, system, runAs and runKey adopts the earlier run, also one "
            "that has ended, instead of running again."
        ),
    )
    script: Script = Field(description="The batch script.")
    script_sha256: Sha256 | None = Field(
        default=None, description="Digest of the script's bytes. Written at admission."
    )
    working_directory: AbsolutePath | None = Field(
        default=None,
        description="Directory the job starts in; default: a directory of its own below the system's work directory.",
    )
    environment: dict[EnvironmentName, Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=dict, max_length=256, description="Environment variables of the job."
    )
    job_name: Argument | None = Field(default=None, description="Name of the job (--job-name).")
    account: Argument | None = Field(default=None, description="Account to charge (--account).")
    partition: Argument | None = Field(default=None, description="Partition, or several with commas (--partition).")
    qos: Argument | None = Field(default=None, description="Quality of service (--qos).")
    reservation: Argument | None = Field(default=None, description="Reservation (--reservation).")
    constraint: Argument | None = Field(default=None, description="Node features (--constraint).")
    nodes: Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9]+(-[0-9]+)?$")] | None = Field(
        default=None, description="Number of nodes, or a range such as 2-4 (--nodes)."
    )
    tasks: int | None = Field(default=None, ge=1, le=10_000_000, description="Number of tasks (--ntasks).")
    tasks_per_node: int | None = Field(
        default=None, ge=1, le=65_536, description="Tasks on each node (--ntasks-per-node)."
    )
    cpus_per_task: int | None = Field(default=None, ge=1, le=65_536, description="CPUs of each task (--cpus-per-task).")
    memory: Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9]+[KMGT]?$")] | None = Field(
        default=None, description="Memory of each node, e.g. 4G (--mem)."
    )
    memory_per_cpu: Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9]+[KMGT]?$")] | None = Field(
        default=None, description="Memory of each CPU, e.g. 2G (--mem-per-cpu)."
    )
    gpus: Argument | None = Field(default=None, description="GPUs of the job, e.g. 4 or a100:4 (--gpus).")
    time_limit: (
        Annotated[
            str,
            StringConstraints(max_length=32, pattern=r"^([0-9]+-[0-9]+(:[0-9]+){0,2}|[0-9]+(:[0-9]+){0,2}|UNLIMITED)$"),
        ]
        | None
    ) = Field(
        default=None, description="Time limit in Slurm's forms: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S (--time)."
    )
    array: Annotated[str, StringConstraints(max_length=1024, pattern=r"^[0-9,:%-]+$")] | None = Field(
        default=None, description="Array, e.g. 1-100%10 (--array)."
    )
    dependencies: list[Dependency] = Field(
        default_factory=list,
        max_length=64,
        description="All of these must be met before the job starts (--dependency).",
    )
    stdin: AbsolutePath | None = Field(default=None, description="File connected to standard input (--input).")
    stdout: Argument | None = Field(default=None, description="File name pattern of standard output (--output).")
    stderr: Argument | None = Field(default=None, description="File name pattern of standard error (--error).")
    mail_user: Argument | None = Field(default=None, description="Who gets mail (--mail-user).")
    mail_type: list[MailType] = Field(
        default_factory=list, max_length=8, description="When mail is sent (--mail-type)."
    )
    requeue: bool | None = Field(default=None, description="Whether the job may be requeued (--requeue, --no-requeue).")
    scheduler_options: dict[SchedulerOptionName, Annotated[str, StringConstraints(min_length=1, max_length=4096)]] = (
        Field(
            default_factory=dict,
            max_length=64,
            description=(
                "Further options of sbatch by their names in docs/protocol.md, as text: gres: gpu:1, nodelist: n[1-4]; "
                'one without a value is "true".'
            ),
        )
    )


class SchedulerState(StatusModel):
    """What the scheduler said last, in its own words."""

    state: str | None = Field(default=None, max_length=128, description="Raw state, e.g. PENDING.")
    reason: str | None = Field(default=None, max_length=1024, description="Raw reason, e.g. Priority.")


class Submission(StatusModel):
    """The record of the one submission that counts (T10)."""

    token: str = Field(max_length=128, description="Mark carried by the job as its Slurm comment.")
    time: Timestamp = Field(description="When submitting began.")
    host: str | None = Field(default=None, max_length=260, description="Login host and port used.")
    released: bool | None = Field(
        default=None, description="Whether the job was released after its id had been stored."
    )


class JobFiles(StatusModel):
    """Paths on the system."""

    directory: str | None = Field(default=None, max_length=4096, description="Directory the job starts in.")
    script: str | None = Field(default=None, max_length=4096, description="The batch script.")
    stdout: str | None = Field(default=None, max_length=4096, description="Standard output.")
    stderr: str | None = Field(default=None, max_length=4096, description="Standard error.")


class JobStatus(StatusModel):
    """What happened. Written by the operator only."""

    observed_generation: int = Field(default=-1, description="Generation of the spec that was acted on last.")
    phase: Phase | None = Field(default=None, description="One word: where the job is.")
    message: str | None = Field(
        default=None, max_length=4096, description="The sentence for people: why it is where it is."
    )
    conditions: list[Condition] = Field(default_factory=list, max_length=16, description="Conditions for programs.")
    job_id: str | None = Field(
        default=None, max_length=64, description="Job id of the scheduler (base id of an array)."
    )
    scheduler: SchedulerState | None = Field(default=None, description="Raw state and reason of the scheduler.")
    submission: Submission | None = Field(default=None, description="Record of the submission.")
    cancel_requested_at: Timestamp | None = Field(default=None, description="Latch: since when it is being cancelled.")
    exit_code: int | None = Field(default=None, description="Exit code of the batch script.")
    signal: int | None = Field(default=None, description="Signal that ended it, 0 for none.")
    submit_time: Timestamp | None = Field(default=None, description="When the scheduler took it.")
    expected_start_time: Timestamp | None = Field(
        default=None, description="When the scheduler expects a waiting job to start; a guess that moves."
    )
    start_time: Timestamp | None = Field(default=None, description="When it started.")
    end_time: Timestamp | None = Field(default=None, description="When it ended.")
    elapsed_seconds: int | None = Field(default=None, description="Seconds of run time.")
    node_count: int | None = Field(default=None, description="Number of nodes.")
    node_list: str | None = Field(default=None, max_length=4096, description="Nodes, in Slurm's short form.")
    partition: str | None = Field(default=None, max_length=1024, description="Partition it was given.")
    account: str | None = Field(default=None, max_length=1024, description="Account it was given.")
    asked: Allotment | None = Field(
        default=None,
        description="What was asked for, in fields or in lines of the script; what is missing, the site chose.",
    )
    granted: Allotment | None = Field(default=None, description="What the scheduler gave: sites rewrite jobs.")
    overridden: list[Annotated[str, StringConstraints(max_length=256)]] = Field(
        default_factory=list,
        max_length=32,
        description="Lines of the script that do not count, because a field of the spec says something else.",
    )
    dependencies: list[DependencyStatus] = Field(
        default_factory=list, max_length=64, description="What became of each dependency on a gjob."
    )
    array: ArrayStatus | None = Field(default=None, description="The elements of an array, by state.")
    components: list[ComponentStatus] = Field(
        default_factory=list, max_length=64, description="The components of a heterogeneous job."
    )
    requeues: int | None = Field(default=None, description="How often the scheduler put it back into the queue.")
    usage: Usage | None = Field(default=None, description="What it used, some seconds after its end.")
    files: JobFiles | None = Field(default=None, description="Paths of its files on the system.")


class JobResource(StatusModel):
    """A whole Job as the API server returns it, reduced to what is decided on."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    created: str
    deleting: bool
    finalizers: tuple[str, ...]
    annotations: dict[str, str]
    labels: dict[str, str]
    spec: JobSpec
    status: JobStatus

    @classmethod
    def of(cls, raw: dict[str, Any]) -> JobResource:
        """Read the JSON of the API server.

        Raises:
            InvalidInput: when the stored spec does not fit the model (an older schema).
        """
        meta = raw["metadata"]
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta["resourceVersion"],
            created=meta["creationTimestamp"],
            deleting="deletionTimestamp" in meta,
            finalizers=tuple(meta.get("finalizers", ())),
            annotations=meta.get("annotations") or {},
            labels=meta.get("labels") or {},
            spec=parse_model(JobSpec, raw.get("spec"), what="spec"),
            status=parse_model(JobStatus, raw.get("status") or {}, what="status"),
        )
