"""Parts of a Job's status that say more than where it is: what was asked and given, its elements, what it waits for, what it used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from goldcrest.models.base import StatusModel

ELEMENTS_LIMIT = 2048
"""Characters in which the elements of one state are listed; an array may have millions of them."""
FAILURES_LIMIT = 64
"""Elements that did not succeed and are listed one by one."""


class Allotment(StatusModel):
    """Where a job runs and for how long: as it was asked for, or as it was given. Sites rewrite jobs."""

    account: str | None = Field(default=None, max_length=1024, description="Account that is charged.")
    partition: str | None = Field(default=None, max_length=1024, description="Partition.")
    qos: str | None = Field(default=None, max_length=1024, description="Quality of service.")
    time_limit: str | None = Field(default=None, max_length=64, description="Time limit, in Slurm's forms.")


class ArrayStates(StatusModel):
    """The elements of an array that are in one state."""

    state: str = Field(max_length=128, description="Raw state of the scheduler.")
    count: int = Field(description="How many elements are in it.")
    elements: str = Field(
        max_length=ELEMENTS_LIMIT, description="Which ones, e.g. 0-3,7; ends with … when there are more than fit."
    )


class ArrayFailure(StatusModel):
    """An element that did not succeed."""

    index: int = Field(description="Index of the element.")
    state: str = Field(max_length=128, description="Raw state of the scheduler.")
    exit_code: int | None = Field(default=None, description="Exit code of its script.")
    signal: int | None = Field(default=None, description="Signal that ended it, 0 for none.")


class ArrayStatus(StatusModel):
    """An array in numbers."""

    total: int = Field(description="Elements that are known.")
    states: list[ArrayStates] = Field(default_factory=list, max_length=32, description="Elements by their state.")
    failures: list[ArrayFailure] = Field(
        default_factory=list, max_length=FAILURES_LIMIT, description="The first elements that did not succeed."
    )


class DependencyStatus(StatusModel):
    """What became of a dependency on another gjob."""

    name: str = Field(max_length=253, description="Name of the gjob.")
    type: str = Field(max_length=16, description="Kind of dependency, as in the spec.")
    uid: str | None = Field(default=None, max_length=64, description="Its uid, once it was there.")
    job_id: str | None = Field(default=None, max_length=64, description="Its job id, once it was submitted.")
    state: Literal["Waiting", "Submitted", "Met", "Failed"] = Field(
        description="Waiting: it has no job id yet. Submitted: the scheduler waits for it. Met or Failed: it has ended."
    )


class ComponentStatus(StatusModel):
    """One component of a heterogeneous job."""

    offset: int = Field(description="Number of the component.")
    state: str = Field(max_length=128, description="Raw state of the scheduler.")
    node_list: str | None = Field(default=None, max_length=4096, description="Nodes, in Slurm's short form.")


class Usage(StatusModel):
    """What the job used, as far as accounting knows."""

    cpu_seconds: int | None = Field(default=None, description="CPU time of all its processes, in seconds.")
    max_rss_bytes: int | None = Field(
        default=None, description="Most resident memory of one task, in bytes; where the site gathers it."
    )


KubernetesName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""
