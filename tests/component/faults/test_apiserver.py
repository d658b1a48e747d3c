"""The API server refuses, delays, cuts, loses answers, is killed and compacted: the jobs run once, and are followed to their end."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from component.admission.stage import job
from component.faults.jobs import JOBS, SECONDS
from component.faults.proxy import Asked, Fault
from component.faults.rig import LEASE, Rig

pytestmark = pytest.mark.component


A_WATCH = Asked("GET", "/apis/hpc.goldcrest.dev/v1alpha1/jobs?watch=true")


def writes_status(asked: Asked) -> bool:
    return asked.method == "PATCH" and "/status" in asked.path


def of_jobs(asked: Asked) -> bool:
    return asked.path.startswith("/apis/hpc.goldcrest.dev/")


FAULTS = {
    "409": Fault(lambda asked: asked.method in ("PATCH", "PUT"), status=409),
    "410": Fault(of_jobs, status=410),
    "429": Fault(status=429),
    "500": Fault(status=500),
    "502": Fault(status=502, raw=b"<html>Bad gateway</html>"),
    "503": Fault(status=503),
    "504": Fault(status=504),
    "no JSON": Fault(of_jobs, status=200, raw=b"<html>Log in to the hotel's network</html>"),
    "answers lost": Fault(writes_status, lose=True),
    "answers cut": Fault(of_jobs, cut_after=300),
    "slow": Fault(delay=0.4),
    "the watch is too old": Fault(
        lambda asked: asked.watches,
        status=200,
        raw=json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode()
        + b"\n",
    ),
}


def test_answers(rig: Rig) -> None:
    """Jobs are made before and while the API server answers everybody in one of these ways: none is lost, none runs twice. Whoever makes one
    meanwhile has it, or is told by admission that Kubernetes does not answer."""
    made: dict[str, list[str]] = {}
    for what, fault in FAULTS.items():
        made[what] = rig.add_many(JOBS)
        with rig.stage.proxy.fault(fault):
            if fault.wanted(A_WATCH):
                rig.stage.proxy.cut_connections()
            made[what] += _made_meanwhile(rig)
            time.sleep(SECONDS)  # the fault is the time
            rig.until(lambda fault=fault: fault.hits, what=f"{what} was met")
    for what, names in made.items():
        rig.finished(*names, what=what)
        rig.ran_once(*names)


def _made_meanwhile(rig: Rig) -> list[str]:
    """Names of those that were let in."""
    names = []
    for name in (rig.name() for _ in range(JOBS)):
        answer = rig.add_answer({**job(), "metadata": {"name": name}})
        assert answer.status in (201, 503), answer
        if answer.status == 201:
            names.append(name)
        else:
            assert "Kubernetes API" in answer.message, answer.message
    return names


def test_watches_are_cut(rig: Rig) -> None:
    """All connections are cut again and again, watches among them, some in the middle of an object."""
    names = []
    with rig.stage.proxy.fault(Fault(lambda asked: asked.watches, cut_after=700)):
        for _ in range(4):
            names += rig.add_many(JOBS)
            rig.stage.proxy.cut_connections()
            time.sleep(0.5)
    rig.finished(*names)
    rig.ran_once(*names)


def test_killed_and_started_again(rig: Rig) -> None:
    """API server and etcd are killed with jobs under way, which go on in the scheduler; the operator, without a Lease, gives up and is
    followed by another."""
    rig.slurm.run_for(4)
    names = rig.add_many(JOBS)
    rig.until(lambda: all(rig.status(name).get("jobId") for name in names))
    starts = rig.stage.operator_starts
    argv = rig.stage.stop_kubernetes(kill=True)
    rig.until(lambda: rig.stage.operator_starts > starts, what="the operator has given up")
    rig.stage.start_again(argv)
    rig.finished(*names)
    rig.ran_once(*names)
    rig.settled(*names)


def test_compacted(rig: Rig) -> None:
    """etcd is compacted while no watch can be opened: who comes back with an old version reads all anew."""
    rig.slurm.run_for(600)
    running = rig.add_many(JOBS)
    rig.until(lambda: all(rig.phase(name) == "Running" for name in running))
    with rig.stage.proxy.fault(Fault(lambda asked: asked.watches, status=503)):
        rig.stage.proxy.cut_connections()
        names = rig.add_many(JOBS)
        rig.delete(running[0])
        _compact(rig)
    rig.slurm.end_all()
    rig.slurm.run_for(1)
    rig.finished(*names, *running[1:])
    rig.until(lambda: rig.job(running[0]) is None)
    rig.ran_once(*names, *running[1:])


def _compact(rig: Rig) -> None:
    """Forget all versions but the present one."""

    def ask(path: str, body: dict[str, object]) -> dict[str, object]:
        request = urllib.request.Request(rig.stage.etcd_url() + path, data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    header = ask("/v3/kv/range", {"key": "Lw==", "limit": 1})["header"]
    assert isinstance(header, dict)
    ask("/v3/kv/compaction", {"revision": header["revision"], "physical": True})


def test_lease_lost_and_got_back(rig: Rig) -> None:
    """Nobody can renew the Lease for longer than it lasts, while jobs are on their way: the operator ends, its successor goes on."""
    starts = rig.stage.operator_starts
    names = rig.add_many(JOBS)
    with rig.stage.proxy.fault(Fault(lambda asked: asked.path == LEASE, status=503)):
        names += rig.add_many(JOBS)
        rig.until(lambda: rig.stage.operator_starts > starts, what="the operator has given up")
    rig.finished(*names)
    rig.ran_once(*names)
