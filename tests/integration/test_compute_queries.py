"""What is asked of the scheduler, by REST, the unmodified client and kubectl, on real components (contract 5.4 to 5.7)."""

from __future__ import annotations

import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import firecrest
import pytest
import yaml

from bed import Bed
from goldcrest_operator.shared_queries import SHARED_SECONDS

pytestmark = pytest.mark.integration

LONG = b"#!/bin/bash\necho out of it\necho err of it >&2\nsleep 120\n"
RECORD = {
    *("jobid", "partition", "name", "user", "state", "start_time", "time", "time_left", "nodes", "nodelist"),
    *("job_file", "job_file_out", "job_file_err", "job_data_out", "job_data_err", "job_info_extra"),
}


def ask(bed: Bed, path: str, **more: Any) -> dict[str, Any]:
    """The ended task of a request that is answered with one."""
    answer = bed.call("GET", path, **more)
    assert answer.status == 200, answer.body
    return bed.task_ended(answer.json["task_id"])


@pytest.fixture(scope="module")
def job_id(bed: Bed) -> str:
    """A job that runs for two minutes."""
    task = bed.task_ended(bed.upload(LONG).json["task_id"])
    assert task["status"] == "200", task
    job_id = str(task["data"]["jobid"])
    bed.until(lambda: ask(bed, f"/compute/jobs/{job_id}")["data"], lambda data: data["0"]["state"] == "RUNNING")
    return job_id


@pytest.fixture(scope="module")
def client(bed: Bed) -> firecrest.v1.Firecrest:
    secret = bed.facts["oidc"]["clients"]["alice-client"]["secret"]
    authorization = firecrest.ClientCredentialsAuth("alice-client", secret, bed.facts["oidc"]["token_endpoint"])
    return firecrest.v1.Firecrest(firecrest_url=bed.api, authorization=authorization)


def sbatch(bed: Bed, *arguments: str, user: str = "alice") -> str:
    """A job that Goldcrest knows nothing of."""
    return bed.node(
        "sbatch", "--parsable", "--output=/dev/null", "--chdir=/", *arguments, "--wrap=sleep 120", user=user
    ).strip()


def test_listing_and_one_job(bed: Bed, job_id: str) -> None:
    """The records have the contract's fields, what they say is true, and the ends of the output are in them."""
    time.sleep(1)
    task = ask(bed, "/compute/jobs")
    assert (task["status"], task["user"], task["system"]) == ("200", "alice", bed.system)
    (record,) = (record for record in task["data"].values() if record["jobid"] == job_id)
    assert set(record) == RECORD
    assert (record["user"], record["state"]) == ("alice", "RUNNING")
    assert ":" in record["time"], "elapsed (D2)"
    assert "T" in record["start_time"], "the start (D2)"
    assert record["job_data_out"].startswith("out of it\n")
    assert record["job_file_out"].endswith(f"slurm-{job_id}.out")
    assert list(task["data"]) == [str(index) for index in range(len(task["data"]))]
    one = ask(bed, f"/compute/jobs/{job_id}")
    assert [record["jobid"] for record in one["data"].values()] == [job_id]
    assert set(one["data"]) == {"0"}


def test_others_jobs(bed: Bed) -> None:
    """Only with userJobs=false, without files."""
    foreign = sbatch(bed, user="bob")
    try:
        assert foreign not in [r["jobid"] for r in ask(bed, "/compute/jobs")["data"].values()]
        everybodys = ask(bed, "/compute/jobs?userJobs=false")["data"]
        (record,) = (record for record in everybodys.values() if record["jobid"] == foreign)
        assert (record["user"], record["job_file"]) == ("bob", "")
        assert record["job_info_extra"] == "Job files information is not available when `userJobs` is False"
    finally:
        bed.node("scancel", foreign)


def test_unknown_job(bed: Bed) -> None:
    """The task ends 400 with squeue's words."""
    task = ask(bed, "/compute/jobs/99999999")
    assert (task["status"], task["description"]) == ("400", "Finished with errors")
    assert "Invalid job id specified" in task["data"]


def test_pages(bed: Bed, job_id: str) -> None:
    """From 0; beyond the end, negative and empty ones end 400."""
    everything = ask(bed, "/compute/jobs")["data"]
    first = ask(bed, "/compute/jobs?pageSize=1&pageNumber=0")["data"]
    assert list(first) == ["0"]
    assert first["0"]["jobid"] in [record["jobid"] for record in everything.values()]
    for query, sentence in (
        ("pageSize=1&pageNumber=4000", "pageNumber (4000) is greater than total pages"),
        ("pageNumber=-1", "pageNumber (-1) cannot be a negative number"),
        ("pageSize=0", "pageSize (0) must be at least 1"),
    ):
        task = ask(bed, f"/compute/jobs?{query}")
        assert task["status"] == "400"
        assert sentence in task["data"]


def test_accounting(bed: Bed) -> None:
    """A finished job; the time filters really filter (D3)."""
    job = bed.job_finished(f"r-{bed.upload(b'#!/bin/bash' + bytes([10]) + b'exit 3').json['task_id']}")
    job_id = job["status"]["jobId"]
    data = bed.until(
        lambda: ask(bed, f"/compute/acct?jobs={job_id}")["data"], lambda data: data and data[0]["state"] == "FAILED"
    )
    assert [(record["jobid"], record["exit_code"], record["user"]) for record in data] == [(job_id, "3:0", "alice")]
    assert data[0]["time"] == data[0]["cpu_time"]
    assert data[0]["time_left"] == data[0]["termination_time"]
    assert ask(bed, f"/compute/acct?jobs={job_id}&starttime=2001-01-01&endtime=2001-01-02")["data"] == {}
    assert ask(bed, f"/compute/acct?jobs={job_id}&starttime=01/01/21-00:00")["data"]
    bed.until(
        lambda: ask(bed, "/compute/acct?starttime=00:00")["data"], lambda data: job_id in [r["jobid"] for r in data]
    )
    answer = bed.call("GET", "/compute/acct?starttime=soon")
    assert (answer.status, answer.json) == (
        400,
        {
            "description": "Failed to retrieve account information",
            "error": "starttime 'soon' is not a valid time: HH:MM[:SS] [AM|PM], MMDD[YY], MM/DD[/YY], MM.DD[.YY], "
            "MM/DD[/YY]-HH:MM[:SS], YYYY-MM-DD[THH:MM[:SS]]",
        },
    )


def test_nodes_partitions_reservations(bed: Bed) -> None:
    """As scontrol says."""
    nodes = ask(bed, "/compute/nodes")["data"]
    name = nodes[0]["NodeName"]
    assert set(nodes[0]) == {"NodeName", "ActiveFeatures", "Partitions", "State"}
    assert [node["NodeName"] for node in ask(bed, f"/compute/nodes/{name}")["data"]] == [name]
    missing = ask(bed, "/compute/nodes?nodes=nowhere")
    assert missing["status"] == "400"
    assert "nowhere" in missing["data"]
    partitions = ask(bed, "/compute/partitions")["data"]
    assert set(partitions[0]) == {"PartitionName", "State", "TotalCPUs", "TotalNodes", "Default"}
    assert ask(bed, "/compute/partitions?partitions=nowhere")["data"] == []
    bed.node("scontrol", "create", "reservation", "reservationname=lab", "starttime=now", "duration=10", "users=root", "nodes=ALL", "flags=ignore_jobs,magnetic", check=False)  # fmt: skip
    try:
        (lab,) = ask(bed, "/compute/reservations?reservations=lab")["data"]
        assert (lab["ReservationName"], lab["State"]) == ("lab", "ACTIVE")
        assert ask(bed, "/compute/reservations?reservations=nowhere")["data"] == []
    finally:
        bed.node("scontrol", "delete", "reservationname=lab", check=False)
    time.sleep(2)  # an answer of a moment ago may be shared
    assert ask(bed, "/compute/reservations")["data"] == []


def test_cancelling_what_was_submitted_elsewhere(bed: Bed) -> None:
    """By sbatch on the login node; one element of an array; several at once."""
    job_id, array = sbatch(bed), sbatch(bed, "--array=1-3")
    answer = bed.call("DELETE", f"/compute/jobs/{job_id}")
    assert answer.status == 200
    task = bed.task_ended(answer.json["task_id"])
    assert task["status"] == "200", task
    assert f"scancel: Terminating job {job_id}" in task["data"]
    task = bed.task_ended(bed.call("DELETE", f"/compute/jobs/{array}_2").json["task_id"])
    assert task["status"] == "200", task
    left = bed.node("squeue", "--noheader", "--format=%i", "--array", f"--jobs={array}").split()
    assert f"{array}_2" not in left
    assert len(left) == 2
    task = bed.task_ended(bed.call("DELETE", f"/compute/jobs/{array}_1,{array}_3").json["task_id"])
    assert task["status"] == "200", task


def test_cancelling_what_one_may_not(bed: Bed) -> None:
    """Somebody else's job, one that is not there, and what is no id: in scancel's words."""
    foreign = sbatch(bed, user="bob")
    try:
        task = bed.task_ended(bed.call("DELETE", f"/compute/jobs/{foreign}").json["task_id"])
        assert (task["status"], task["data"]) == ("400", "User does not have permission to cancel job")
        assert bed.node("squeue", "--noheader", "--format=%i", f"--jobs={foreign}").split() == [foreign]
    finally:
        bed.node("scancel", foreign)
    task = bed.task_ended(bed.call("DELETE", "/compute/jobs/99999999").json["task_id"])
    assert task["status"] == "400"
    assert "Invalid job id specified" in task["data"]
    task = bed.task_ended(bed.call("DELETE", "/compute/jobs/abc").json["task_id"])
    assert (task["status"], task["data"]) == ("400", "scancel: error: Invalid job id abc")


def test_the_unmodified_client(bed: Bed, client: firecrest.v1.Firecrest, job_id: str) -> None:
    """poll, poll_active, cancel, nodes, partitions, reservations of pyfirecrest."""
    assert job_id in [record["jobid"] for record in client.poll_active(bed.system)]
    assert [record["jobid"] for record in client.poll_active(bed.system, jobs=[job_id])] == [job_id]
    assert [record["jobid"] for record in client.poll(bed.system, jobs=[job_id])] == [job_id]
    foreign = sbatch(bed)
    assert f"scancel: Terminating job {foreign}" in client.cancel(bed.system, foreign)
    assert client.nodes(bed.system)[0]["NodeName"]
    assert client.partitions(bed.system)[0]["PartitionName"]
    assert client.reservations(bed.system) == []


def test_twenty_who_poll(bed: Bed, job_id: str) -> None:
    """Twenty listings are answered, alike, and cost the scheduler a query for each moment that they are spread over, not twenty."""
    before = len(bed.log_lines("goldcrest-operator", "task.finished"))
    mark = secrets.token_hex(4)
    queries, began = queries_of(bed), time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        tasks = list(pool.map(lambda _: ask(bed, f"/compute/jobs?jobs={job_id}&unused={mark}"), range(20)))
    assert {task["status"] for task in tasks} == {"200"}
    assert {task["data"]["0"]["jobid"] for task in tasks} == {job_id}
    assert len(bed.log_lines("goldcrest-operator", "task.finished")) - before >= 20
    asked, shared = (now - was for now, was in zip(queries_of(bed), queries, strict=True))
    assert asked + shared == 20
    seconds = time.monotonic() - began
    print(f"20 listings in {seconds:.1f} s cost {asked:.0f} queries")
    assert asked <= 1 + seconds / SHARED_SECONDS


def queries_of(bed: Bed) -> tuple[float, float]:
    """How often the scheduler was asked for Tasks, and how often an answer was shared."""
    text = bed.operator_metrics()
    found = {"asked": 0.0, "shared": 0.0}
    for line in text.splitlines():
        if line.startswith("goldcrest_operator_task_queries_total"):
            found[line.split('how="')[1].split('"')[0]] += float(line.split()[-1])
    return found["asked"], found["shared"]


def test_through_kubectl(bed: Bed) -> None:
    """The same as a resource: applied, waited for, its result read; the columns say how it went."""
    namespace = bed.namespace("alice")
    name = bed.name("ask")
    task = {
        "apiVersion": "hpc.goldcrest.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name},
        "spec": {"system": bed.system, "runAs": "alice", "operation": {"partitions": {}}},
    }
    applied = bed.kubectl("apply", "-n", namespace, "-f", "-", user="alice", stdin=yaml.safe_dump(task))
    assert applied.returncode == 0, applied.stderr
    waited = bed.kubectl("wait", "-n", namespace, "--for=condition=Complete", "--timeout=60s", f"gtask/{name}", user="alice")  # fmt: skip
    assert waited.returncode == 0, waited.stderr
    found = bed.get("gtask", name, namespace)
    assert found is not None
    assert json.loads(found["status"]["result"]["inline"])["partitions"]
    shown = bed.kubectl("get", "gtask", name, "-n", namespace, user="alice").stdout
    assert "Succeeded" in shown
    assert bed.kubectl("delete", "gtask", name, "-n", namespace, user="alice").returncode == 0
