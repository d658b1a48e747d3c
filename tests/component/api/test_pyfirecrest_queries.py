"""The unmodified client from PyPI: poll, poll_active, cancel, nodes, partitions, reservations. The operator's part is played here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from firecrest import v1
from firecrest.FirecrestException import FirecrestException, HeaderException

from component.api.gateway import Gateway
from component.api.test_queries import DETAIL, JOB, RECORD, succeeded
from goldcrest.errors import SystemUnreachable

pytestmark = pytest.mark.component
_T = TypeVar("_T")

HISTORY = {
    "jobId": "7",
    "partition": "normal",
    "name": "job.sh",
    "user": "alice",
    "state": "COMPLETED",
    "exitCode": "0:0",
    "start": "2030-01-02T03:04:05",
    "end": "2030-01-02T03:04:06",
    "elapsed": "00:00:01",
    "cpuTime": "00:00:02",
    "nodes": "1",
    "nodeList": "n1",
}
RESULTS: dict[str, Any] = {
    "listJobs": {"jobs": [{**JOB, "detail": DETAIL}], "total": 1},
    "accounting": {"accounting": [HISTORY], "total": 1},
    "nodes": {"nodes": [{"name": "n1", "activeFeatures": ["gpu"], "partitions": ["normal"], "state": ["IDLE"]}]},
    "partitions": {
        "partitions": [{"name": "normal", "state": "UP", "totalCpus": "8", "totalNodes": "2", "default": "YES"}]
    },
    "reservations": {"reservations": [{"name": "lab", "state": "ACTIVE", "nodes": "n1", "features": ["gpu"]}]},
    "cancelJob": {"cancelled": "scancel: Terminating job 101"},
}


class _Token:
    def get_access_token(self) -> str:
        return "token-alice"


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[v1.Firecrest]:
    firecrest = v1.Firecrest(firecrest_url=gateway.url, authorization=_Token())
    firecrest.polling_sleep_times = [0.02] * 250
    operator = asyncio.create_task(operate(gateway))
    yield firecrest
    operator.cancel()


async def operate(gateway: Gateway) -> None:
    """Answer every Task."""
    while True:
        for task in gateway.kubernetes.tasks():
            if not task.get("status"):
                (operation,) = task["spec"]["operation"]
                value = RESULTS[operation]
                status = value if "phase" in value else succeeded(value)
                await gateway.kubernetes.set_task_status(task["metadata"]["name"], status)
        await asyncio.sleep(0.01)


async def call(function: Callable[..., _T], *args: Any, **more: Any) -> _T:
    """The client blocks: it runs beside the server."""
    return await asyncio.to_thread(function, *args, **more)


async def test_poll_active(client: v1.Firecrest) -> None:
    """The queue, as a list of records."""
    assert await call(client.poll_active, "cluster") == [RECORD]
    assert await call(client.poll_active, "cluster", jobs=["102"], page_number=0) == [RECORD]


async def test_poll(client: v1.Firecrest) -> None:
    """Accounting, with times and pages."""
    (record,) = await call(
        client.poll, "cluster", jobs=["7"], start_time="2030-01-02", end_time="01/03/30", page_size=5
    )
    assert (record["jobid"], record["state"], record["exit_code"]) == ("7", "COMPLETED", "0:0")
    assert (record["time"], record["cpu_time"]) == ("00:00:02", "00:00:02")
    assert (record["time_left"], record["termination_time"]) == ("2030-01-02T03:04:06", "2030-01-02T03:04:06")


async def test_cancel(client: v1.Firecrest) -> None:
    """Of a job that was not submitted here."""
    assert await call(client.cancel, "cluster", "101") == "scancel: Terminating job 101"


async def test_nodes_partitions_reservations(client: v1.Firecrest) -> None:
    """Arrays of records."""
    (node,) = await call(client.nodes, "cluster", ["n1"])
    assert node == {"NodeName": "n1", "ActiveFeatures": ["gpu"], "Partitions": ["normal"], "State": ["IDLE"]}
    (partition,) = await call(client.partitions, "cluster")
    assert partition["PartitionName"] == "normal"
    (reservation,) = await call(client.reservations, "cluster")
    assert (reservation["ReservationName"], reservation["Features"]) == ("lab", ["gpu"])


async def test_a_system_that_is_away(gateway: Gateway, client: v1.Firecrest) -> None:
    """The header raises at once."""
    gateway.node.refusal = SystemUnreachable("connection refused")
    with pytest.raises(HeaderException):
        await call(client.poll_active, "cluster")


async def test_failures(client: v1.Firecrest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that ends 400 raises with the text."""
    said = "slurm_load_jobs error: Invalid job id specified"
    monkeypatch.setitem(RESULTS, "listJobs", {"phase": "Failed", "message": said})
    with pytest.raises(FirecrestException) as raised:
        await call(client.poll_active, "cluster", jobs=["999"])
    assert said in json.dumps(str(raised.value))
