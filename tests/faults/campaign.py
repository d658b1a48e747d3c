"""One series of deaths: every start of a process is the successor of the one that died before it, and dies at the next point.

What was under way at each death is judged in the end, together: a start of a process costs seconds, a job in the queue costs nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from bed import Bed
from faults.ledger import Verdict, World, judge, resources_of, unfinished
from faults.works import SIZE, Batch, Works
from goldcrest_bed.component import HostProcess
from goldcrest_bed.errors import BedError

OPERATOR, DELEGATION, GATEWAY, FILTER = "goldcrest-operator", "goldcrest-delegation", "goldcrest-api", "ssh-filter"
SHORT_LEASE: Final = {
    "GOLDCREST_OPERATOR_LEASE__DURATION_SECONDS": "3",
    "GOLDCREST_OPERATOR_LEASE__RENEW_DEADLINE_SECONDS": "2.5",
    "GOLDCREST_OPERATOR_LEASE__RETRY_SECONDS": "0.3",
}
_STARTS: Final = 6  # on a loaded machine an operator may lose its short Lease before it comes to the point


def armed(process: str, point: str) -> dict[str, str]:
    """The environment of a process that dies at a point (frozen there, with ``freeze:``)."""
    prefix = process.replace("-", "_").upper()
    lease = SHORT_LEASE if process == OPERATOR else {}
    return {**lease, f"{prefix}_FAULT_POINT": point, f"{prefix}_ALLOW_FAULTS": "true"}


@dataclass
class Campaign:
    """What was begun, and what becomes of it."""

    bed: Bed
    batches: dict[str, Batch] = field(default_factory=dict)
    struck: list[tuple[str, str]] = field(default_factory=list)
    """A line of the table, and the label of what was under way."""
    tokens: dict[str, str] = field(default_factory=dict)
    world: World | None = None
    stand_in: HostProcess | None = None
    """The operator that has the Lease now, where it is not the bed's own."""

    def __post_init__(self) -> None:
        self.folder = f"/scratch/alice/{self.bed.name('runs')}"
        self.bed.node("mkdir", self.folder, user="alice")
        (self.gate,) = self.foreign(1)
        self.works = Works(system=self.bed.system, runs=self.folder, gate=self.gate)
        configured = self.bed.faults.components[DELEGATION]
        assert isinstance(configured, HostProcess)
        configured.configured = None  # its keys are there; making them again takes longer than its start

    # ---- what is under way ----

    def foreign(self, number: int) -> list[str]:
        """Held jobs of alice that Goldcrest knows nothing of."""
        script = f"for each in $(seq {number}); do sbatch --parsable --hold --output=/dev/null --wrap=true; done"
        return self.bed.node("sh", "-c", f"cd {self.folder} && {script}", user="alice").split()

    def label(self) -> str:
        return self.bed.name("f")

    def make(self, batch: Batch) -> Batch:
        """Create the resources of a batch, as alice with kubectl."""
        items = [made.manifest for made in batch.made]
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        done = self.bed.kubectl("create", "-n", self.bed.namespace("alice"), "-f", "-", user="alice", stdin=listed)
        assert done.returncode == 0, done.stderr
        self.batches[batch.label] = batch
        return batch

    def wish(self, batch: Batch) -> None:
        """What the batch is for: cancel all of it, delete it, or suspend it."""
        match batch.kind:
            case "cancel":
                self._patch(batch, {"cancel": True})
            case "hold":
                self._patch(batch, {"suspend": True})
            case "delete":
                self._kubectl("delete", "gjob", *batch.names, "--wait=false")

    def resume(self, batch: Batch) -> None:
        """Let what was suspended start."""
        self._patch(batch, {"suspend": False})

    def _patch(self, batch: Batch, spec: dict[str, Any]) -> None:
        self._kubectl("patch", "gjob", *batch.names, "--type=merge", "-p", json.dumps({"spec": spec}))

    def _kubectl(self, *words: str) -> None:
        done = self.bed.kubectl(words[0], "-n", self.bed.namespace("alice"), *words[1:], user="alice")
        assert done.returncode == 0, done.stderr

    def until(self, done: Callable[[dict[tuple[str, str], dict[str, Any]]], Iterable[str]], *, seconds: float) -> None:
        """Wait until nothing is left that ``done`` names; who ended by itself is started again, as Kubernetes would."""

        def ask() -> list[str]:
            time.sleep(0.5)  # each look costs processes, and what is looked at has the same two processors
            self.calm_all()
            return list(done(resources_of(self.bed)))

        self.bed.until(ask, lambda left: not left, seconds=seconds)

    def until_queued(self, batches: Iterable[Batch], *, seconds: float) -> None:
        """All are submitted and released; those that may run, run. Their tokens are kept, for when they are deleted."""
        wanted = [made for batch in batches for made in batch.made]

        def left(resources: dict[tuple[str, str], dict[str, Any]]) -> Iterable[str]:
            statuses = {made: resources[made.kind, made.name].get("status", {}) for made in wanted}
            phases = {"running": "Running"}
            early = [
                name.name for name, status in statuses.items() if status.get("phase") != phases.get(name.role, "Queued")
            ]
            if early:
                return early
            self.tokens |= {made.name: status["submission"]["token"] for made, status in statuses.items()}
            priorities = self._priorities()
            return [made.name for made, status in statuses.items() if not priorities.get(status["jobId"])]

        self.until(left, seconds=seconds)

    def until_held(self, batches: Iterable[Batch], *, seconds: float = 120) -> None:
        """The operator has had all of them held again."""
        wanted = [(made.kind, made.name) for batch in batches for made in batch.made]

        def left(resources: dict[tuple[str, str], dict[str, Any]]) -> Iterable[str]:
            priorities = self._priorities()
            return [name for kind, name in wanted if priorities.get(resources[kind, name]["status"]["jobId"]) != 0]

        self.until(left, seconds=seconds)

    def _priorities(self) -> dict[str, int]:
        """Of alice's jobs in the queue, by id (of an array: its base): 0 is held."""
        lines = self.bed.node("squeue", "--noheader", "--user=alice", "-o", "%F %Q").splitlines()
        return {job: int(priority) for job, priority in map(str.split, lines)}

    def until_ended(self, batches: Iterable[Batch], *, seconds: float) -> None:
        wanted = list(batches)
        self.until(lambda resources: unfinished(wanted, resources), seconds=seconds)

    # ---- deaths ----

    def die(self, process: str, point: str, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Start a process with a point armed, and wait until it is dead of it."""
        for _ in range(_STARTS):
            try:
                self.bed.faults.restart(process, armed(process, point))
            except BedError:  # dead before anybody saw it ready
                pass
            else:
                meanwhile()
                self.bed.until(lambda: self.bed.faults.alive(process), lambda alive: not alive, seconds=90)
            if self.bed.log_lines(process, '"fault.struck"'):
                return
        raise AssertionError(f"{process} did not come to {point} in {_STARTS} starts")

    def calm(self, process: str = OPERATOR) -> None:
        """An ordinary process again."""
        self.bed.faults.restart(process)

    def calm_all(self) -> None:
        """Ordinary processes, wherever one is dead. Where another operator stands in, that one: a second would never be ready beside it."""
        for process in (DELEGATION, OPERATOR, GATEWAY):
            if process == OPERATOR and self.stand_in is not None:
                if self.stand_in.pid() is None:
                    self.stand_in.start()
            elif not self.bed.faults.alive(process):
                self.calm(process)

    # ---- what became of it ----

    def open_gate(self) -> None:
        """What waits for the gate may run."""
        self.bed.node("scancel", self.gate)

    def settle(self, *, seconds: float) -> World:
        """Everything has come to its end, and nothing of it is left in the queue."""
        self.until_ended(self.batches.values(), seconds=seconds)
        self.bed.until(self._in_queue, lambda left: not left, seconds=60)
        self.world = World.read(self.bed, runs=self.folder)
        return self.world

    def _in_queue(self) -> list[str]:
        lines = self.bed.node("squeue", "--noheader", "--user=alice", "-o", "%i %k").splitlines()
        return [line for line in lines if "goldcrest:" in line]

    def verdict(self, label: str, *, reference: str) -> Verdict:
        """Compared with the batch of the same kind that nothing happened to."""
        assert self.world is not None
        ends = {made.role: self.world.end_of(made) for made in self.batches[reference].made}
        return judge(self.batches[label], self.world, reference=ends, tokens=self.tokens)

    def writes_of_another_look(self) -> list[str]:
        """Resources that a new operator writes though they are over. What a job used may come late, and is no such write."""
        before = resources_of(self.bed)
        known = len([kind for kind, _ in before if kind == "Job"])
        self.calm()
        self.bed.until(self.bed.operator_metrics, lambda page: _has_looked(page, known), seconds=60)
        after = resources_of(self.bed)
        return [name for (kind, name), raw in before.items() if _is_written(raw, after.get((kind, name)))]

    def patience(self) -> float:
        """Seconds that everything may take: this machine may be busy with other things."""
        return 120 + 3.0 * SIZE * len(self.batches)


def _is_written(before: dict[str, Any], after: dict[str, Any] | None) -> bool:
    if after is None:
        return True
    if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
        return False
    then, now = ({**raw.get("status", {})} for raw in (before, after))
    came = then.pop("usage", None) is None and now.pop("usage", None) is not None
    return not came or then != now


def _has_looked(page: str, jobs: int) -> bool:
    """Whether an operator knows so many Jobs, and has nothing to do."""
    values: dict[str, float] = {}
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("goldcrest_operator_"):
            values[name.removeprefix("goldcrest_operator_")] = float(value)
    return values.get("jobs", 0) >= jobs and values["queue_length"] == values["busy_workers"] == 0
