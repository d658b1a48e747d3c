"""From a REST submission to the job id, part by part, beside a bare `sbatch` over an open SSH connection; and from the end of a
job to `Complete`."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import statistics
import subprocess
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh

from goldcrest.kube import Kube
from goldcrest.wellknown import Kind

SCRIPT = b"#!/bin/bash\ndate +%s.%N\n"
POLL_SECONDS = 0.005


async def run(facts: dict[str, Any], runs: int) -> str:
    """Measure and print as a table; milliseconds, medians of ``runs``."""
    floor = await bare_sbatch(facts, runs)
    token = await access_token(facts)
    accepted, known, parts, ended = [], [], [], []
    kube = await Kube.connect(Path(facts["kubernetes"]["admin"]))
    async with aiohttp.ClientSession(facts["goldcrest"]["api"]["url"]) as session:
        headers = {"Authorization": f"Bearer {token}", "X-Machine-Name": facts["system"]["name"]}
        for number in range(runs + 2):
            one = await submit_once(session, headers, facts, kube)
            if number >= 2:  # the first ones open connections
                accepted.append(one["accepted"])
                known.append(one["known"])
                ended.append(one["complete"])
                parts.append(one["parts"])
    await kube.close()
    lines = [
        f"bare sbatch over an open SSH connection      {ms(floor)}   (floor)",
        f"POST /compute/jobs/upload answered           {ms(accepted)}",
        f"… until GET /tasks/<id> shows the job id     {ms(known)}   {statistics.median(known) / statistics.median(floor):.1f} × floor",
        *(
            f"    {name:<41}{ms([p[name] for p in parts if name in p])}"
            for name in sorted({k for p in parts for k in p})
        ),
        f"job's last command → Complete                {ms(ended)}",
    ]
    return "\n".join(lines)


def ms(seconds: Iterable[float]) -> str:
    """Median with the range, in milliseconds."""
    values = sorted(seconds)
    if not values:
        return "not seen"
    return f"{1000 * statistics.median(values):8.1f} ms   ({1000 * values[0]:.1f} to {1000 * values[-1]:.1f})"


async def bare_sbatch(facts: dict[str, Any], runs: int) -> list[float]:
    """What the site's own sshd takes for one `sbatch` on a connection that is open: seconds of each run."""
    system = facts["system"]
    host_key = asyncssh.import_public_key(system["host_keys"][0])
    async with asyncssh.connect(
        system["host"],
        system["site_port"],
        username="alice",
        client_keys=[facts["users"]["alice"]["site_key"]],
        known_hosts=([host_key], [], []),
        config=None,
        agent_path=None,
    ) as connection:
        command = "cd /scratch/alice && printf '#!/bin/bash\\ntrue\\n' > bench.sh && sbatch --parsable bench.sh"
        await connection.run(command, check=True)
        times = []
        for _ in range(runs):
            started = time.perf_counter()
            await connection.run("sbatch --parsable --chdir=/scratch/alice /scratch/alice/bench.sh", check=True)
            times.append(time.perf_counter() - started)
    return times


async def access_token(facts: dict[str, Any], user: str = "alice") -> str:
    """A token of a user."""
    form = {
        "grant_type": "client_credentials",
        "client_id": f"{user}-client",
        "client_secret": facts["oidc"]["clients"][f"{user}-client"]["secret"],
    }
    async with aiohttp.ClientSession() as session, session.post(facts["oidc"]["token_endpoint"], data=form) as answer:
        return str((await answer.json())["access_token"])


async def submit_once(
    session: aiohttp.ClientSession, headers: dict[str, str], facts: dict[str, Any], kube: Kube
) -> dict[str, Any]:
    """One job from its submission to Complete; times in seconds."""
    trace_id = secrets.token_hex(16)
    form = aiohttp.FormData()
    form.add_field("file", SCRIPT, filename="bench.sh")
    began, started = time.time(), time.perf_counter()
    traced = {**headers, "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    async with session.post("/compute/jobs/upload", data=form, headers=traced) as answer:
        body = await answer.json()
        if answer.status != 201:
            raise SystemExit(f"the submission was refused: {body}")
    accepted = time.perf_counter() - started
    while True:
        async with session.get(f"/tasks/{body['task_id']}", headers=headers) as answer:
            task = (await answer.json())["task"]
        if task["status"] == "200":
            break
        if task["status"] == "400":
            raise SystemExit(f"the job was refused: {task['data']}")
        await asyncio.sleep(POLL_SECONDS)
    known = time.perf_counter() - started
    namespace = facts["goldcrest"]["namespaces"]["alice"]
    while True:
        job = await kube.get(Kind.JOB, f"r-{body['task_id']}", namespace=namespace)
        if any(c["type"] == "Complete" and c["status"] == "True" for c in job["status"]["conditions"]):
            break
        await asyncio.sleep(4 * POLL_SECONDS)
    complete = time.time()
    query = {"targetPath": task["data"]["job_file_out"]}
    async with session.get("/utilities/view", params=query, headers=headers) as answer:
        ended = float((await answer.json())["output"])
    return {
        "accepted": accepted,
        "known": known,
        "complete": complete - ended,
        "parts": parts_of(facts, trace_id, began),
    }


def parts_of(facts: dict[str, Any], trace_id: str, began: float) -> dict[str, float]:
    """The parts of one submission, from what each process logged about its trace; seconds.

    Args:
        began: epoch seconds at which the client began to send.
    """
    made = _one(facts, "goldcrest-api", trace_id, event="job.made")
    grant = _one(facts, "goldcrest-delegation", trace_id, audit="grant")
    intent = _one(facts, "goldcrest-operator", trace_id, event="job.phase", phase="Submitting")
    signed = _one(facts, "goldcrest-delegation", trace_id, operation="slurm.submit")
    stored = _one(facts, "goldcrest-operator", trace_id, event="job.submitted")
    released = _one(facts, "goldcrest-operator", trace_id, event="job.released")
    sbatch_end, sbatch = _filter_line(facts, trace_id, "slurm.submit")
    return {
        "1 gateway, token and grant": grant - began,
        "2 create, with admission": made - grant,
        "3 watch and intent (status patch)": intent - made,
        "4 delegation: certificate": signed - intent,
        "5 ssh and verification on the node": sbatch_end - sbatch - signed,
        "6 sbatch and scontrol show job": sbatch,
        "7 persist the id (status patch)": stored - sbatch_end,
        "8 release (after the id is known)": released - stored,
    }


def _one(facts: dict[str, Any], process: str, trace_id: str, **fields: str) -> float:
    """Epoch seconds of the first line of a process's log with this trace and these fields."""
    with (Path(facts["logs"]) / f"{process}.log").open(errors="replace") as file:
        for line in file:
            if trace_id in line:
                record = json.loads(line)
                if all(record.get(name) == value for name, value in fields.items()):
                    return datetime.fromisoformat(record["time"]).timestamp()
    raise SystemExit(f"{process} logged no line with {fields} for trace {trace_id}")


def _filter_line(facts: dict[str, Any], trace_id: str, operation: str) -> tuple[float, float]:
    """When ssh-filter logged the end of an operation (epoch seconds), and how long it took (seconds)."""
    container = facts["container"]
    lines = subprocess.run(
        [*container["command"], "exec", container["name"], "grep", trace_id, "/var/log/syslog"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    line = next(line for line in lines if f"op={operation} " in line)
    milliseconds = float(re.search(r" ms=([0-9.]+)", line)[1])  # type: ignore[index]
    return datetime.fromisoformat(line.split()[0]).timestamp(), milliseconds / 1000
