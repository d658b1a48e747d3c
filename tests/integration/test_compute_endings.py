"""What becomes of requests to ``/compute`` that were accepted (contract 5, 7): the answer that a task was made, and how the task ends.

All are begun at once, on the real bed, and looked at one by one. Refusals at the door are in test_compute_contract.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bed import Answer, Bed
from integration.contract_asks import ALWAYS, Ask, Expected, ask, by_path, filled, upload

pytestmark = pytest.mark.integration

SUBMITTED = {
    *("result", "jobid", "job_file", "job_file_out", "job_file_err", "job_data_out", "job_data_err", "job_info_extra"),
}
QUEUED_JOB = {
    *("jobid", "partition", "name", "user", "state", "start_time", "time", "time_left", "nodes", "nodelist"),
    *("job_file", "job_file_out", "job_file_err", "job_data_out", "job_data_err", "job_info_extra"),
}
RECORD = {
    *("created_at", "updated_at", "last_modify", "data", "description", "hash_id", "task_id", "service", "status"),
    *("system", "user", "task_url"),
}
NO_SUCH_JOB = "slurm_load_jobs error: Invalid job id specified"
# Slurm's own lines, joined
NO_SCRIPT = (
    "Slurm refused it: This does not look like a batch script.  The first; line must start with #! followed by the path to an "
    "interpreter.; For instance: #!/bin/sh"
)
DOS = "Slurm refused it: Batch script contains DOS line breaks (\\r\\n); instead of expected UNIX line breaks (\\n)."
NUL = "Slurm refused it: The Slurm controller does not allow scripts that; contain a NULL character '\\0'."
TIMES = (
    *(
        "00:00",
        "00:00:01",
        "1:30 AM",
        "1:30:01AM",
        "0131",
        "013120",
        "1/31",
        "01/31/20",
        "1.31",
        "01.31.20",
        "1/31-10:00",
    ),
    *("01/31/20-10:00:01", "2020-01-31", "2020-01-31T10:00", "2020-01-31T10:00:01"),
)
LATER = ("013137", "01/31/37", "01.31.37", "01/31/37-10:00:01", "2037-01-31", "2037-01-31T10:00", "2037-01-31T10:00:01")

# Request, and with what its task ends: text of a failure, or the keys of a success (of its first record, where there are several).
ENDINGS: dict[str, tuple[Ask, str | set[str] | list[Any] | dict[str, Any]]] = {
    # 5.3: the scheduler's own words where it takes no such script
    "upload": (upload(env='{"A": "1"}', account="chemistry"), SUBMITTED),
    "path": (by_path("HOME/plain.sh", env='{"A": "1"}', account="chemistry"), SUBMITTED),
    "upload with CRLF": (upload(b"#!/bin/bash\r\ntrue\r\n"), DOS),
    "path with CRLF": (by_path("HOME/crlf.sh"), DOS),
    "upload without a shebang": (upload(b"true\n"), NO_SCRIPT),
    "path without a shebang": (by_path("HOME/bare.sh"), NO_SCRIPT),
    "upload with NUL": (upload(b"#!/bin/bash\ntrue \0\n"), NUL),
    "path with NUL": (by_path("HOME/nul.sh"), NUL),
    "upload of a program": (upload(b"\x7fELF\x02\x01\x01\0" + bytes(64)), NO_SCRIPT),
    "path of a program": (by_path("HOME/elf"), NO_SCRIPT),
    "path of an empty file": (by_path("HOME/empty.sh"), "Slurm refused it: Batch script is empty!"),
    "upload for an unknown account": (upload(account="nosuch"), "Slurm refused it: Batch job submission failed: Invalid account or account/partition combination specified"),
    # 5.4
    "jobs": (ask("GET /compute/jobs?jobs=HELD"), QUEUED_JOB),
    "jobs of all": (ask("GET /compute/jobs?jobs=FOREIGN_JOB&userJobs=no"), QUEUED_JOB),
    "jobs of others": (ask("GET /compute/jobs?jobs=FOREIGN_JOB"), {}),
    "jobs that are not there": (ask("GET /compute/jobs?jobs=99999999"), NO_SUCH_JOB),
    "page beyond": (ask("GET /compute/jobs?jobs=HELD&pageSize=1&pageNumber=1"), "pageNumber (1) is greater than total pages (1)"),
    "negative page": (ask("GET /compute/jobs?pageNumber=-1"), "pageNumber (-1) cannot be a negative number"),
    "empty pages": (ask("GET /compute/jobs?pageSize=0"), "pageSize (0) must be at least 1"),
    "negative pages": (ask("GET /compute/jobs?pageSize=-7"), "pageSize (-7) must be at least 1"),
    "pages that are no numbers": (ask("GET /compute/jobs?jobs=HELD&pageSize=many&pageNumber=1.5"), QUEUED_JOB),
    "pages that are none": (ask("GET /compute/jobs?jobs=HELD&pageSize=&pageNumber="), QUEUED_JOB),
    "job": (ask("GET /compute/jobs/HELD"), QUEUED_JOB),
    "job that is not there": (ask("GET /compute/jobs/99999999"), NO_SUCH_JOB),
    # 5.5
    "accounting of nothing": (ask("GET /compute/acct?jobs=99999999"), {}),
    "accounting page beyond": (ask("GET /compute/acct?jobs=99999999&pageNumber=1"), "pageNumber (1) is greater than total pages (1)"),
    "accounting negative page": (ask("GET /compute/acct?pageNumber=-1"), "pageNumber (-1) cannot be a negative number"),
    "accounting empty pages": (ask("GET /compute/acct?pageSize=0"), "pageSize (0) must be at least 1"),
    **{f"accounting from {start} until {end}": (ask(f"GET /compute/acct?jobs=99999999&starttime={start}&endtime={end}"), {})
       for start, end in (*zip(TIMES, itertools.cycle(LATER)), *(("2019-12-31", end) for end in TIMES[:4]))},
    # 5.6
    "cancelling": (ask("DELETE /compute/jobs/DOOMED"), "scancel: Terminating job DOOMED"),
    "cancelling of others": (ask("DELETE /compute/jobs/FOREIGN_JOB"), "User does not have permission to cancel job"),
    "cancelling of nothing": (ask("DELETE /compute/jobs/99999999"), "scancel: Terminating job 99999999scancel: error: Kill job error on job id 99999999: Invalid job id specified"),
    "cancelling of no id": (ask("DELETE /compute/jobs/abc"), "scancel: error: Invalid job id abc"),
    # 5.7
    "nodes": (ask("GET /compute/nodes"), {"NodeName", "ActiveFeatures", "Partitions", "State"}),
    "node": (ask("GET /compute/nodes/NODE"), {"NodeName", "ActiveFeatures", "Partitions", "State"}),
    "nodes that are not there": (ask("GET /compute/nodes?nodes=nowhere"), "Node nowhere not found"),
    "node that is not there": (ask("GET /compute/nodes/nowhere"), "Node nowhere not found"),
    "partitions": (ask("GET /compute/partitions"), {"PartitionName", "State", "TotalCPUs", "TotalNodes", "Default"}),
    "partitions that are not there": (ask("GET /compute/partitions?partitions=nowhere"), []),
    "reservations that are not there": (ask("GET /compute/reservations?reservations=nowhere"), []),
}  # fmt: skip
_SUCCEED = {"cancelling"}  # with a text

Begun = Mapping[str, tuple[Answer, dict[str, Any]]]


@pytest.fixture(scope="module")
def begun(bed: Bed, world: Mapping[str, str]) -> Begun:
    """The answer to each, and its ended task as the list of tasks shows it."""
    with ThreadPoolExecutor(4) as pool:
        answers = dict(
            zip(ENDINGS, pool.map(lambda row: row[0].named(world).send(bed, token=world["TOKEN"]), ENDINGS.values()), strict=True)
        )  # fmt: skip
    ids = {name: answer.json.get("task_id", "") for name, answer in answers.items()}

    def tasks() -> dict[str, Any]:
        listed = bed.call("GET", "/tasks?tasks=" + ",".join(ids.values()), token=world["TOKEN"])
        assert listed.status == 200, listed.body
        found: dict[str, Any] = listed.json["tasks"]
        return found

    ended = bed.until(tasks, lambda seen: all(task["status"] != "100" for task in seen.values()))
    return {name: (answer, ended.get(ids[name], {})) for name, answer in answers.items()}


@pytest.mark.parametrize("name", ENDINGS)
def test_the_answer(begun: Begun, name: str) -> None:
    """5.1: 201 for the two submissions, 200 for all else, DELETE too; no header that means an error."""
    answer, _ = begun[name]
    task_id = answer.json["task_id"]
    assert re.fullmatch("[0-9a-f]{32}", task_id)
    body = {"success": "Task created", "task_id": task_id, "task_url": f"/tasks/{task_id}"}
    Expected(201 if ENDINGS[name][0].line.startswith("POST") else 200, body).of(answer)


@pytest.mark.parametrize("name", ENDINGS)
def test_the_ending(begun: Begun, world: Mapping[str, str], name: str) -> None:
    """7.2, 7.3: the whole record; 200 with what was asked for, or 400 with a text."""
    answer, task = begun[name]
    expected = ENDINGS[name][1]
    if isinstance(expected, str):
        expected = filled(expected, world)
    failed = isinstance(expected, str) and name not in _SUCCEED
    print(task)
    assert (task["status"], task["description"]) == (
        ("400", "Finished with errors") if failed else ("200", "Finished successfully")
    )
    assert (task["user"], task["system"], task["service"]) == ("bob", world["SYSTEM"], "compute")
    assert task["task_id"] == task["hash_id"] == answer.json["task_id"]
    assert task["task_url"] == answer.json["task_url"]
    assert task["updated_at"] == task["last_modify"] >= task["created_at"]
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}", task["created_at"])
    assert RECORD <= set(task) <= RECORD | {"as_of"}
    if not isinstance(expected, set):
        assert task["data"] == expected
        return
    data = task["data"]
    shown = data[0] if isinstance(data, list) else data.get("0", data)
    assert set(shown) == expected
    if expected is QUEUED_JOB:
        assert {shown["jobid"]} <= {world["HELD"], world["FOREIGN_JOB"]}
        assert (set(data), shown["state"]) == ({"0"}, "PENDING")


def test_tasks(bed: Bed, begun: Begun, world: Mapping[str, str]) -> None:
    """7.1: one, some and all show the same record; unknown ids and others' are left out; the machine is not asked for."""
    for name in ("upload", "jobs", "cancelling"):
        _, task = begun[name]
        one = bed.call("GET", task["task_url"], token=world["TOKEN"], machine=None)
        Expected(200, {"task": task}).of(one)
        some = f"/tasks?tasks={task['task_id']},{world['FOREIGN_TASK']},{'0' * 32},no-id,"
        Expected(200, {"tasks": {task["task_id"]: task}}).of(bed.call("GET", some, token=world["TOKEN"], machine=None))
        for path in ("/tasks", "/tasks/"):
            everything = bed.call("GET", path, token=world["TOKEN"], machine=None)
            assert everything.status == 200
            assert everything.json["tasks"][task["task_id"]] == task
            assert world["FOREIGN_TASK"] not in everything.json["tasks"]
            assert {name: everything.headers[name] for name in ALWAYS} == ALWAYS
    nothing = bed.call("GET", "/tasks?tasks=no-id", token=world["TOKEN"])
    Expected(200, {"tasks": {}}).of(nothing)


def test_status(bed: Bed) -> None:
    """The service is there; it needs no machine."""
    Expected(200, {"success": "ack"}).of(bed.call("GET", "/compute/status", machine=None))


def test_nothing_runs_that_was_refused(bed: Bed, begun: Begun) -> None:
    """No job of a submission whose task ended 400."""
    ran = bed.slurm_jobs_of(begun["upload"][1]["task_id"])
    assert [row["JobID"] for row in ran] == [begun["upload"][1]["data"]["jobid"]]
    refused = {
        begun[name][1]["task_id"]
        for name, (request, expected) in ENDINGS.items()
        if request.line.startswith("POST") and isinstance(expected, str)
    }
    assert len(refused) == 10
    everything = bed.slurm_jobs("")
    assert ran[0]["JobID"] in {row["JobID"] for row in everything}  # accounting learns the rest of a row later
    assert not [row for row in everything for one in refused if one in row["Comment"] or one in row["SubmitLine"]]
