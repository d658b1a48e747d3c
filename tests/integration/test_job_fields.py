"""Jobs that name others, a ConfigMap and their run, arrays, and what Slurm itself says of them: on real Slurm."""

from __future__ import annotations

from typing import Any

import pytest

from bed import Bed

pytestmark = pytest.mark.integration

QUICK = "#!/bin/bash\nexit 0\n"
ACCOUNTS = ("goldcrest-admission", "goldcrest-delegation", "goldcrest-operator")


def make(bed: Bed, name: str, text: str = QUICK, **fields: Any) -> None:
    """A Job that alice makes with kubectl."""
    done = bed.apply_job(name, **{"script": {"inline": text}, "timeLimit": "5", **fields})
    assert done.returncode == 0, done.stderr


def condition(status: dict[str, Any], kind: str) -> tuple[str, str] | None:
    found = [item for item in status.get("conditions", ()) if item["type"] == kind]
    return (found[0]["status"], found[0]["reason"]) if found else None


def test_a_chain(bed: Bed) -> None:
    """Made in the wrong order: each runs once, after the other; Slurm was told of the ones that it could wait for."""
    first, second, third = (bed.name(word) for word in ("first", "second", "third"))
    make(bed, third, dependencies=[{"type": "afterok", "name": second}])
    waiting = bed.job_when(third, lambda status: status.get("phase") == "Pending")
    assert condition(waiting["status"], "Reconciling") == ("True", "WaitingForDependency")
    make(bed, second, dependencies=[{"type": "afterok", "name": first}])
    make(bed, first, "#!/bin/bash\nsleep 3\n")
    ended = [bed.job_finished(name) for name in (first, second, third)]
    assert [job["status"]["phase"] for job in ended] == ["Succeeded"] * 3
    times = [(job["status"]["startTime"], job["status"]["endTime"]) for job in ended]
    assert times[0][1] <= times[1][0]
    assert times[1][1] <= times[2][0]
    record = ended[1]["status"]["dependencies"][0]
    assert (record["name"], record["uid"]) == (first, ended[0]["metadata"]["uid"])
    assert record["jobId"] == ended[0]["status"]["jobId"]


def test_a_chain_that_breaks(bed: Bed) -> None:
    """Stalled with the reason, while Slurm waits for it and when it comes later."""
    first, second, later = (bed.name(word) for word in ("breaks", "waits", "later"))
    make(bed, first, "#!/bin/bash\nsleep 2\nexit 3\n")
    bed.job_when(first, lambda status: "jobId" in status)
    make(bed, second, dependencies=[{"type": "afterok", "name": first}])
    assert bed.job_finished(first)["status"]["exitCode"] == 3
    make(bed, later, dependencies=[{"type": "afterok", "name": first}])
    for name in (second, later):
        bed.job_when(name, lambda status: condition(status, "Stalled") == ("True", "DependencyFailed"))
        patch = ("patch", "gjob", name, "-n", bed.namespace("alice"), "--type=merge", "-p")
        assert bed.kubectl(*patch, '{"spec":{"cancel":true}}', user="alice").returncode == 0
        assert bed.job_finished(name)["status"]["phase"] == "Cancelled"


def test_an_array_in_numbers(bed: Bed) -> None:
    """Elements by their states, those that failed with their codes, the pattern of its files, and what it used."""
    name = bed.name("array")
    make(bed, name, "#!/bin/bash\nexit $((SLURM_ARRAY_TASK_ID == 2 ? 7 : 0))\n", array="0-3")
    job = bed.job_finished(name)
    assert job["status"]["phase"] == "Failed"
    array = job["status"]["array"]
    assert array["total"] == 4
    assert {item["state"]: item["elements"] for item in array["states"]} == {"COMPLETED": "0-1,3", "FAILED": "2"}
    assert array["failures"] == [{"index": 2, "state": "FAILED", "exitCode": 7, "signal": 0}]
    assert job["status"]["files"]["stdout"].endswith(f"/slurm-{job['status']['jobId']}_%a.out")


def test_suspending_an_array_that_partly_runs(bed: Bed) -> None:
    """Its waiting elements are held, what runs is left running, and it goes on."""
    name = bed.name("partly")
    make(bed, name, "#!/bin/bash\nsleep 4\n", array="0-2%1")
    bed.job_when(name, lambda status: status.get("phase") == "Running")
    patch = ("patch", "gjob", name, "-n", bed.namespace("alice"), "--type=merge", "-p")
    assert bed.kubectl(*patch, '{"spec":{"suspend":true}}', user="alice").returncode == 0
    held = bed.job_when(name, lambda status: status.get("phase") == "Suspended", seconds=40)
    assert "COMPLETED" in {item["state"] for item in held["status"]["array"]["states"]}
    bed.kubectl(*patch, '{"spec":{"suspend":false}}', user="alice")
    assert bed.job_finished(name)["status"]["phase"] == "Succeeded"


def test_what_was_given_and_used(bed: Bed) -> None:
    """Beside what was asked; CPU time and memory come from accounting after the end."""
    name = bed.name("given")
    script = "#!/bin/bash\n#SBATCH --time=1 --job-name=line\nhead -c 50000000 /dev/zero | sha256sum\necho $SLURM_JOB_NAME $SLURM_SUBMIT_DIR\n"
    make(bed, name, script, jobName="field", stdout="out-%x-%u-%j.txt", stderr="err-%N.txt")
    job = bed.job_finished(name)
    status = job["status"]
    assert status["asked"]["timeLimit"] == "5"
    assert status["granted"]["timeLimit"] == "00:05:00"
    assert status["granted"]["partition"] == status["partition"]
    assert set(status["overridden"]) == {
        "line 2 of the script: --time is not used, because spec.timeLimit says something else",
        "line 2 of the script: --job-name is not used, because spec.jobName says something else",
    }
    assert status["files"]["stdout"].endswith(f"/out-field-alice-{status['jobId']}.txt")
    # The bed's nodes share one host, so that names of nodes are no host names there; elsewhere they are.
    assert status["files"]["stderr"].endswith(f"/err-{status['nodeList']}.txt")
    folder = status["files"]["directory"]
    assert bed.node("cat", status["files"]["stdout"], user="alice").endswith(f"  -\nfield {folder}\n")
    used = bed.job_when(name, lambda status: "usage" in status, seconds=30)["status"]["usage"]
    assert used["cpuSeconds"] >= 0


def test_a_script_in_a_config_map(bed: Bed) -> None:
    """As an inline one, where an administrator allows it; the maker's own right to read it counts too."""
    namespace, name = bed.namespace("alice"), bed.name("from-map")
    text = "#!/bin/bash\necho from a ConfigMap\n"
    made = [f"configmap/{name}", f"role/{name}", f"rolebinding/{name}", f"rolebinding/{name}-goldcrest"]
    admin = ("-n", namespace)
    bed.kubectl("create", *admin, "configmap", name, f"--from-literal=run.sh={text}")
    accounts = [f"--serviceaccount=goldcrest:{account}" for account in ACCOUNTS]
    bed.kubectl(
        "create", *admin, "rolebinding", f"{name}-goldcrest", "--clusterrole=goldcrest-script-reader", *accounts
    )
    bed.kubectl("create", *admin, "role", name, "--verb=get", "--resource=configmaps", f"--resource-name={name}")
    bed.kubectl("create", *admin, "rolebinding", name, f"--role={name}", "--user=alice")
    try:
        make(bed, name, script={"configMap": {"name": name, "key": "run.sh"}})
        job = bed.job_finished(name)
        assert job["status"]["phase"] == "Succeeded", job["status"]
        assert bed.node("cat", job["status"]["files"]["stdout"], user="alice") == "from a ConfigMap\n"
    finally:
        bed.kubectl("delete", *admin, *made, "--ignore-not-found")


def test_a_run_is_adopted(bed: Bed) -> None:
    """A gjob that is deleted and made again with its runKey shows the first run, and Slurm has one job."""
    first, second, key = bed.name("run"), bed.name("again"), bed.name("key")
    make(bed, first, "#!/bin/bash\nexit 5\n", runKey=key)
    before = bed.job_finished(first)["status"]
    bed.kubectl("delete", "gjob", first, "-n", bed.namespace("alice"))
    make(bed, second, "#!/bin/bash\nexit 5\n", runKey=key)
    after = bed.job_finished(second)["status"]
    assert (after["jobId"], after["exitCode"], after["phase"]) == (before["jobId"], 5, "Failed")
    assert {row["JobID"] for row in bed.slurm_jobs_of(before["submission"]["token"].rpartition(":")[2])} == {
        before["jobId"]
    }
