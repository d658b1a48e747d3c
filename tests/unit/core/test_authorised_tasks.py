"""Which command follows from a Task: one, while it is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from goldcrest.authorised_tasks import authorised_task_commands
from goldcrest.commands import Command, History, Kill, ListJobs, Nodes, Partitions, Reservations
from goldcrest.creation import operation_of, parse_spec
from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import Operation, TaskResource, TaskSpec
from goldcrest.wellknown import Kind

pytestmark = pytest.mark.unit


def system(**scheduler: Any) -> SystemSpec:
    value = {
        "hosts": [{"address": "login1", "port": 2222}],
        "filterPath": "/usr/libexec/goldcrest/ssh-filter",
        "scheduler": {"type": "Slurm", **scheduler},
        "workDirectory": "/scratch/{user}",
    }
    return parse_model(SystemSpec, value, what="spec")


def task(
    operation: dict[str, Any], *, meta: dict[str, Any] | None = None, status: Any = None, **spec: Any
) -> TaskResource:
    metadata = {"name": "ask", "namespace": "n", "uid": "u", "resourceVersion": "1", "creationTimestamp": "x"}
    return TaskResource.of(
        {
            "metadata": {**metadata, **(meta or {})},
            "spec": {"system": "cluster", "runAs": "alice", "operation": operation, **spec},
            "status": status or {},
        }
    )


COMMANDS: list[tuple[dict[str, Any], Command]] = [
    ({"listJobs": {"scope": "own"}}, ListJobs(scope="own")),
    ({"listJobs": {"scope": "all", "tailBytes": 5}}, ListJobs(scope="all")),
    ({"listJobs": {"scope": "own", "details": True}}, ListJobs(scope="own", details=True, tail_bytes=1000)),
    (
        {"listJobs": {"scope": "own", "details": True, "tailBytes": 0, "jobIds": ["1_2"]}},
        ListJobs(scope="own", details=True, job_ids=("1_2",)),
    ),
    ({"jobDetail": {"jobId": "7"}}, ListJobs(scope="own", job_ids=("7",), details=True, tail_bytes=1000)),
    ({"accounting": {}}, History(scope="own")),
    ({"accounting": {"jobIds": ["7"]}}, History(scope="all", job_ids=("7",))),
    (
        {"accounting": {"startTime": "2030-01-02T03:04:05", "page": {"size": 1, "number": 0}}},
        History(scope="own", start="2030-01-02T03:04:05"),
    ),
    ({"nodes": {"names": ["n1"]}}, Nodes(names=("n1",))),
    ({"partitions": {"names": ["a"]}}, Partitions()),
    ({"reservations": {}}, Reservations()),
    ({"cancelJob": {"jobIds": ["7", "8_[1-2]"]}}, Kill(job_ids=("7", "8_[1-2]"))),
]


@pytest.mark.parametrize(("operation", "command"), COMMANDS)
def test_each_operation(operation: dict[str, Any], command: Command) -> None:
    """Exactly its command, on the System's cluster; pages and names of partitions are not the node's business."""
    assert authorised_task_commands(task(operation), system()) == (command,)
    (on_cluster,) = authorised_task_commands(task(operation), system(cluster="other"))
    assert on_cluster.args() == {**command.args(), "cluster": "other"}


def test_every_operation_has_an_example() -> None:
    """One that is added later cannot be forgotten here."""
    assert {name for operation, _ in COMMANDS for name in operation} == {
        field.alias or name for name, field in Operation.model_fields.items()
    }


@pytest.mark.parametrize(
    "over",
    [
        {"meta": {"deletionTimestamp": "x"}},
        {"cancel": True},
        *({"status": {"phase": phase}} for phase in ("Succeeded", "Failed", "Cancelled")),
    ],
)
def test_nothing_when_it_is_over(over: dict[str, Any]) -> None:
    """It leaves nothing behind that would have to be cleaned up."""
    assert authorised_task_commands(task({"cancelJob": {"jobIds": ["7"]}}, **over), system()) == ()


@pytest.mark.parametrize("operation", [{}, {"nodes": {}, "partitions": {}}, {"cancelJob": {"jobIds": ["abc"]}}])
def test_no_command(operation: dict[str, Any]) -> None:
    """Nothing is signed for what no command can be made of."""
    with pytest.raises(InvalidInput):
        authorised_task_commands(task(operation), system())


def test_what_policy_sees() -> None:
    """The operation, so that a site can tell asking from cancelling."""
    spec = parse_spec(Kind.TASK, {"system": "s", "runAs": "alice", "operation": {"cancelJob": {"jobIds": ["abc"]}}})
    assert isinstance(spec, TaskSpec)
    assert operation_of(Kind.TASK, spec) == "task.cancelJob"
    with pytest.raises(InvalidInput, match="exactly one operation"):
        parse_spec(Kind.TASK, {"system": "s", "runAs": "alice", "operation": {}})
