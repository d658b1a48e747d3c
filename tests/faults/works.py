"""What is under way when a process is killed: resources of all kinds, and what a user does with them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final, Literal

_LEAST: Final = 6
SIZE: Final = int(os.environ.get("FAULT_JOBS", str(_LEAST)))
"""Plain jobs of each batch; an array, a chain and one that fails come beside them, so that with 6 of them at least 10 are under way."""
LONG: Final = SIZE > _LEAST
"""`make faults`: a batch of its own for every death, and every point in every place."""

Kind = Literal["run", "cancel", "delete", "hold", "tasks"]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One resource of a batch. Those of one role in all batches of a kind come to the same end."""

    kind: Literal["Job", "Task"]
    role: str
    name: str
    spec: dict[str, Any]
    ran_as: str = ""
    """Name of the file in which its runs leave their lines, where that is not its own."""

    @property
    def manifest(self) -> dict[str, Any]:
        return {
            "apiVersion": "hpc.goldcrest.dev/v1alpha1",
            "kind": self.kind,
            "metadata": {"name": self.name},
            "spec": self.spec,
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """Resources that are under way together."""

    label: str
    kind: Kind
    made: tuple[Made, ...]

    @property
    def names(self) -> list[str]:
        return [made.name for made in self.made]


class Works:
    """Writes batches.

    Args:
        runs: folder on the system in which each job leaves a line when it runs.
        gate: a job of the scheduler that is held: what depends on it waits in the queue, and takes no processor.
    """

    def __init__(self, *, system: str, runs: str, gate: str) -> None:
        self._system = system
        self._runs = runs
        self._gate = gate

    def run(self, label: str, *, size: int = SIZE) -> Batch:
        """Jobs that run at once and end: plain ones, one that fails, an array, one after another."""
        plain = [self._job(label, "plain", number) for number in range(size)]
        first = self._job(label, "first")
        return Batch(
            label,
            "run",
            (
                *plain,
                self._job(label, "fails", tail="exit 3"),
                self._job(label, "array", array="1-3"),
                first,
                self._job(label, "then", dependencies=[{"type": "afterok", "name": first.name}]),
                self._task(label, "query", 0, listJobs={"scope": "own"}),
            ),
        )

    def waiting(self, label: str, kind: Kind, *, one_runs: bool, size: int = SIZE) -> Batch:
        """The same, waiting in the queue; one of them may have a processor."""
        waits = [{"type": "afterany", "jobId": self._gate}]
        first = self._job(label, "first", dependencies=waits)
        running = (self._job(label, "running", tail="exec sleep 900"),) if one_runs else ()
        return Batch(
            label,
            kind,
            (
                *(self._job(label, "plain", number, dependencies=waits) for number in range(size + (not one_runs))),
                *running,
                self._job(label, "array", array="1-2", dependencies=waits),
                first,
                self._job(label, "then", dependencies=[{"type": "afterok", "name": first.name}]),
            ),
        )

    def tasks(self, label: str, foreign: list[str]) -> Batch:
        """Cancelling jobs that were submitted by hand, and questions."""
        cancels = [
            self._task(label, "cancel", number, cancelJob={"jobIds": [job]}) for number, job in enumerate(foreign)
        ]
        questions: list[dict[str, Any]] = [{"listJobs": {"scope": "own"}}, {"partitions": {}}, {"accounting": {}}]
        asks = [self._task(label, f"asks-{next(iter(operation)).lower()}", 0, **operation) for operation in questions]
        return Batch(label, "tasks", (*cancels, *asks))

    def script(self, name: str, *, tail: str = "", lines: str = "") -> str:
        """It leaves a line each time it runs; the elements of an array, each in a file of its own."""
        return f'#!/bin/bash\n{lines}echo ran >> "{self._runs}/{name}${{SLURM_ARRAY_TASK_ID:+.$SLURM_ARRAY_TASK_ID}}"\n{tail}\n'

    def _job(self, label: str, role: str, number: int | None = None, *, tail: str = "", **spec: Any) -> Made:
        name = "-".join([label, role, *([str(number)] if number is not None else [])])
        script = {"inline": self.script(name, tail=tail)}
        return Made("Job", role, name, {"system": self._system, "runAs": "alice", "script": script, **spec})

    def _task(self, label: str, role: str, number: int, **operation: Any) -> Made:
        spec = {"system": self._system, "runAs": "alice", "operation": operation}
        return Made("Task", role, f"{label}-{role}-{number}", spec)
