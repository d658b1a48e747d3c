"""What Slurm's programs print for the questions of Tasks, in the formats of docs/protocol.md."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goldcrest.commands import Command, History, Nodes, Partitions, Reservations
from goldcrest.commands.outputs import SEPARATOR

NODES = (
    "NodeName=n1 Arch=x86_64 ActiveFeatures=gpu,mc State=IDLE+DRAIN Partitions=normal,debug OS=Linux 6.1 #1 SMP\n"
    "NodeName=n2 Arch=x86_64 State=IDLE Partitions=normal\n"
)
PARTITIONS = "PartitionName=normal AllowGroups=ALL Default=YES State=UP TotalCPUs=8 TotalNodes=2\n"
RESERVATIONS = "ReservationName=lab StartTime=2030-01-02T03:00:00 EndTime=2030-01-02T05:00:00 Nodes=n1 Features=gpu&mc State=INACTIVE\n"


def output(stdout: str = "", *, status: int = 0, stderr: str = "") -> dict[str, Any]:
    return {"exit": status, "stdout": stdout, "stderr": stderr}


@dataclass(slots=True)
class BatchJob:
    id: int
    user: str
    comment: str
    held: bool
    ends_as: str
    state: str = "PENDING"
    started: float | None = None
    ended: float | None = None
    in_controller: bool = True
    dependency: str = ""
    restarts: int = 0
    submitted: float = field(default_factory=time.time)

    @property
    def ran(self) -> bool:
        return self.started is not None


def listing(jobs: Sequence[BatchJob], *, details: bool) -> dict[str, Any]:
    """squeue, and of each job what scontrol and its output files say."""
    rows = [
        SEPARATOR.join(
            [
                *(str(job.id), str(job.id), "N/A", "normal", job.user, job.state),
                *("0:01", "2030-01-02T03:04:05", "59:59", "1", "n1", "job.sh"),
            ]
        )
        for job in jobs
    ]
    shown = [
        {
            "jobId": str(job.id),
            "command": "/scratch/x/job.sh",
            "stdout": f"/scratch/x/slurm-{job.id}.out",
            "stderr": f"/scratch/x/slurm-{job.id}.out",
            "stdoutTail": "hello\n",
            "stderrTail": "",
        }
        for job in jobs
    ]
    return {"squeue": output("".join(row + "\n" for row in rows)), "jobs": shown if details else []}


def kill(jobs: Mapping[int, BatchJob], ids: Sequence[str], user: str) -> dict[str, Any]:
    """scancel -v."""
    said, status = [], 0
    for job_id in ids:
        job = jobs.get(int(job_id.split("_")[0]))
        said.append(f"scancel: Terminating job {job_id}")
        if job is None:
            said.append(f"scancel: error: Kill job error on job id {job_id}: Invalid job id specified")
            status = 1
        elif job.user != user:
            return output(status=210, stderr="scancel: error: Kill job error: Access/permission denied")
        elif job.state not in ("PENDING", "RUNNING"):
            said.append(f"scancel: error: Kill job error on job id {job_id}: Job/step already completing or completed")
            status = 1
        else:
            job.state, job.ended = "CANCELLED", time.time()
    return output(status=status, stderr="".join(line + "\n" for line in said))


def answer_to(command: Command) -> dict[str, Any]:
    """Everything that does not depend on the jobs there are."""
    match command:
        case Nodes() | Partitions() | Reservations():
            return output({Nodes: NODES, Partitions: PARTITIONS, Reservations: RESERVATIONS}[type(command)])
        case History(job_ids=ids):
            row = [ids[0] if ids else "7", "normal", "alice", "COMPLETED", "2030-01-02T03:04:05", "00:00:02"]
            row += ["2030-01-02T03:04:06", "1", "n1", "0:0", "00:00:01", "job.sh"]
            return output(SEPARATOR.join(row) + "\n")
    raise AssertionError(command)
