"""Disks are full, clocks are off by minutes, a namespace goes: what users see meanwhile, and that each job runs once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from component.admission.binaries import binary
from component.admission.stage import API, free_port
from component.faults.jobs import JOBS
from component.faults.rig import USER, Rig
from goldcrest_bed import apt
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report

pytestmark = pytest.mark.component

MINUTES = 600


@contextmanager
def full_folder(rig: Rig, folder: str, *, owner: str = USER) -> Iterator[None]:
    """A file system of its own there, of which nothing is left."""
    rig.machine.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "goldcrest-test", folder)
    try:
        rig.machine.run("chown", f"{owner}:", folder)
        rig.machine.run("sh", "-c", f"cat /dev/zero > {folder}/filler 2>/dev/null; true")
        yield
    finally:
        rig.machine.run("umount", "-l", folder)


def test_job_directory_is_full(rig: Rig) -> None:
    """No room for the script: refused, with the system's own words; nothing was submitted. With room, a new one runs."""
    with full_folder(rig, f"/scratch/{USER}"):
        names = rig.add_many(JOBS)
        rig.finished(*names, phase="Failed")
        for name in names:
            assert rig.ready(name) == ("False", "RejectedBySite")
            assert "No space left on device" in rig.status(name)["message"], rig.status(name)
            assert not rig.slurm.carrying(rig.status(name)["submission"]["token"])
    again = rig.add()
    rig.finished(again)
    rig.ran_once(again)


def test_tmp_of_the_node_is_full(rig: Rig) -> None:
    """Nothing of ours needs /tmp."""
    with full_folder(rig, "/tmp", owner="root"), full_folder(rig, "/var/tmp", owner="root"):
        names = rig.add_many(JOBS)
        rig.finished(*names)
    rig.ran_once(*names)


def test_audit_log_is_full(rig: Rig) -> None:
    """Without room for the line nothing is signed: Jobs wait and say so, and go on by themselves when there is room."""
    rig.slurm.run_for(600)
    running = rig.add()
    rig.until(lambda: rig.phase(running) == "Running")
    filler = rig.stage.audit_file.parent / "filler"
    subprocess.run(["sh", "-c", f"cat /dev/zero > {filler} 2>/dev/null; true"], check=True)
    try:
        names = rig.add_many(JOBS)
        rig.until(
            lambda: all(rig.ready(name) == ("False", "DelegationUnavailable") for name in names), what="they say so"
        )
        assert all("audit log" in rig.status(name)["message"] for name in names), rig.status(names[0])
        assert rig.phase(running) == "Running"
    finally:
        filler.unlink()
    rig.until(lambda: all(rig.phase(name) == "Running" for name in names))
    rig.slurm.end_all()
    rig.finished(running, *names)
    rig.ran_once(running, *names)


def faked_clock(seconds: float) -> dict[str, str]:
    """Environment of a process whose clock is off by so much."""
    paths = Paths.from_environment()
    apt.ensure(["libfaketime"], why="a clock that is off", log=paths.logs / "apt.log", report=Report())
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+.0f}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.parametrize("seconds", [MINUTES, -MINUTES])
def test_delegation_and_node_disagree_about_the_time(rig: Rig, seconds: int) -> None:
    """Certificates are not valid yet, or not any more, where they are shown: Jobs wait, and say that it is the time. Then they run, once."""
    with rig.stage.delegation_with(faked_clock(seconds)):
        names = rig.add_many(JOBS)
        rig.until(lambda: all(_waits_for_the_clock(rig, name) for name in names), what="they say that it is the time")
        assert not any(rig.status(name).get("jobId") for name in names)
    rig.finished(*names)
    rig.ran_once(*names)


def _waits_for_the_clock(rig: Rig, name: str) -> bool:
    status, reason = rig.ready(name)
    message = rig.status(name).get("message", "")
    return reason == "SystemUnreachable" and status == "Unknown" and "clock" in message


@pytest.mark.parametrize("seconds", [MINUTES, -MINUTES])
def test_clock_of_the_operator(rig: Rig, seconds: int) -> None:
    """Ten minutes off, an answer lost, and followed by an operator whose clock is right: one run each."""
    rig.restart_operator(**faked_clock(seconds))
    with rig.slurm.faults("sbatch", ["lost"] * JOBS):
        names = rig.add_many(JOBS)
        rig.until(lambda: len(rig.slurm.jobs()) and any(rig.status(name).get("submission") for name in names))
        rig.restart_operator(kill=True)
        rig.finished(*names)
    rig.ran_once(*names)


def test_namespace_deleted_while_jobs_run(rig: Rig) -> None:
    """Its jobs are cancelled, one that was not submitted yet never is, and the namespace goes."""
    stage = rig.stage
    stage.namespace("doomed")
    stage.may(USER, "doomed", accounts=[f"cluster:{USER}"])
    rig.slurm.run_for(600)
    names = [rig.add(namespace="doomed") for _ in range(JOBS)]
    rig.until(lambda: all(rig.status(n, namespace="doomed").get("phase") == "Running" for n in names))
    tokens = [rig.status(name, namespace="doomed")["submission"]["token"] for name in names]
    rig.add(namespace="doomed", suspend=True)
    port = free_port()
    argv = [
        str(binary("kube-controller-manager")),
        f"--kubeconfig={stage.kubeconfig('root')}",
        "--controllers=namespace-controller",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={stage.folder}",
    ]
    before = len(rig.slurm.jobs())
    with stage.running("kube-controller-manager", argv, port=port):
        assert stage.call("root", "DELETE", "/api/v1/namespaces/doomed").status == 200
        rig.until(lambda: stage.call("root", "GET", "/api/v1/namespaces/doomed").status == 404)
    assert stage.must("GET", f"{API}/namespaces/doomed/jobs")["items"] == []
    assert all(job["cancelled"] for token in tokens for job in rig.slurm.carrying(token))
    assert len(rig.slurm.jobs()) == before
