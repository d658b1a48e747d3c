"""The main job through each door, on real components."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

import firecrest
import pytest

from bed import Bed

pytestmark = pytest.mark.integration

SCRIPT = b"#!/bin/bash\necho hello from $(id -un), $GREETING\n"
EXAMPLE = Path(__file__).parents[2] / "examples" / "job.yaml"


def _view(bed: Bed, path: str) -> str:
    answer = bed.call("GET", f"/utilities/view?targetPath={path}")
    assert answer.status == 200, answer.body
    return str(answer.json["output"])


def test_through_rest(bed: Bed) -> None:
    """Upload, poll the task, read the output; the resource and Slurm agree, and it ran once."""
    answer = bed.upload(SCRIPT, form={"env": json.dumps({"GREETING": "good day"})})
    assert answer.status == 201
    task_id = answer.json["task_id"]
    assert answer.json == {"success": "Task created", "task_id": task_id, "task_url": f"/tasks/{task_id}"}
    assert re.fullmatch("[0-9a-f]{32}", task_id)
    task = bed.task_ended(task_id)
    assert (task["status"], task["description"], task["user"], task["system"]) == (
        "200",
        "Finished successfully",
        "alice",
        bed.system,
    )
    data = task["data"]
    assert data["result"] == "Job submitted"
    job = bed.job_finished(f"r-{task_id}")
    assert job["status"]["phase"] == "Succeeded"
    assert job["status"]["jobId"] == data["jobid"]
    assert job["spec"]["requestedBy"]["via"] == "Grant"
    assert _view(bed, data["job_file_out"]) == "hello from alice, good day\n"
    assert [row["JobID"] for row in bed.slurm_jobs_of(task_id)] == [data["jobid"]]
    assert bed.task(task_id) == task, "a final task never changes"


def test_through_the_unmodified_client(bed: Bed) -> None:
    """pyfirecrest from PyPI submits and reads, without a change."""
    secret = bed.facts["oidc"]["clients"]["alice-client"]["secret"]
    client = firecrest.v1.Firecrest(
        firecrest_url=bed.api,
        authorization=firecrest.ClientCredentialsAuth("alice-client", secret, bed.facts["oidc"]["token_endpoint"]),
    )
    job = client.submit(bed.system, script_str=SCRIPT.decode(), env_vars={"GREETING": "bonjour"}, account="chemistry")
    assert job["result"] == "Job submitted"
    finished = bed.job_finished(f"r-{job['firecrest_taskid']}")
    assert finished["status"]["account"] == "chemistry"
    assert client.view(bed.system, job["job_file_out"]) == "hello from alice, bonjour\n"
    assert [system["system"] for system in client.all_systems()] == [bed.system]


def test_through_kubectl(bed: Bed) -> None:
    """The example is applied by a Kubernetes user, waited for, and described with its events."""
    namespace = bed.namespace("alice")
    bed.kubectl("delete", "gjob", "hello", "-n", namespace, "--ignore-not-found", user="alice")
    applied = bed.kubectl("apply", "-n", namespace, "-f", str(EXAMPLE), user="alice")
    assert applied.returncode == 0, applied.stderr
    waited = bed.kubectl(
        "wait", "-n", namespace, "--for=condition=Complete", "--timeout=60s", "gjob/hello", user="alice"
    )
    assert waited.returncode == 0, waited.stderr
    job = bed.job("hello")
    assert job["spec"]["requestedBy"]["via"] == "Kubernetes"
    assert job["spec"]["requestedBy"]["username"] == "alice"
    assert _view(bed, job["status"]["files"]["stdout"]).startswith("Hello from Kubernetes\nrunning as alice on ")
    assert {"Submitted", "Completed"} <= {event["reason"] for event in bed.events("hello")}
    trace_id = job["metadata"]["annotations"]["hpc.goldcrest.dev/traceparent"].split("-")[1]
    assert bed.log_lines("goldcrest-operator", trace_id), "admission begins a trace where kubectl brings none"
    columns = bed.kubectl("get", "goldcrest", "-A", "-o", "wide").stdout
    assert "Succeeded" in columns
    assert bed.system in columns


def test_one_trace_goes_through_all_parts(bed: Bed) -> None:
    """The client's trace id stands in the logs of gateway, operator, delegation and ssh-filter, and in the resource."""
    trace_id = secrets.token_hex(16)
    answer = bed.upload(SCRIPT, headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"})
    bed.task_ended(answer.json["task_id"])
    job = bed.job_finished(f"r-{answer.json['task_id']}")
    assert trace_id in job["metadata"]["annotations"]["hpc.goldcrest.dev/traceparent"]
    for process in ("goldcrest-api", "goldcrest-operator", "goldcrest-delegation"):
        assert bed.log_lines(process, trace_id), process
    assert "slurm.submit" in bed.node("grep", trace_id, "/var/log/syslog")


def test_a_script_on_the_system(bed: Bed) -> None:
    """`/compute/jobs/path` runs the very file, in its directory."""
    path = f"/home/alice/{bed.name('script')}.sh"
    bed.node("sh", "-c", f'printf "#!/bin/bash\\npwd\\n" > {path}', user="alice")
    answer = bed.submit_path(path)
    assert answer.status == 201, answer.body
    task = bed.task_ended(answer.json["task_id"])
    assert task["status"] == "200", task
    assert task["data"]["job_file"] == path
    assert task["data"]["job_file_out"].startswith("/home/alice/slurm-")
    bed.job_finished(f"r-{answer.json['task_id']}")
    assert _view(bed, task["data"]["job_file_out"]) == "/home/alice\n"


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 4 * 1024 * 1024])
def test_scripts_of_every_size(bed: Bed, size: int) -> None:
    """Up to 64 KiB inside the resource, larger ones as a file with its digest; the whole script runs."""
    head, tail = b"#!/bin/bash\n#", b"\necho ran to the end\n"
    answer = bed.upload(head + b"x" * (size - len(head) - len(tail)) + tail)
    assert answer.status == 201, answer.body
    task = bed.task_ended(answer.json["task_id"])
    assert task["status"] == "200", task
    job = bed.job_finished(f"r-{answer.json['task_id']}")
    assert ("path" in job["spec"]["script"]) == (size > 64 * 1024)
    assert _view(bed, task["data"]["job_file_out"]) == "ran to the end\n"


def test_a_script_that_is_not_utf8(bed: Bed) -> None:
    """Its bytes arrive unchanged."""
    answer = bed.upload(b"#!/bin/bash\nprintf '\xff\xfe' | od -An -tx1\n")
    task = bed.task_ended(answer.json["task_id"])
    job = bed.job_finished(f"r-{answer.json['task_id']}")
    assert "base64" in job["spec"]["script"]
    assert _view(bed, task["data"]["job_file_out"]).split() == ["ff", "fe"]


def test_the_list_of_tasks(bed: Bed) -> None:
    """An object keyed by id; unknown ids are left out; others' tasks do not show."""
    first, second = (bed.upload(SCRIPT).json["task_id"] for _ in range(2))
    bed.task_ended(first)
    bed.task_ended(second)
    listed = bed.call("GET", f"/tasks?tasks={first},{'0' * 32}").json["tasks"]
    assert set(listed) == {first}
    assert {first, second} <= set(bed.call("GET", "/tasks").json["tasks"])
    assert first not in bed.call("GET", "/tasks", client="bob-client").json["tasks"]


def test_cancel_through_rest(bed: Bed) -> None:
    """The job is cancelled in Slurm, its resource is Cancelled, and the cancel task says so."""
    submitted = bed.task_ended(bed.upload(b"#!/bin/bash\nsleep 300\n").json["task_id"])
    job_id = submitted["data"]["jobid"]
    answer = bed.call("DELETE", f"/compute/jobs/{job_id}")
    assert answer.status == 200, answer.body
    task = bed.task_ended(answer.json["task_id"])
    assert (task["status"], task["data"]) == ("200", f"scancel: Terminating job {job_id}")
    assert bed.job_finished(f"r-{submitted['hash_id']}")["status"]["phase"] == "Cancelled"
    assert bed.node("squeue", "-h", "-j", job_id, "-t", "all", "-o", "%T").strip() == "CANCELLED"
    assert bed.task(submitted["hash_id"])["status"] == "200"


def test_cancel_by_deleting(bed: Bed) -> None:
    """`kubectl delete` cancels the job before the resource goes."""
    name = bed.name("delete")
    assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 300\n"}).returncode == 0
    job_id = bed.job_when(name, lambda status: status.get("jobId"))["status"]["jobId"]
    deleted = bed.kubectl("delete", "gjob", name, "-n", bed.namespace("alice"), "--timeout=60s", user="alice")
    assert deleted.returncode == 0, deleted.stderr
    assert bed.node("squeue", "-h", "-j", job_id, "-t", "all", "-o", "%T").strip() == "CANCELLED"


def test_cancel_by_field(bed: Bed) -> None:
    """`spec.cancel: true` by the owner; setting it back changes nothing."""
    name = bed.name("cancel")
    assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 300\n"}).returncode == 0
    bed.job_when(name, lambda status: status.get("phase") == "Running")
    for value in ("true", "false"):
        patched = bed.kubectl(
            "patch",
            "gjob",
            name,
            "-n",
            bed.namespace("alice"),
            "--type=merge",
            "-p",
            f'{{"spec":{{"cancel":{value}}}}}',
            user="alice",
        )
        assert patched.returncode == 0, patched.stderr
        bed.job_when(name, lambda status: status.get("cancelRequestedAt"))
    assert bed.job_finished(name)["status"]["phase"] == "Cancelled"


def test_orphaned(bed: Bed) -> None:
    """With deletionPolicy Orphan the job goes on without its resource."""
    name = bed.name("orphan")
    assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 300\n"}, deletionPolicy="Orphan").returncode == 0
    job_id = bed.job_when(name, lambda status: status.get("phase") == "Running")["status"]["jobId"]
    assert (
        bed.kubectl("delete", "gjob", name, "-n", bed.namespace("alice"), "--timeout=60s", user="alice").returncode == 0
    )
    assert bed.node("squeue", "-h", "-j", job_id, "-o", "%T").strip() == "RUNNING"
    bed.node("scancel", job_id)


def test_suspended_before_submission(bed: Bed) -> None:
    """Nothing is submitted until suspend is lifted."""
    name = bed.name("suspend")
    assert bed.apply_job(name, suspend=True).returncode == 0
    job = bed.job_when(name, lambda status: status.get("phase") == "Suspended")
    assert bed.slurm_jobs(job["metadata"]["uid"].replace("-", "")) == []
    bed.kubectl(
        "patch",
        "gjob",
        name,
        "-n",
        bed.namespace("alice"),
        "--type=merge",
        "-p",
        '{"spec":{"suspend":false}}',
        user="alice",
    )
    assert bed.job_finished(name)["status"]["phase"] == "Succeeded"
