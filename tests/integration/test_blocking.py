"""Somebody is blocked on the whole bed: signing stops, sessions end, waiting jobs are held; and all goes on when it is lifted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bed import Bed

pytestmark = pytest.mark.integration

SLEEPS = "#!/bin/bash\nsleep 25\n"


@contextmanager
def blocked(bed: Bed, line: str) -> Iterator[None]:
    """A line in delegation's block file, for a while."""
    path = Path(bed.facts["goldcrest"]["block_file"])
    before = path.read_text()
    path.write_text(f"{before}{line}\n")
    try:
        yield
    finally:
        path.write_text(before)


def _ready(raw: dict[str, Any]) -> tuple[str, str]:
    found = next((c for c in raw.get("status", {}).get("conditions", []) if c["type"] == "Ready"), None)
    return (found["status"], found["reason"]) if found else ("", "")


def _queued_reason(bed: Bed, job_id: str) -> str:
    return bed.node("squeue", "-h", "-j", job_id, "-o", "%T %r", check=False).strip()


def _sessions(bed: Bed, user: str) -> str:
    """The daemons that sshd has for this user's sessions."""
    return bed.node("pgrep", "-f", f"^sshd-goldcrest: {user}", check=False).strip()


def test_before_submission(bed: Bed) -> None:
    """A Job made while its user is blocked waits and says so; lifted, it runs once. REST is refused meanwhile."""
    name = bed.name("blocked")
    with blocked(bed, "user: alice"):
        assert bed.apply_job(name).returncode == 0
        raw = bed.until(lambda: bed.job(name), lambda job: _ready(job) == ("False", "Blocked"))
        assert raw["status"]["phase"] not in ("Failed", "Succeeded", "Cancelled")
        assert "Unix user alice is blocked by the site" in raw["status"]["message"]
        refused = bed.upload(b"#!/bin/bash\ntrue\n")
        assert refused.status >= 400, refused
        assert bed.slurm_jobs(raw["metadata"]["uid"].replace("-", "")) == []
    assert bed.job_finished(name)["status"]["phase"] == "Succeeded"
    assert len(bed.slurm_jobs_of(raw["metadata"]["uid"].replace("-", ""))) == 1
    assert [event["reason"] for event in bed.events(name)].count("Blocked") == 1


def test_in_the_queue(bed: Bed) -> None:
    """A job that waits in the queue is held by Slurm, the user's sessions end at the sshd; lifted, it is released."""
    name = bed.name("blocked")
    assert bed.apply_job(name, schedulerOptions={"begin": "now+1hour"}).returncode == 0
    job_id = bed.job_when(name, lambda status: status.get("phase") == "Queued")["status"]["jobId"]
    bed.until(lambda: _queued_reason(bed, job_id), lambda reason: "JobHeld" not in reason)
    assert _sessions(bed, "alice")
    with blocked(bed, "user: alice"):
        bed.until(lambda: _queued_reason(bed, job_id), lambda reason: reason == "PENDING JobHeldUser")
        raw = bed.job_when(name, lambda status: status.get("phase") == "Suspended")
        assert _ready(raw) == ("False", "Blocked")
        # The operator's own session, which held the job, ends when it is idle; nothing opens another.
        bed.until(lambda: _sessions(bed, "alice"), lambda pids: not pids, seconds=120)
    bed.until(lambda: _queued_reason(bed, job_id), lambda reason: reason.startswith("PENDING") and "Held" not in reason)
    bed.kubectl("delete", "gjob", name, "-n", bed.namespace("alice"), user="alice")
    bed.until(lambda: _queued_reason(bed, job_id), lambda reason: not reason or "CANCELLED" in reason)


def test_running(bed: Bed) -> None:
    """A running job is left running, and its end is shown when the block is lifted."""
    name = bed.name("blocked")
    assert bed.apply_job(name, script={"inline": SLEEPS}).returncode == 0
    raw = bed.job_when(name, lambda status: status.get("phase") == "Running")
    with blocked(bed, "user: alice"):
        bed.until(lambda: bed.job(name), lambda job: _ready(job)[1] == "Blocked")
        assert _queued_reason(bed, raw["status"]["jobId"]).startswith("RUNNING")
    assert bed.job_finished(name)["status"]["phase"] == "Succeeded"


def test_deleted_while_blocked(bed: Bed) -> None:
    """Deleting a blocked user's Job cancels it and does not hang."""
    name = bed.name("blocked")
    assert bed.apply_job(name, schedulerOptions={"begin": "now+1hour"}).returncode == 0
    job_id = bed.job_when(name, lambda status: status.get("phase") == "Queued")["status"]["jobId"]
    with blocked(bed, "user: alice"):
        bed.job_when(name, lambda status: status.get("phase") == "Suspended")
        done = bed.kubectl("delete", "gjob", name, "-n", bed.namespace("alice"), "--timeout=60s")
        assert done.returncode == 0, done.stderr
        bed.until(lambda: _queued_reason(bed, job_id), lambda reason: not reason or "CANCELLED" in reason)
