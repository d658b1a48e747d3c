"""Names of files and of jobs with every printable ASCII character, through REST, on the real bed (contract 3.5, 5.3)."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from bed import Bed
from integration.contract_asks import Ask, ask, by_path, upload

pytestmark = pytest.mark.integration

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
REFUSED = "<>|;\"'&\\()`"  # in a path (3.5); each of them in test_compute_contract.py
KEPT = string.ascii_letters + string.digits + "_.-"  # of the name of an uploaded file (5.3, secure_filename)


def _ended(bed: Bed, request: Ask, token: str) -> dict[str, Any]:
    """What the task has when it has ended well."""
    answer = request.send(bed, token=token)
    assert answer.status in (200, 201), answer.body
    task = bed.task_ended(answer.json["task_id"], client="bob-client")
    assert task["status"] == "200", task
    return {"task_id": task["task_id"], "data": task["data"]}


@pytest.mark.parametrize("chunk", [PRINTABLE[start : start + 24] for start in range(0, len(PRINTABLE), 24)])
def test_names_of_uploaded_files(bed: Bed, world: Mapping[str, str], chunk: str) -> None:
    """Letters, digits and ``_.-`` stay, blanks and slashes become ``_``, the rest goes; the job runs."""
    quoted = chunk.replace("\\", "\\\\").replace('"', '\\"')
    task = _ended(bed, upload(name=f"a{quoted}z.sh"), world["TOKEN"])
    kept = "".join("_" if c in " /" else c for c in chunk if c in KEPT + " /")
    assert task["data"]["job_file"].rpartition("/")[2] == f"a{kept}z.sh"
    assert bed.job_finished(f"r-{task['task_id']}", namespace=bed.namespace("bob"))["status"]["phase"] == "Succeeded"


def test_names_of_files_on_the_system(bed: Bed, world: Mapping[str, str]) -> None:
    """All that a path may have, in one name: that very file runs."""
    name = "".join(c for c in PRINTABLE if c not in REFUSED + "/").strip() + ".sh"
    path = f"{world['HOME']}/{name}"
    bed.node("cp", f"{world['HOME']}/plain.sh", path, user="bob")
    task = _ended(bed, by_path(path), world["TOKEN"])
    assert task["data"]["job_file"] == path
    assert bed.job_finished(f"r-{task['task_id']}", namespace=bed.namespace("bob"))["status"]["phase"] == "Succeeded"


@contextmanager
def _waiting(bed: Bed, token: str, argument: str) -> Iterator[str]:
    """Id of a job with this name that begins in an hour; it is cancelled through REST."""
    script = b"#!/bin/bash\n#SBATCH --begin=now+1hour\n#SBATCH --job-name=" + argument.encode() + b"\ntrue\n"
    job_id = str(_ended(bed, upload(script), token)["data"]["jobid"])
    yield job_id
    assert _ended(bed, ask(f"DELETE /compute/jobs/{job_id}"), token)["data"] == f"scancel: Terminating job {job_id}"


def _accounted(bed: Bed, job_id: str, token: str) -> dict[str, Any]:
    """Its record of accounting, which comes a moment later."""
    seen = bed.until(lambda: _ended(bed, ask(f"GET /compute/acct?jobs={job_id}"), token)["data"], bool, seconds=20)
    record: dict[str, Any] = seen[0]
    return record


def test_names_of_jobs(bed: Bed, world: Mapping[str, str]) -> None:
    """All but the backslash, which no line may have (test_compute_contract.py); the queue and accounting say the very name."""
    name = "a" + PRINTABLE.replace("\\", "").replace('"', "") + "z"
    with _waiting(bed, world["TOKEN"], f'"{name}"\'"\'') as job_id:
        name += '"'
        record = _ended(bed, ask(f"GET /compute/jobs/{job_id}"), world["TOKEN"])["data"]["0"]
        assert (record["name"], record["state"], record["user"]) == (name, "PENDING", "bob")
        (record,) = _ended(bed, ask(f"GET /compute/jobs?jobs={job_id}&userJobs=no"), world["TOKEN"])["data"].values()
        assert (record["name"], record["state"], record["user"]) == (name, "PENDING", "bob")
        record = _accounted(bed, job_id, world["TOKEN"])
        # slurmdbd writes that one so, also for sacct itself.
        assert (record["name"], record["state"], record["user"]) == (name.replace('"', "`"), "PENDING", "bob")


def test_a_name_that_looks_like_other_fields(bed: Bed, world: Mapping[str, str]) -> None:
    """Slurm prints names between other fields: none of those is taken from a name."""
    name = "x StdOut=/etc/o StdErr=/etc/e Command=/etc/c JobState=FAILED UserId=root(0)|bob|.:.bob.:.RUNNING.:."
    with _waiting(bed, world["TOKEN"], f'"{name}"') as job_id:
        record = _ended(bed, ask(f"GET /compute/jobs/{job_id}"), world["TOKEN"])["data"]["0"]
        assert (record["name"], record["state"], record["user"]) == (name, "PENDING", "bob")
        assert record["job_file_out"] == record["job_file_err"]
        assert record["job_file_out"].endswith(f"/slurm-{job_id}.out")
        assert record["job_file"].endswith("/job.sh")
        record = _accounted(bed, job_id, world["TOKEN"])
        assert (record["name"], record["state"], record["user"]) == (name, "PENDING", "bob")
