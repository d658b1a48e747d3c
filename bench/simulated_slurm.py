"""Ten thousand jobs that nobody runs: what squeue, scontrol and sacct say of them, in files that small programs on the node print."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from component.plain_node.machine import Machine

SEPARATOR = "\x1f"
FOLDER = "/opt/simulated"
_PROGRAMS = {
    "squeue": f"echo squeue >> {FOLDER}/calls\nexec cat {FOLDER}/queue\n",
    "scontrol": (
        f"echo scontrol >> {FOLDER}/calls\nfor id; do :; done\n"
        f'cat "{FOLDER}/jobs/$id" 2>/dev/null && exit 0\n'
        'echo "slurm_load_jobs error: Invalid job id specified" >&2\nexit 1\n'
    ),
    "sacct": (
        f"echo sacct >> {FOLDER}/calls\n"
        'for word; do case "$word" in --jobs=*) ids=${word#--jobs=};; esac; done\nIFS=,\n'
        f'for id in $ids; do cat "{FOLDER}/usage/$id" 2>/dev/null; done\nexit 0\n'
    ),
}
ENDS = 0.1
"""Share of changes that end a job; the others start one, or put it back into the queue, so that as many stay active."""


@dataclass(slots=True)
class Simulated:
    """One job."""

    id: int
    user: str
    token: str
    state: str = "PENDING"
    changed: float = 0.0

    def line(self) -> str:
        started = self.state != "PENDING"
        times = (str(int(self.changed)) if started else "N/A", "N/A", "1795464062")
        where = "n7" if started else ""
        return SEPARATOR.join(
            [
                *(str(self.id), str(self.id), "N/A", str(self.id), self.user, self.state),
                *(
                    "None" if started else "Priority",
                    *times,
                    "0:10",
                    "1",
                    where,
                    "normal",
                    "physics",
                    "normal",
                    self.token,
                ),
            ]
        )

    def record(self) -> str:
        return (
            f"JobId={self.id} JobName=sim UserId={self.user}(2001) GroupId={self.user}(2001) Account=physics QOS=normal "
            f"JobState={self.state} Reason=None Restarts=0 ExitCode=0:0 RunTime=00:00:10 TimeLimit=01:00:00 "
            f"Partition=normal NodeList=n7 NumNodes=1 Command=/x WorkDir=/x Comment={self.token}  StdErr=/x/o StdOut=/x/o\n"
        )

    def usage(self) -> str:
        end = str(int(self.changed))
        return "".join(
            SEPARATOR.join([f"{self.id}{step}", user, self.state, end, "10", "00:05.000", memory]) + "\n"
            for step, user, memory in (("", self.user, ""), (".batch", "", "2048K"))
        )


class SimulatedSlurm:
    """Writes the files in a node, and changes a share of the jobs each second from :meth:`start` to :meth:`stop`."""

    def __init__(self, machine: Machine) -> None:
        self._folder = machine.path(FOLDER)
        for folder in (self._folder, self._folder / "jobs", self._folder / "usage"):
            folder.mkdir(parents=True, exist_ok=True)
        for name, text in _PROGRAMS.items():
            machine.write(f"{FOLDER}/{name}", f"#!/bin/sh\n{text}", mode=0o755)
        self._calls = self._folder / "calls"
        self._calls.touch()
        self._calls.chmod(0o666)
        self.jobs: dict[int, Simulated] = {}
        self.changes: dict[int, tuple[str, float]] = {}
        """By job id: the state that it went into last, and when squeue began to show it."""
        self._random = random.Random(1)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.slowest = 0.0
        """Seconds of the slowest tick: above one, fewer jobs changed than was meant."""

    def write(self) -> None:
        """What squeue shows from now on."""
        new = self._folder / "queue.new"
        new.write_text("".join(job.line() + "\n" for job in self.jobs.values()))
        new.chmod(0o644)
        new.rename(self._folder / "queue")

    def calls(self) -> dict[str, int]:
        words = self._calls.read_text().split()
        return {name: words.count(name) for name in _PROGRAMS}

    def start(self, share: float) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(share,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, share: float) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            active = [job for job in self.jobs.values() if job.state != "COMPLETED"]
            changed = self._random.sample(active, max(1, round(len(self.jobs) * share)))
            for job in changed:
                self._change(job)
            self.write()
            shown = time.time()
            for job in changed:
                self.changes[job.id] = (job.state, shown)
            self.slowest = max(self.slowest, time.monotonic() - began)
            due += 1.0

    def _change(self, job: Simulated) -> None:
        job.changed = time.time()
        if job.state == "PENDING":
            job.state = "RUNNING"
        elif self._random.random() < 2 * ENDS:  # half of all changes are of running jobs
            job.state = "COMPLETED"
            (self._folder / "usage" / str(job.id)).write_text(job.usage())
        else:
            job.state = "PENDING"
        if job.state == "COMPLETED":
            (self._folder / "jobs" / str(job.id)).write_text(job.record())


def install_into(machine: Machine) -> None:
    """Have the filter find these programs before Slurm's own."""
    policy = Path("/etc/goldcrest/ssh-filter.json")
    text = machine.path(str(policy)).read_text()
    machine.path(str(policy)).write_text(text.replace('"PATH": "', f'"PATH": "{FOLDER}:', 1))
