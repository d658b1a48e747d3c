"""One operator, a Kubernetes and a Slurm in memory, moved on by hand: no tasks, no sleeps, a clock that is set."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from component.operator.fake_slurm import CLUSTER, ENDED, FakeSlurm
from component.operator.memory_kube import MemoryKube
from component.operator.world import NAMESPACE, SYSTEM
from goldcrest.blocked import BlockFollower, BlockList
from goldcrest.grants import parse_time
from goldcrest.kube import Raw
from goldcrest.models.conditions import now as present
from goldcrest.wellknown import Kind
from goldcrest_operator.controller import Key
from goldcrest_operator.effects import JobEffects
from goldcrest_operator.faults import Faults, Point
from goldcrest_operator.job_controller import JobController
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.reconcile.steps import Notice
from goldcrest_operator.scheduler.slurm import SlurmScheduler
from goldcrest_operator.store import Store
from goldcrest_operator.surroundings import Surroundings
from goldcrest_operator.task_store import TaskStore
from goldcrest_operator.tracker import Tracker
from goldcrest_operator.tracking.lanes import Lane, TrackerTimes
from goldcrest_operator.watching import Watch


class Crash(BaseException):
    """The process is killed here."""


def _crash() -> None:
    raise Crash


class Keys:
    """The work queue, in which time passes only when it is told to."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.ready: list[Key] = []
        self.later: dict[Key, float] = {}

    def add(self, key: Key) -> None:
        self.later.pop(key, None)
        if key not in self.ready:
            self.ready.append(key)

    def add_after(self, key: Key, seconds: float) -> None:
        self.later[key] = min(self._clock() + seconds, self.later.get(key, float("inf")))

    def retry(self, key: Key) -> float:
        self.add_after(key, 1.0)
        return 1.0

    def succeeded(self, key: Key) -> None:
        pass

    def forget(self, key: Key) -> None:
        self.later.pop(key, None)


class _Lease:
    held = True

    def check(self) -> None:
        pass

    async def confirm(self) -> None:
        pass


class _Events:
    def __init__(self, told: list[str]) -> None:
        self._told = told

    def post(self, _regarding: object, notice: Notice) -> None:
        self._told.append(notice.reason.value)


class _FollowedByHand(Tracker):
    def follow(self, system: str, user: str, *, hurry: bool) -> None:
        """Its rounds are run by the play."""


class Play:
    """The whole of it; ``restart`` is what a crash is followed by."""

    def __init__(self, **spec: Any) -> None:
        self.now = parse_time(present())
        self.kube = MemoryKube()
        self.slurm = FakeSlurm(self.kube)
        self.slurm.frozen = True
        self.events: list[str] = []
        self._runner = asyncio.Runner()
        self.kube.create(Kind.SYSTEM, "cluster", SYSTEM)
        full = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}, **spec}
        self.uid = self.kube.create(Kind.JOB, "hello", full, namespace=NAMESPACE)["metadata"]["uid"]
        self.restart()

    def close(self) -> None:
        self._runner.close()

    def restart(self, *, fault: Point | None = None) -> None:
        """A new process, which knows what Kubernetes knows."""
        kube, metrics = self.kube, Metrics()
        kube.listeners = []
        self.queue = Keys(lambda: self.now)
        queue: Any = self.queue
        lease: Any = _Lease()
        recorder: Any = _Events(self.events)
        store = Store(cluster_id=CLUSTER, clock=lambda: self.now)
        scheduler = SlurmScheduler(self.slurm)
        self.tracker = _FollowedByHand(
            store=store,
            scheduler=scheduler,
            changed=lambda uid: self.queue.add(Key(Kind.JOB, uid)),
            refresh=lambda followed: self.jobs.refresh(followed),
            active=lambda: True,
            times=TrackerTimes(usage=(0.5,)),
            metrics=metrics,
            clock=lambda: self.now,
        )
        effects = JobEffects(
            kube=kube,
            scheduler=scheduler,
            lease=lease,
            recorder=recorder,
            store=store,
            tracker=self.tracker,
            faults=Faults(fault or "", allowed=True, strike=_crash),
            metrics=metrics,
            cluster_id=CLUSTER,
            clock=lambda: self.now,
        )
        blocks: Any = BlockFollower(_NobodyBlocked(), seconds=3600, seen=[])
        self.jobs = JobController(
            kube=kube,
            store=store,
            tracker=self.tracker,
            effects=effects,
            queue=queue,
            cluster_id=CLUSTER,
            seldom_seconds=60,
            blocks=blocks,
            surroundings=Surroundings(kube=kube, store=store),
            epoch=lambda: self.now,
        )
        tasks: Any = _NoTasks()
        watch = Watch(
            kube=kube,
            store=store,
            known_tasks=TaskStore(),
            queue=queue,
            jobs=self.jobs,
            tasks=tasks,
            kubeconfig=None,
            shard="default",
        )
        for kind, see in ((Kind.SYSTEM, watch.system_changed), (Kind.JOB, watch.job_changed)):
            for raw in kube.listed(kind):
                see(None, raw)
            kube.listeners.append((kind, see))

    def work(self) -> bool:
        """Reconcile what waits, look at Slurm once; whether anything was done or seen."""
        before = (len(self.kube.status_writes), [call for call in self.slurm.calls if call != "slurm.queue"])
        try:
            while self.queue.ready:
                key = self.queue.ready.pop(0)
                if key.kind is Kind.JOB:
                    self._runner.run(self.jobs.reconcile(key.id))
            self._runner.run(self.tracker.round(Lane("cluster", "alice")))
        except Crash:
            self.restart()
        after = (len(self.kube.status_writes), [call for call in self.slurm.calls if call != "slurm.queue"])
        return bool(self.queue.ready) or before != after

    def settle(self) -> None:
        """Until nothing happens any more, however long that takes."""
        for _ in range(500):
            if self.work():
                continue
            if not self.queue.later:
                self.now += 1  # whole seconds are stored: two histories must not meet in one
                if not self.work():
                    return
                continue
            key = min(self.queue.later, key=lambda key: self.queue.later[key])
            self.now = max(self.now, self.queue.later.pop(key)) + 0.5
            self.queue.add(key)
        raise AssertionError(f"it never comes to rest: {self.job()}, {self.slurm.jobs}, {self.slurm.calls[-20:]}")

    # ---- what a user does and sees ----

    def job(self) -> Raw | None:
        return self.kube.look(Kind.JOB, "hello", namespace=NAMESPACE)

    def edit(self, **fields: Any) -> None:
        if self.job() is not None:
            self.kube.edit(Kind.JOB, "hello", namespace=NAMESPACE, **fields)

    def delete(self) -> None:
        if self.job() is not None:
            self._runner.run(self.kube.delete(Kind.JOB, "hello", namespace=NAMESPACE))

    def can_run(self) -> int:
        """Jobs in Slurm that run, have run, or would start by themselves."""
        return sum(job.ran or (job.state not in ENDED and not job.held) for job in self.slurm.jobs.values())

    def end(self) -> dict[str, Any]:
        """What is there in the end, without what differs by chance: ids, tokens, times."""
        raw = self.job()
        shown: dict[str, Any] = {"ran": sum(job.ran for job in self.slurm.jobs.values()), "alive": 0}
        shown["alive"] = sum(job.state not in ENDED for job in self.slurm.jobs.values())
        if raw is None:
            return {**shown, "job": None}
        status = raw["status"]
        conditions = {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions", ())}
        fields = ("phase", "scheduler", "exitCode", "signal", "granted", "asked", "usage", "partition", "requeues")
        return {
            **shown,
            "conditions": conditions,
            "latched": "cancelRequestedAt" in status,
            "submitted": "jobId" in status,
            "message": re.sub(r"[0-9]+", "N", status.get("message") or ""),
            "generation": status["observedGeneration"] == raw["metadata"]["generation"],
            **{name: status.get(name) for name in fields},
        }


class _NoTasks:
    """Jobs only."""

    def wake(self, system: str) -> None:
        pass


class _NobodyBlocked:
    async def blocked(self) -> BlockList:
        return BlockList()
