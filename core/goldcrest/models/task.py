"""``Task``: any other asynchronous operation on a System with a result: queries of the scheduler, cancelling by its id.

Its large results are ``TaskResult`` resources, see docs/decisions/0013.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from goldcrest.models.base import Model, Sha256, StatusModel, SystemName, Timestamp, UnixUser, parse_model
from goldcrest.models.conditions import Condition
from goldcrest.models.job import RequestedBy
from goldcrest.wellknown import Phase

IDS_LIMIT = 1000  # job ids, or names of nodes, in one operation
CANCEL_LIMIT = 100  # job ids of one cancelling
# Bytes of a result that is put into the status, which is written again and again; larger ones are in TaskResults.
INLINE_RESULT = 4 * 1024
_INLINE_LIMIT = 16 * 1024  # bytes of one that is taken there
RESULT_LIMIT = 8 * 1024 * 1024  # bytes; larger ones are a failure: etcd is no database
CHUNK_LIMIT = 900 * 1024  # bytes of one TaskResult, before base64: with it below etcd's 1.5 MiB
CHUNKS_LIMIT = RESULT_LIMIT // CHUNK_LIMIT + 2  # also for what gzip makes larger

ListedJobId = Annotated[
    str,
    StringConstraints(max_length=64, pattern=r"^[0-9]{1,20}([+_][0-9]{1,10}|_\[[0-9]{1,10}-[0-9]{1,10}\])?$"),
]
"""A job id as the queue shows it: 12, 12_3, 12+1, 12_[4-9]."""

NamedOnSystem = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f,]+$")]
"""Name of a node, partition or reservation; the scheduler says whether there is one."""

LocalTime = Annotated[
    str,
    StringConstraints(max_length=19, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$"),
]
"""A time on the system's own clock and in its zone, as the scheduler takes it."""

_NUMBER = 2**31


class Page(Model):
    """One page of a listing; the numbers are judged when the listing is there, as its length is needed for it."""

    size: int = Field(ge=-_NUMBER, le=_NUMBER, description="Entries of a page, at least 1.")
    number: int = Field(ge=-_NUMBER, le=_NUMBER, description="Which page, the first is 0.")


class ListJobsOperation(Model):
    """The queue."""

    scope: Literal["own", "all"] = Field(description="own: jobs of runAs. all: all that runAs may see.")
    job_ids: list[ListedJobId] = Field(default_factory=list, max_length=IDS_LIMIT, description="Only these jobs.")
    details: bool | None = Field(
        default=None, description="true: with the files of each job, and the ends of its output."
    )
    tail_bytes: int | None = Field(
        default=None, ge=0, le=65_536, description="Bytes of the end of each output file, with details. Default: 1000."
    )
    page: Page | None = Field(default=None, description="Only one page.")


class AccountingOperation(Model):
    """What accounting has recorded of jobs."""

    job_ids: list[ListedJobId] = Field(
        default_factory=list, max_length=IDS_LIMIT, description="Only these jobs, of whomever runAs may see."
    )
    start_time: LocalTime | None = Field(default=None, description="Jobs in any state after this time.")
    end_time: LocalTime | None = Field(default=None, description="Jobs in any state before this time.")
    page: Page | None = Field(default=None, description="Only one page.")


class NamesOperation(Model):
    """Nodes, partitions or reservations."""

    names: list[NamedOnSystem] = Field(
        default_factory=list, max_length=IDS_LIMIT, description="Only these; all without."
    )


class JobDetailOperation(Model):
    """One job of the queue, with its files."""

    job_id: ListedJobId = Field(description="Job id of the scheduler.")


class CancelJobOperation(Model):
    """Jobs to be cancelled by their ids, whoever submitted them; the scheduler says whether runAs may."""

    # What is no id is told by the task's end, in the scheduler's words, as its own program would.
    job_ids: list[NamedOnSystem] = Field(
        min_length=1, max_length=CANCEL_LIMIT, description="Job ids of the scheduler: 12, 12_3, 12_[4-9]."
    )


class Operation(Model):
    """Exactly one of these."""

    list_jobs: ListJobsOperation | None = Field(default=None, description="List jobs of the queue.")
    accounting: AccountingOperation | None = Field(default=None, description="List jobs of accounting.")
    nodes: NamesOperation | None = Field(default=None, description="List nodes.")
    partitions: NamesOperation | None = Field(default=None, description="List partitions.")
    reservations: NamesOperation | None = Field(default=None, description="List reservations.")
    job_detail: JobDetailOperation | None = Field(default=None, description="Show one job of the queue.")
    cancel_job: CancelJobOperation | None = Field(default=None, description="Cancel jobs by their ids.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the operations that are there, in the spelling of the resource; one, in a valid resource."""
        return tuple(self.dump())


class TaskSpec(Model):
    """What is asked for. Only cancel and ttlSecondsAfterFinished may change later."""

    system: SystemName = Field(description="Name of the System.")
    run_as: UnixUser = Field(description="Unix user on that system; you need the right to use it.")
    requested_by: RequestedBy | None = Field(default=None, description="Who asked. Written at admission.")
    cancel: bool | None = Field(
        default=None, description="true: do not begin. A request: setting it back has no effect once it ended."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="Delete the resource this many seconds after it finished. A query goes after an hour at the latest.",
    )
    operation: Operation = Field(description="What to do: exactly one operation.")


class TaskResultRecord(StatusModel):
    """The result, or where it is."""

    inline: str | None = Field(
        default=None, max_length=_INLINE_LIMIT, description="The result as JSON, when it is at most 4 KiB."
    )
    names: list[Annotated[str, StringConstraints(max_length=253)]] = Field(
        default_factory=list,
        max_length=CHUNKS_LIMIT,
        description="TaskResults of this namespace whose data, one after the other, is the result as JSON, by gzip.",
    )
    sha256: Sha256 = Field(description="Digest of the JSON.")
    size: int = Field(ge=0, description="Bytes of the JSON.")
    as_of: Timestamp = Field(
        description="When the scheduler was asked; a question of a moment ago may have been shared."
    )


class TaskStatus(StatusModel):
    """What happened. Written by the operator only."""

    observed_generation: int = Field(default=-1, description="Generation of the spec that was acted on last.")
    phase: Phase | None = Field(default=None, description="One word: where the task is.")
    message: str | None = Field(default=None, max_length=4096, description="The sentence for people.")
    conditions: list[Condition] = Field(default_factory=list, max_length=16, description="Conditions for programs.")
    start_time: Timestamp | None = Field(default=None, description="When a change on the system was begun.")
    end_time: Timestamp | None = Field(default=None, description="When it ended.")
    result: TaskResultRecord | None = Field(default=None, description="What came of it.")


class TaskResource(StatusModel):
    """A whole Task as the API server returns it, reduced to what is decided on."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    created: str
    deleting: bool
    annotations: dict[str, str]
    labels: dict[str, str]
    spec: TaskSpec
    status: TaskStatus

    @classmethod
    def of(cls, raw: dict[str, Any]) -> TaskResource:
        """Read the JSON of the API server.

        Raises:
            InvalidInput: when what is stored does not fit the model (another release).
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
            annotations=meta.get("annotations") or {},
            labels=meta.get("labels") or {},
            spec=parse_model(TaskSpec, raw.get("spec"), what="spec"),
            status=parse_model(TaskStatus, raw.get("status") or {}, what="status"),
        )

    @property
    def is_query(self) -> bool:
        """It only asks: what it found is worth little an hour later."""
        return self.spec.operation.cancel_job is None

    @property
    def finished(self) -> bool:
        return self.status.phase is not None and self.status.phase.finished


class TaskResultData(Model):
    """What a ``TaskResult`` holds beside its metadata; there is no spec, as nobody asks for anything with it."""

    data: str = Field(
        max_length=CHUNK_LIMIT * 4 // 3 + 4,
        pattern=r"^[A-Za-z0-9+/]*=*$",
        description="A part of a Task's result: gzip, in base64.",
    )
