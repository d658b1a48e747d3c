"""The main ways of a job on the hard site: taken once, followed to its end, cancelled, refused, rewritten."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from bed import Bed
from integration.door import Door

pytestmark = [pytest.mark.integration, pytest.mark.profile("hard")]

SCRIPT = b"#!/bin/bash\n#SBATCH --time=5\necho ran on $SLURM_CLUSTER_NAME as $(id -un) in $SLURM_JOB_PARTITION\n"
FORGOTTEN_SECONDS = 120.0  # MinJobAge is 2 s, but slurmctld looks for what is older once a minute


def uploaded(bed: Bed, script: bytes = SCRIPT, **more: Any) -> tuple[str, dict[str, Any]]:
    """Task id, and the task once it has ended."""
    answer = bed.upload(script, **more)
    assert answer.status == 201, answer.body
    task_id = answer.json["task_id"]
    return task_id, bed.task_ended(task_id, client=more.get("client", "alice-client"))


def output(bed: Bed, path: str) -> str:
    return bed.node("cat", path)


def condition(job: dict[str, Any], kind: str) -> tuple[str, str, str]:
    found = next(item for item in job["status"]["conditions"] if item["type"] == kind)
    return found["status"], found["reason"], found["message"]


def test_once_and_followed_to_its_end(bed: Bed) -> None:
    """Start-up files that talk and set traps, no comments in accounting, and a site that warns: it runs once, and Succeeded."""
    task_id, task = uploaded(bed)
    assert task["status"] == "200", task
    job = bed.job_finished(f"r-{task_id}")
    assert job["status"]["phase"] == "Succeeded", job["status"]
    assert output(bed, task["data"]["job_file_out"]) == "ran on cluster as alice in normal\n"
    rows = bed.slurm_jobs_of(task_id)
    assert [(row["JobID"], row["Comment"]) for row in rows] == [(job["status"]["jobId"], "")]


def test_a_job_that_ended_and_was_forgotten_while_nobody_looked(bed: Bed) -> None:
    """The operator is away until the controller knows nothing of the job any more: accounting settles it."""
    name = bed.name("forgotten")
    assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 4\nexit 7\n"}, timeLimit="5").returncode == 0
    job_id = bed.job_when(name, lambda status: status.get("phase") == "Running")["status"]["jobId"]
    with bed.faults.component_down("goldcrest-operator"):
        bed.until(lambda: shown(bed, job_id), lambda shown: "Invalid job id" in shown, seconds=FORGOTTEN_SECONDS)
    job = bed.job_finished(name)
    assert (job["status"]["phase"], job["status"]["exitCode"]) == ("Failed", 7)
    assert len(bed.slurm_jobs_of(job["status"]["submission"]["token"])) == 1


def test_an_answer_that_was_lost(bed: Bed) -> None:
    """The operator dies behind sbatch; without comments the job is found again by the line that submitted it."""
    name = bed.name("lost")
    operator = "goldcrest-operator"
    fault = {"GOLDCREST_OPERATOR_FAULT_POINT": "after-submit", "GOLDCREST_OPERATOR_ALLOW_FAULTS": "true"}
    bed.faults.restart(operator, fault)
    try:
        assert bed.apply_job(name, timeLimit="5").returncode == 0
        bed.until(lambda: bed.faults.alive(operator), lambda alive: not alive, seconds=30)
        token = bed.job(name)["status"]["submission"]["token"]
        # It is held, so that it is cancelled here to be gone from the controller: accounting alone knows it then.
        listed = bed.node("squeue", "--noheader", "-o", "%i %k").splitlines()
        (job_id,) = [line.split()[0] for line in listed if line.endswith(token)]
        bed.node("scancel", job_id)
        bed.until(lambda: shown(bed, job_id), lambda shown: "Invalid job id" in shown, seconds=FORGOTTEN_SECONDS)
    finally:
        bed.faults.restart(operator)
    job = bed.job_finished(name)
    assert (job["status"]["jobId"], job["status"]["phase"]) == (job_id, "Cancelled")
    assert [row["JobID"] for row in bed.slurm_jobs(token)] == [job_id]


def shown(bed: Bed, job_id: str) -> str:
    container = bed.facts["container"]
    argv = [*container["command"], "exec", container["name"], "scontrol", "show", "job", job_id]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_cancelled(bed: Bed) -> None:
    """By REST while it runs."""
    task_id, task = uploaded(bed, b"#!/bin/bash\n#SBATCH --time=5\nsleep 120\n")
    bed.job_when(f"r-{task_id}", lambda status: status.get("phase") == "Running")
    answer = bed.call("DELETE", f"/compute/jobs/{task['data']['jobid']}")
    assert answer.status == 200, answer.body
    job = bed.job_finished(f"r-{task_id}")
    assert job["status"]["phase"] == "Cancelled"
    assert [row["State"].split()[0] for row in bed.slurm_jobs_of(task_id)] == ["CANCELLED"]


def test_an_array(bed: Bed) -> None:
    """Each element once; the whole has succeeded."""
    name = bed.name("array")
    script = "#!/bin/bash\necho ran >> /scratch/alice/$NAME.$SLURM_ARRAY_TASK_ID\n"
    made = bed.apply_job(name, script={"inline": script}, array="1-3", timeLimit="5", environment={"NAME": name})
    assert made.returncode == 0, made.stderr
    job = bed.job_finished(name)
    assert job["status"]["phase"] == "Succeeded", job["status"]
    for index in (1, 2, 3):
        assert output(bed, f"/scratch/alice/{name}.{index}") == "ran\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("refused", "The site does not run jobs of this name: see https://site.example/names"),
        ("wordless", "error"),
    ],
)
def test_refused_by_the_sites_plugin(bed: Bed, name: str, words: str) -> None:
    """In the plugin's own words, where it has any; nothing is left in Slurm."""
    task_id, task = uploaded(bed, f"#!/bin/bash\n#SBATCH --job-name={name} --time=5\ntrue\n".encode())
    assert task["status"] == "400"
    assert words in task["data"]
    status, reason, message = condition(bed.job_finished(f"r-{task_id}"), "Failed")
    assert (status, reason) == ("True", "RejectedByScheduler")
    assert words in message
    assert bed.slurm_jobs(task_id) == []


def test_rewritten_by_the_sites_plugin(bed: Bed) -> None:
    """Another partition and another account than asked for, with a warning: taken, run, and shown as it was granted."""
    script = SCRIPT.replace(b"--time=5", b"--time=5 --partition=debug --account=chemistry")
    task_id, task = uploaded(bed, script)
    assert task["status"] == "200", task
    job = bed.job_finished(f"r-{task_id}")
    assert job["status"]["phase"] == "Succeeded"
    assert output(bed, task["data"]["job_file_out"]) == "ran on cluster as alice in normal\n"
    (row,) = bed.slurm_jobs_of(task_id)
    assert (row["Partition"], row["Account"]) == ("normal", "physics")
    assert job["status"]["account"] == "physics"


def test_too_many_jobs_for_now(bed: Bed) -> None:
    """A limit on their number: refused for a reason that passes, and it says so."""
    names = [bed.name("limited") for _ in range(3)]
    for name in names[:2]:
        assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 100\n"}, qos="limited").returncode == 0
        bed.job_when(name, lambda status: status.get("jobId"))
    try:
        assert bed.apply_job(names[2], qos="limited", timeLimit="5").returncode == 0
        status, reason, message = condition(bed.job_finished(names[2]), "Failed")
        assert (status, reason) == ("True", "RejectedForNow"), message
        assert "QOSMaxSubmitJobPerUserLimit" in message
        assert message.endswith("It may be accepted later: submit it again then.")
    finally:
        bed.kubectl("delete", "gjob", "-n", bed.namespace("alice"), "--wait=false", *names)


def test_an_expired_account(bed: Bed) -> None:
    """PAM does not let her in: the request is answered as one of somebody without an account, and nothing is submitted."""
    answer = bed.upload(SCRIPT, client="eve-client")
    assert answer.status in (400, 404), answer.body
    assert answer.json["description"].startswith("Failed to"), answer.body
    assert bed.node("sacct", "-n", "-X", "-u", "eve").strip() == ""
    assert re.search("account eve has expired|expired", bed.node("grep", "eve", "/var/log/syslog"))


def test_a_user_without_a_home_on_the_login_node(bed: Bed) -> None:
    """It is mounted on the compute nodes only: her jobs run."""
    assert "/home/dora" not in bed.node("ls", "-d", "/home/alice", "/home/dora", check=False)
    task_id, task = uploaded(bed, client="dora-client")
    assert task["status"] == "200", task
    namespace = bed.namespace("dora")
    assert bed.job_finished(f"r-{task_id}", namespace=namespace)["status"]["phase"] == "Succeeded"
    assert output(bed, task["data"]["job_file_out"]) == "ran on cluster as dora in normal\n"


def test_a_user_without_space(bed: Bed) -> None:
    """Nothing more fits into her work folder: refused by the system, with the file system's own words; nothing is submitted."""
    task_id, task = uploaded(bed, client="quinn-client")
    assert task["status"] == "400"
    assert "No space left on device" in task["data"]
    status, reason, _ = condition(bed.job_finished(f"r-{task_id}", namespace=bed.namespace("quinn")), "Failed")
    assert (status, reason) == ("True", "RejectedBySite")
    assert bed.slurm_jobs(task_id) == []


@pytest.fixture
def second_cluster(bed: Bed) -> Iterator[str]:
    """The System's jobs go to the other cluster of the database."""
    (cluster,) = bed.facts["system"]["clusters"]

    def say(value: str | None) -> None:
        patch = json.dumps({"spec": {"scheduler": {"cluster": value}}})
        done = bed.kubectl("patch", "gsys", bed.system, "--type=merge", "-p", patch)
        assert done.returncode == 0, done.stderr

    say(cluster)
    yield cluster
    say(None)


def test_another_cluster_of_the_same_database(bed: Bed, second_cluster: str) -> None:
    """With ``spec.scheduler.cluster`` a job is submitted, followed, held, let go and cancelled there; the first has nothing of it."""
    name = bed.name("second")
    script = "#!/bin/bash\necho ran on $SLURM_CLUSTER_NAME\n"
    assert bed.apply_job(name, script={"inline": script}, timeLimit="5").returncode == 0
    job = bed.job_finished(name)
    assert job["status"]["phase"] == "Succeeded", job["status"]
    assert output(bed, job["status"]["files"]["stdout"]) == f"ran on {second_cluster}\n"
    (row,) = bed.slurm_jobs_of(job["status"]["submission"]["token"])
    assert (row["JobID"], row["Cluster"]) == (job["status"]["jobId"], second_cluster)

    name, namespace = bed.name("second"), bed.namespace("alice")
    assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 120\n"}, timeLimit="5").returncode == 0
    running = bed.job_when(name, lambda status: status.get("phase") == "Running")
    patch = ("patch", "gjob", name, "-n", namespace, "--type=merge", "-p", '{"spec":{"cancel":true}}')
    assert bed.kubectl(*patch, user="alice").returncode == 0
    assert bed.job_finished(name)["status"]["phase"] == "Cancelled"
    listed = bed.node("squeue", "-M", second_cluster, "--noheader", "-t", "all", "-o", "%i %T").split("\n")
    assert f"{running['status']['jobId']} RUNNING" not in listed


@pytest.fixture
def full_folder(bed: Bed) -> Iterator[str]:
    """Otto's work folder, in which his quota is used up."""
    folder = bed.facts["users"]["otto"]["scratch"]
    filling = f"head -c 200000 /dev/urandom > {folder}/filling; sync {folder}/filling"
    bed.node("sh", "-c", filling, user="otto", check=False)
    yield folder
    bed.node("sh", "-c", f"rm -rf {folder}/*", check=False)


def test_a_user_over_quota(bed: Bed, full_folder: str) -> None:
    """EDQUOT, as the kernel says it: a job is refused by the system and not submitted; REST has the words and a code of its own."""
    task_id, task = uploaded(bed, client="otto-client")
    assert task["status"] == "400"
    assert "Disk quota exceeded" in task["data"]
    status, reason, message = condition(bed.job_finished(f"r-{task_id}", namespace=bed.namespace("otto")), "Failed")
    assert (status, reason) == ("True", "RejectedBySite")
    assert "Disk quota exceeded" in message
    assert bed.slurm_jobs(task_id) == []
    door = Door(bed)
    for answer in (
        door.upload({"targetPath": full_folder}, b"x" * 100_000, token=door.token("otto-client")),
        door.ask("POST", "/utilities/mkdir", {"targetPath": f"{full_folder}/new"}, client="otto-client"),
    ):
        assert answer.status == 400, answer.body
        assert "Disk quota exceeded" in answer.json["error"]
        assert answer.headers["X-Goldcrest-Code"] == "QuotaExceeded"
        assert answer.headers["X-Goldcrest-Retryable"] == "false"
    assert bed.node("ls", "-A", full_folder).split() == ["filling"]
