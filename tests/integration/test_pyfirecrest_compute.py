"""The unmodified pyfirecrest v1 client, sync, async and its command line, through all methods of /compute (contract section 5).

Each answer is asserted on, and what Slurm has. What the client raises: test_pyfirecrest_compute_errors.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import firecrest
import pytest

from bed import Bed
from integration.pyfirecrest_clients import Client, CommandLine, cells
from integration.slurms_side import accounted, ended, sbatch, scontrol, state

pytestmark = pytest.mark.integration

AREA = "compute"

SCRIPT = '#!/bin/bash\necho "$(id -un) in $(pwd): $GREETING"\n'
LONG = "#!/bin/bash\necho out of it\nsleep 300\n"
SUBMITTED = {
    "result",
    "jobid",
    "job_info_extra",
    "job_file",
    "job_file_out",
    "job_file_err",
    "job_data_out",
    "job_data_err",
}
SHOWN = ("jobid", "name", "nodelist", "nodes", "partition", "start_time", "state", "time", "time_left", "user")
QUEUE = {*SHOWN, *SUBMITTED} - {"result"}
ACCOUNTING = {*SHOWN, "cpu_time", "elapsed_time", "termination_time", "exit_code"}


@pytest.fixture(scope="module")
def remote(bed: Bed) -> Iterator[str]:
    """A script in a folder of alice's."""
    folder = f"/scratch/alice/{bed.name('compute')}"
    bed.node("sh", "-c", f'mkdir {folder}; cat > {folder}/remote.sh <<"X"\n{SCRIPT}X', user="alice")
    yield f"{folder}/remote.sh"
    bed.node("rm", "-rf", folder)


@pytest.fixture(scope="module")
def failed(bed: Bed) -> str:
    """A job of alice's that ended with 3, as accounting knows: of one that ends as it begins it has the end first, and all the rest later."""
    job_id = sbatch(bed, "exit 3")
    bed.until(lambda: accounted(bed, job_id), lambda rows: rows == [[job_id, "alice", "physics", "FAILED", "wrap"]])
    return job_id


@pytest.fixture(scope="module")
def running(bed: Bed) -> str:
    """A job of alice's that runs for five minutes."""
    task_id = bed.upload(LONG.encode()).json["task_id"]
    job = bed.job_when(f"r-{task_id}", lambda status: status.get("phase") == "Running")
    job_id = str(job["status"]["jobId"])
    bed.until(
        lambda: bed.node("cat", job["status"]["files"]["stdout"], check=False), lambda said: said == "out of it\n"
    )
    return job_id


@pytest.fixture(scope="module")
def reservation(bed: Bed) -> Iterator[str]:
    """One of Slurm's, for tomorrow."""
    name = bed.name("lab")
    asked = ("starttime=now+20hours", "duration=60", "users=root", "nodes=n1", "flags=overlap")
    bed.node("scontrol", "create", "reservation", f"reservationname={name}", *asked)
    yield name
    bed.node("scontrol", "delete", f"reservationname={name}")


def test_submit(bed: Bed, client: Client, remote: str, tmp_path: Path) -> None:
    """submit of a text, a local file, a file on the system, and both files in the client's older way."""
    local = tmp_path / "my script.sh"
    local.write_text(SCRIPT)
    done = {
        "text": client("submit", script_str=SCRIPT, account="chemistry", env_vars={"GREETING": "text"}),
        "local": client("submit", script_local_path=str(local), env_vars={"GREETING": "local"}),
        "remote": client("submit", script_remote_path=remote, account="chemistry", env_vars={"GREETING": "remote"}),
        "old local": client("submit", str(local), env_vars={"GREETING": "old local"}),
        "old remote": client("submit", remote, local_file=False, env_vars={"GREETING": "old remote"}),
    }
    ended(bed, *(result["jobid"] for result in done.values()))
    for how, result in done.items():
        assert set(result) == {*SUBMITTED, "firecrest_taskid"}, how
        assert (result["result"], result["job_info_extra"]) == ("Job submitted", "Job info returned successfully")
        assert (result["job_data_out"], result["job_data_err"]) == ("", "")
        folder, _, file = result["job_file"].rpartition("/")
        if "remote" in how:
            assert result["job_file"] == remote
        else:
            assert file == ("script.batch" if how == "text" else "my_script.sh")
            assert re.fullmatch(f"/scratch/alice/.+{result['firecrest_taskid']}", folder)
        assert result["job_file_out"] == result["job_file_err"] == f"{folder}/slurm-{result['jobid']}.out"
        assert bed.node("cat", result["job_file_out"]) == f"alice in {folder}: {how}\n"
        job = bed.job_finished(f"r-{result['firecrest_taskid']}")
        assert (job["status"]["phase"], job["status"]["jobId"]) == ("Succeeded", result["jobid"])
    accounts = {row[0]: row[2] for row in accounted(bed, *(result["jobid"] for result in done.values()))}
    assert [accounts[result["jobid"]] for result in done.values()] == [
        *("chemistry", "physics", "chemistry", "physics", "physics")
    ]


def test_poll_active(bed: Bed, client: Client, running: str) -> None:
    """poll_active: one's own jobs, some of them, and pages; what is in a record."""
    foreign = sbatch(bed, "sleep 120", user="bob")
    try:
        everything = client("poll_active")
        assert running in [record["jobid"] for record in everything]
        assert {record["user"] for record in everything} == {"alice"}
    finally:
        bed.node("scancel", foreign)
    (record,) = client("poll_active", jobs=[running])
    assert set(record) == QUEUE
    assert (record["jobid"], record["state"], record["nodes"]) == (running, "RUNNING", "1")
    (slurms,) = scontrol(bed, "job", running)
    assert [record[name] for name in ("name", "partition", "nodelist", "job_file", "job_file_out", "job_file_err")] == [
        slurms[name] for name in ("JobName", "Partition", "NodeList", "Command", "StdOut", "StdErr")
    ]
    assert record["start_time"] == slurms["StartTime"], "the start (D2)"
    assert ":" in record["time"], "elapsed (D2)"
    assert record["job_data_out"].startswith("out of it\n")
    assert record["job_info_extra"] == "Job info returned successfully"
    assert [one["jobid"] for one in client("poll_active", jobs=[int(running)])] == [running]
    assert len(client("poll_active", page_size=1, page_number=0)) == 1
    assert [one["jobid"] for one in client("poll_active", jobs=[running], page_number=0)] == [running]


def test_poll(bed: Bed, client: Client, failed: str, running: str) -> None:
    """poll: records of jobs that ended and that run; filters of time; pages; [] for a job that there is not."""
    (record,) = client("poll", jobs=[failed])
    assert set(record) == ACCOUNTING
    assert (record["jobid"], record["user"]) == (failed, "alice")
    assert (record["state"], record["exit_code"], record["nodes"]) == ("FAILED", "3:0", "1")
    fields = "JobName,Partition,NNodes,NodeList,Start,End,Elapsed,CPUTime"
    said = bed.node("sacct", "-X", "-n", "-P", f"--jobs={failed}", "-o", fields, user="alice")
    shown = ("name", "partition", "nodes", "nodelist", "start_time", "termination_time", "elapsed_time", "cpu_time")
    assert [record[name] for name in shown] == said.rstrip("\n").split("|")
    assert record["time"] == record["cpu_time"]
    assert record["time_left"] == record["termination_time"]
    both = client("poll", jobs=[int(failed), running])
    assert {one["jobid"]: one["state"] for one in both} == {failed: "FAILED", running: "RUNNING"}
    pages = [client("poll", jobs=[failed, running], page_size=1, page_number=number) for number in (0, 1)]
    assert [[one["jobid"] for one in page] for page in pages] == [[one["jobid"]] for one in both]
    assert client("poll", jobs=[failed], start_time="2001-01-01", end_time="2001-01-02") == []
    assert client("poll", jobs=[failed], start_time="01/01/21-00:00") == [record]
    assert record in client("poll", start_time=record["start_time"])
    assert client("poll", jobs=["99999999"]) == []


def test_nodes(bed: Bed, client: Client) -> None:
    """nodes: all, and some."""
    slurms = {each["NodeName"]: each["Partitions"].split(",") for each in scontrol(bed, "nodes")}
    found = client("nodes")
    assert {each["NodeName"]: each["Partitions"] for each in found} == slurms
    for each in found:
        assert set(each) == {"NodeName", "ActiveFeatures", "Partitions", "State"}
        assert set(each["State"]) <= {"IDLE", "MIXED", "ALLOCATED", "COMPLETING", "PLANNED", "RESERVED"}
        assert each["State"]
    assert sorted(each["NodeName"] for each in client("nodes", ["n3", "n1"])) == ["n1", "n3"]


def test_partitions(bed: Bed, client: Client) -> None:
    """partitions: all, and some; [] for one that there is not."""
    fields = ("PartitionName", "State", "TotalCPUs", "TotalNodes", "Default")
    slurms = [{name: each[name] for name in fields} for each in scontrol(bed, "partitions")]
    assert len(slurms) >= 3
    assert client("partitions") == slurms
    assert client("partitions", ["debug"]) == [each for each in slurms if each["PartitionName"] == "debug"]
    assert client("partitions", ["nosuch"]) == []


def test_reservations(bed: Bed, client: Client, reservation: str) -> None:
    """reservations: all, and some; [] for one that there is not."""
    (slurms,) = scontrol(bed, "reservations", reservation)
    (found,) = client("reservations", [reservation])
    assert set(found) == {"ReservationName", "State", "Nodes", "StartTime", "EndTime", "Features"}
    assert {name: found[name] for name in ("ReservationName", "State", "Nodes", "StartTime", "EndTime")} == {
        "ReservationName": reservation,
        "State": "INACTIVE",
        "Nodes": "n1",
        "StartTime": slurms["StartTime"],
        "EndTime": slurms["EndTime"],
    }
    bed.until(lambda: client("reservations"), lambda everything: found in everything, seconds=10)
    assert client("reservations", ["nosuch"]) == []


def test_cancel(bed: Bed, client: Client) -> None:
    """cancel: of a job that was submitted here, of one from elsewhere, of two at once."""
    submitted = client("submit", script_str=LONG)
    assert client("cancel", submitted["jobid"]) == f"scancel: Terminating job {submitted['jobid']}"
    assert state(bed, submitted["jobid"]) == "CANCELLED"
    assert bed.job_finished(f"r-{submitted['firecrest_taskid']}")["status"]["phase"] == "Cancelled"
    one, two, three = (sbatch(bed, "sleep 120") for _ in range(3))
    assert client("cancel", int(one)) == f"scancel: Terminating job {one}"
    said = client("cancel", f"{two},{three}")
    assert all(f"scancel: Terminating job {each}" in said for each in (two, three))
    assert [state(bed, each) for each in (one, two, three)] == ["CANCELLED"] * 3


async def test_async_client_as_it_comes(bed: Bed, failed: str, running: str) -> None:
    """With its own times between calls, and questions that are asked at once merged into one."""
    secret = bed.facts["oidc"]["clients"]["alice-client"]["secret"]
    authorization = firecrest.ClientCredentialsAuth("alice-client", secret, bed.facts["oidc"]["token_endpoint"])
    client = firecrest.v1.AsyncFirecrest(firecrest_url=bed.api, authorization=authorization)
    client.merge_get_requests = True
    try:
        one, ended, other = await asyncio.gather(
            client.poll_active(bed.system, jobs=[running]),
            client.poll(bed.system, jobs=[failed]),
            client.poll(bed.system, jobs=[running]),
        )
    finally:
        await client.close_session()
    assert [(record["jobid"], record["state"]) for record in one] == [(running, "RUNNING")]
    assert [(record["jobid"], record["state"]) for record in ended] == [(failed, "FAILED")]
    assert [(record["jobid"], record["state"]) for record in other] == [(running, "RUNNING")]


def test_command_line(bed: Bed, remote: str, failed: str, running: str, reservation: str, tmp_path: Path) -> None:
    """Every command for compute: as JSON it prints what was answered, as a table each record."""
    run = CommandLine(bed)
    local = tmp_path / "local.sh"
    local.write_text(SCRIPT)
    here, there, polled, polled_table, active, active_table, nodes, partitions, lab, lab_table = run.each(
        ("submit", str(local), "-e", "GREETING=from here", "--account", "chemistry"),
        ("submit", "--no-local", remote, "--env-var", "GREETING=from there"),
        ("poll", "--json", failed, running),
        ("poll", failed),
        ("poll-active", "--json", running),
        ("poll-active", running),
        ("get-nodes",),
        ("get-partitions",),
        ("get-reservations", "--json", reservation),
        ("get-reservations", reservation),
    )
    jobs: list[dict[str, Any]] = [json.loads(text) for text in (here, there)]
    ended(bed, *(job["jobid"] for job in jobs))
    for job, words in zip(jobs, ("from here", "from there"), strict=True):
        folder = job["job_file"].rpartition("/")[0]
        assert bed.node("cat", job["job_file_out"]) == f"alice in {folder}: {words}\n"
    assert [row[1:3] for row in accounted(bed, jobs[0]["jobid"])] == [["alice", "chemistry"]]

    records = {record["jobid"]: record for record in json.loads(polled)}
    assert {job_id: record["state"] for job_id, record in records.items()} == {failed: "FAILED", running: "RUNNING"}
    assert cells(polled_table) == [[records[failed][name] for name in SHOWN]]
    (record,) = json.loads(active)
    assert (record["jobid"], record["state"]) == (running, "RUNNING")
    (row,) = cells(active_table)
    seen = dict(zip(SHOWN, row, strict=True))
    passing = ("time", "time_left")
    assert {name: seen[name] for name in SHOWN if name not in passing} == {
        name: record[name] for name in SHOWN if name not in passing
    }

    assert [row[:2] for row in cells(nodes)] == [
        [each["NodeName"], each["Partitions"].replace(",", ", ")] for each in scontrol(bed, "nodes")
    ]
    names = ("PartitionName", "State", "TotalCPUs", "TotalNodes", "Default")
    assert cells(partitions) == [[each[name] for name in names] for each in scontrol(bed, "partitions")]
    (found,) = json.loads(lab)
    assert (found["ReservationName"], found["Nodes"]) == (reservation, "n1")
    assert [row[:5] for row in cells(lab_table)] == [
        [found[name] for name in ("ReservationName", "State", "Nodes", "StartTime", "EndTime")]
    ]


def test_command_line_cancels_and_is_refused(bed: Bed, remote: str) -> None:
    """cancel takes effect; status 1, and a word, where the gateway or Slurm refuses."""
    job_id = sbatch(bed, "sleep 120")
    run = CommandLine(bed)
    assert run("cancel", job_id) == ""
    assert state(bed, job_id) == "CANCELLED"
    refused = run.each(
        ("cancel", "abc"),
        ("submit", "--no-local", f"{remote}.no"),
        ("poll", "abc"),
        ("poll-active", "--system", "nowhere"),
        ("get-nodes", "nosuch"),
        status=1,
    )
    assert all("a Firecrest client error has occurred" in text for text in refused)
