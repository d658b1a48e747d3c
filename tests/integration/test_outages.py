"""Parts are down while jobs are submitted: the jobs wait, visibly, and go on by themselves. Each runs exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from bed import Answer, Bed
from goldcrest_bed.faults import Faults

pytestmark = pytest.mark.integration


@contextmanager
def _sshd_gone(faults: Faults) -> Iterator[None]:
    """The daemon and the sessions it has let in: those outlive a daemon that is stopped."""
    with faults.daemon_down("sshd-goldcrest"):
        faults.node_run(["pkill", "-KILL", "-f", "^sshd-goldcrest: "])
        yield


def _reason(job: dict[str, Any], kind: str = "Ready") -> tuple[str, str]:
    condition = next((c for c in job.get("status", {}).get("conditions", []) if c["type"] == kind), None)
    return (condition["status"], condition["reason"]) if condition else ("", "")


@pytest.mark.parametrize(
    ("outage", "ready", "reasons"),
    [
        pytest.param(lambda faults: faults.daemon_down("slurmctld"), "False", {"SchedulerUnavailable"}, id="slurmctld"),
        pytest.param(lambda faults: _sshd_gone(faults), "Unknown", {"ConnectionRefused"}, id="sshd"),
        pytest.param(lambda faults: faults.link_down(), "Unknown", {"SystemUnreachable"}, id="network"),
        pytest.param(
            lambda faults: faults.component_down("goldcrest-delegation"),
            "False",
            {"DelegationUnavailable"},
            id="delegation",
        ),
    ],
)
def test_a_job_waits_for_what_is_down(
    bed: Bed, outage: Callable[[Faults], AbstractContextManager[None]], ready: str, reasons: set[str]
) -> None:
    """Made with kubectl before the outage (suspended), let go during it: it says what it waits for, then runs once."""
    name, namespace = bed.name("wait"), bed.namespace("alice")
    assert bed.apply_job(name, suspend=True).returncode == 0
    uid = bed.job_when(name, lambda status: status.get("phase") == "Suspended")["metadata"]["uid"]
    with outage(bed.faults):
        patched = bed.kubectl(
            "patch", "gjob", name, "-n", namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}', user="alice"
        )
        assert patched.returncode == 0, patched.stderr
        job = bed.until(lambda: bed.job(name), lambda job: _reason(job)[1] in reasons, seconds=90)
        assert _reason(job)[0] == ready
        assert job["status"]["phase"] not in ("Failed", "Succeeded", "Cancelled")
        assert job["status"]["message"]
    assert bed.job_finished(name, seconds=120)["status"]["phase"] == "Succeeded"
    assert len(bed.slurm_jobs_of(uid.replace("-", ""))) == 1


def test_a_job_waits_for_policy(bed: Bed) -> None:
    """Let in while OPA answered, met by the operator when it does not: it says so, then runs once."""
    name, namespace = bed.name("wait"), bed.namespace("alice")
    with bed.faults.component_down("goldcrest-operator"):
        assert bed.apply_job(name).returncode == 0
        with bed.faults.component_down("opa"), bed.faults.component_down("opa-signing"):
            bed.faults.start("goldcrest-operator")
            job = bed.until(lambda: bed.job(name), lambda job: _reason(job)[1] == "PolicyUnavailable", seconds=90)
            assert _reason(job)[0] == "False"
            refused = bed.apply_job(bed.name("shut"), namespace=namespace)
            assert refused.returncode != 0
            assert "OPA does not answer" in refused.stderr
    assert bed.job_finished(name, seconds=120)["status"]["phase"] == "Succeeded"
    assert len(bed.slurm_jobs_of(job["metadata"]["uid"].replace("-", ""))) == 1


def test_a_running_job_survives_an_unreachable_system(bed: Bed) -> None:
    """Ready becomes Unknown with the reason, never Failed; when the system is back the job is followed to its end."""
    name = bed.name("run")
    assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 20\n"}).returncode == 0
    bed.job_when(name, lambda status: status.get("phase") == "Running")
    with bed.faults.link_down():
        job = bed.until(lambda: bed.job(name), lambda job: _reason(job) == ("Unknown", "SystemUnreachable"), seconds=60)
        assert job["status"]["phase"] == "Running"
    assert bed.job_finished(name, seconds=120)["status"]["phase"] == "Succeeded"


def test_rest_says_what_is_down(bed: Bed) -> None:
    """With the system's sshd away, submitting answers 400, and says when to come again; with its network away, also X-Machine-Not-Available."""
    with bed.faults.daemon_down("sshd-goldcrest"):
        answer: Answer = bed.until(
            lambda: bed.upload(b"#!/bin/bash\ntrue\n"), lambda answer: answer.status != 201, seconds=90
        )
        assert (answer.status, answer.json) == (400, {"description": "Failed to retrieve jobs information"})
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["X-Goldcrest-Code"] == "ConnectionRefused"
        assert answer.headers["X-Goldcrest-Retryable"] == "true"
        assert "X-Machine-Not-Available" not in answer.headers
    with bed.faults.link_down():
        answer = bed.until(lambda: bed.upload(b"#!/bin/bash\ntrue\n"), _away, seconds=90)
        assert (answer.status, answer.json) == (400, {"description": "Failed to retrieve jobs information"})
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["X-Goldcrest-Code"] == "SystemUnreachable"


def _away(answer: Answer) -> bool:
    return answer.headers.get("X-Machine-Not-Available") == "Machine is not available"


def test_without_admission_nothing_is_made(bed: Bed) -> None:
    """failurePolicy Fail: neither door lets a job in, and both say so."""
    with bed.faults.component_down("goldcrest-admission"):
        refused = bed.apply_job(bed.name("shut"))
        assert refused.returncode != 0
        answer = bed.upload(b"#!/bin/bash\ntrue\n")
        assert answer.status in (400, 503), answer.body
        assert answer.json["description"]
        print(answer.body)
