"""Operators, a Kubernetes and a Slurm in this process; operators can be killed, frozen and followed by others."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from component.operator.fake_slurm import CLUSTER, FakeSlurm
from component.operator.memory_kube import MemoryKube
from goldcrest.blocked import BlockFollower, BlockList
from goldcrest.commands import Command
from goldcrest.errors import DelegationUnavailable, SystemUnreachable
from goldcrest.kube import Raw
from goldcrest.models.job import JobResource
from goldcrest.models.task import TaskResource
from goldcrest.wellknown import Kind, submission_token
from goldcrest_operator.controller import Key
from goldcrest_operator.effects import JobEffects
from goldcrest_operator.faults import Faults, Point
from goldcrest_operator.job_controller import JobController
from goldcrest_operator.lease import Lease, LeaseTimes
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.reconcile.system import Probed, SystemResource
from goldcrest_operator.recorder import Recorder
from goldcrest_operator.scheduler.interface import Operations, Scheduler, Target
from goldcrest_operator.scheduler.slurm import SlurmScheduler
from goldcrest_operator.scheduler.slurm_operations import SlurmOperations
from goldcrest_operator.shared_queries import SharedQueries
from goldcrest_operator.store import Store
from goldcrest_operator.surroundings import Surroundings
from goldcrest_operator.system_controller import SystemController
from goldcrest_operator.task_controller import TaskController
from goldcrest_operator.task_effects import TaskEffects
from goldcrest_operator.task_store import TaskStore
from goldcrest_operator.tracker import Tracker
from goldcrest_operator.tracking.lanes import TrackerTimes
from goldcrest_operator.unclaimed import Unclaimed
from goldcrest_operator.watching import Watch
from goldcrest_operator.workers import Workers
from goldcrest_operator.workqueue import WorkQueue

NAMESPACE = "hpc-alice"
QUICK = TrackerTimes(hot=0.01, hot_for=60, few=0.01, active=0.01, idle=0.02, per_second=10_000, usage=(0.02, 0.05))
SYSTEM: Raw = {
    "hosts": [{"address": "login1", "port": 2222}],
    "filterPath": "/usr/libexec/goldcrest/ssh-filter",
    "scheduler": {"type": "Slurm"},
    "workDirectory": "/scratch/{user}",
}


class Crash(BaseException):
    """The process is killed here."""


def _crash() -> None:
    raise Crash


class _Made:
    """The Kubernetes in memory as the operator sees it: ``create`` there is what a user does."""

    def __init__(self, kube: MemoryKube) -> None:
        self._kube = kube

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kube, "create_resource" if name == "create" else name)


class Operator:
    """One operator process, reduced to what is inside it."""

    def __init__(self, world: World, *, name: str, fault: Point | None = None) -> None:
        self.world = world
        self._offset = 0.0
        self._dead = asyncio.Event()
        kube = world.kube
        self.metrics = metrics = Metrics()
        self.queue = WorkQueue[Key](first=0.01, most=0.05, metrics=metrics)
        operations = world.operations
        self.queries = SharedQueries(
            operations=operations,
            vouch=world.vouch,
            metrics=metrics,
            system_uid=lambda name: self.store.system_uid(name),
        )
        self.store = Store(
            cluster_id=CLUSTER,
            changed=self.queries.changed,
            asked=lambda uid: self.jobs.look_again(uid),
            clock=lambda: time.monotonic() + world.store_offset,
        )
        self.lease = Lease(
            kube,
            shard="default",
            identity=name,
            times=LeaseTimes(duration=15, renew_deadline=10, retry=0.02),
            clock=lambda: time.monotonic() + world.lease_offset,
        )
        self.recorder = Recorder(kube)
        scheduler = world.scheduler
        self.blocks = BlockFollower(
            world, seconds=0.02, seen=[lambda before, now: self.jobs.block_list_changed(before, now)]
        )
        unclaimed = Unclaimed(
            store=self.store,
            prefix=submission_token(CLUSTER, ""),
            after_seconds=0.1,
            tell=lambda system, message: systems.tell_unclaimed(system, message),
            metrics=metrics,
        )
        self.tracker = Tracker(
            store=self.store,
            scheduler=scheduler,
            changed=self._seen,
            refresh=lambda followed: self.jobs.refresh(followed),
            active=lambda: self.lease.held,
            blocked=lambda job: self.blocks.now.why(requester=job.requester, user=job.user) != "",
            unclaimed=unclaimed.look,
            times=QUICK,
            metrics=metrics,
        )
        faults = self.faults = Faults(fault or "", allowed=True, strike=_crash)
        effects = JobEffects(
            kube=kube,
            scheduler=scheduler,
            lease=self.lease,
            recorder=self.recorder,
            store=self.store,
            tracker=self.tracker,
            faults=faults,
            metrics=metrics,
            cluster_id=CLUSTER,
        )
        self.jobs = JobController(
            kube=kube,
            store=self.store,
            tracker=self.tracker,
            effects=effects,
            queue=self.queue,
            cluster_id=CLUSTER,
            seldom_seconds=0.05,
            blocks=self.blocks,
            surroundings=Surroundings(kube=kube, store=self.store),
            epoch=world.epoch,
        )
        systems = self.systems = SystemController(
            kube=kube,
            store=self.store,
            lease=self.lease,
            recorder=self.recorder,
            queue=self.queue,
            probe=world.probe,
            metrics=metrics,
            probe_seconds=0.05,
            write_seconds=300,
            follow=lambda system: self.tracker.follow(system, "", hurry=False),
        )
        known_tasks = TaskStore()
        for_tasks = _Made(kube)
        self.tasks = TaskController(
            kube=for_tasks,
            store=self.store,
            tasks=known_tasks,
            effects=TaskEffects(
                kube=for_tasks,
                queries=self.queries,
                operations=operations,
                lease=self.lease,
                store=self.store,
                tasks=known_tasks,
                faults=faults,
                metrics=metrics,
                epoch=world.epoch,
            ),
            queue=self.queue,
            seldom_seconds=0.05,
            blocks=self.blocks,
            epoch=world.epoch,
        )
        self.watch = Watch(
            kube=kube,
            store=self.store,
            known_tasks=known_tasks,
            queue=self.queue,
            jobs=self.jobs,
            tasks=self.tasks,
            kubeconfig=None,
            shard="default",
        )
        self.workers = Workers(
            queue=self.queue, jobs=self.jobs, tasks=self.tasks, systems=systems, metrics=metrics, number=4
        )
        self._tasks: list[asyncio.Task[Any]] = []
        self.died_of: BaseException | None = None

    def _seen(self, uid: str) -> None:
        try:
            self.faults.saw(self.tracker.sighting(uid))
        except Crash as crash:
            self.died_of = crash
            self._dead.set()
            self.queue.close()
        self.queue.add(Key(Kind.JOB, uid))

    async def start(self, *, systems_late: bool = False) -> Operator:
        kube = self.world.kube
        if not systems_late:
            self.list_systems()
        for raw in kube.listed(Kind.JOB):
            self.watch.job_changed(None, raw)
        for raw in kube.listed(Kind.TASK):
            self.watch.task_changed(None, raw)
        kube.listeners += [
            (Kind.JOB, self.watch.job_changed),
            (Kind.TASK, self.watch.task_changed),
            (Kind.SYSTEM, self.watch.system_changed),
        ]
        assert await self.lease.acquire(asyncio.Event())
        self._tasks = [
            asyncio.create_task(self._work()),
            asyncio.create_task(self.recorder.run()),
            asyncio.create_task(self.lease.keep(self._dead)),
            asyncio.create_task(self.blocks.run()),
        ]
        return self

    def list_systems(self) -> None:
        """The watch of Systems has begun."""
        for raw in self.world.kube.listed(Kind.SYSTEM):
            self.watch.system_changed(None, raw)

    async def _work(self) -> None:
        try:
            await self.workers.run()
        except BaseExceptionGroup as group:
            self.died_of = self.died_of or group.exceptions[0]
        self._dead.set()

    @property
    def dead(self) -> bool:
        return self._dead.is_set()

    async def kill(self) -> None:
        """No clean end: the Lease stays as it is."""
        self.queue.close()
        kube = self.world.kube
        kube.listeners = [pair for pair in kube.listeners if pair[1].__self__ is not self.watch]  # type: ignore[attr-defined]
        await self.tracker.close()
        await self.queries.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def freeze_lease(self) -> None:
        """It does not renew any more, as a process that does not run."""
        self._tasks[2].cancel()


class World:
    """Everything there is in a test."""

    def __init__(self) -> None:
        self.kube = MemoryKube()
        self.slurm = FakeSlurm(self.kube)
        self.scheduler: Scheduler = SlurmScheduler(self.slurm)
        self.operations: Operations = SlurmOperations(self.slurm)
        self.lease_offset = 0.0
        self.store_offset = 0.0
        self.epoch_offset = 0.0
        self.system_down = False
        self.list_known = True  # to operators; what may be signed is changed by it in any case
        self.operators: list[Operator] = []
        self.vouched: list[str] = []

    def epoch(self) -> float:
        return time.time() + self.epoch_offset

    def block(self, *users: str, requesters: tuple[str, ...] = ()) -> None:
        """What delegation's block list is from now on."""
        self.slurm.blocked = BlockList(frozenset(users), frozenset(requesters))

    async def blocked(self) -> BlockList:
        if not self.list_known:
            raise DelegationUnavailable("delegation does not answer")
        return self.slurm.blocked

    async def probe(self, system: SystemResource) -> Probed:
        if self.system_down:
            raise SystemUnreachable("login1:2222: connection refused")
        return Probed(True, "A login host answers with a pinned key.")

    def add_system(self, **scheduler: Any) -> None:
        spec = {**SYSTEM, "scheduler": {**SYSTEM["scheduler"], **scheduler}}
        self.kube.create(Kind.SYSTEM, "cluster", spec)

    def add_job(self, name: str = "hello", **spec: Any) -> Raw:
        full = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}, **spec}
        return self.kube.create(Kind.JOB, name, full, namespace=NAMESPACE)

    async def vouch(self, target: Target, command: Command) -> None:
        """Delegation's word, without the command being run."""
        self.vouched.append(command.op)
        self.slurm.authorise(command, target.spec, target.user, target.basis)

    def add_task(
        self, name: str = "ask", *, run_as: str = "alice", annotations: Raw | None = None, **operation: Any
    ) -> Raw:
        spec = {"system": "cluster", "runAs": run_as, "operation": operation}
        return self.kube.create(Kind.TASK, name, spec, namespace=NAMESPACE, annotations=annotations or {})

    def task(self, name: str = "ask") -> TaskResource | None:
        raw = self.kube.look(Kind.TASK, name, namespace=NAMESPACE)
        return TaskResource.of(raw) if raw else None

    def task_phase(self, name: str = "ask") -> str | None:
        task = self.task(name)
        return task.status.phase.value if task and task.status.phase else None

    def edit(self, name: str = "hello", **fields: Any) -> Raw:
        return self.kube.edit(Kind.JOB, name, namespace=NAMESPACE, **fields)

    async def delete(self, name: str = "hello") -> None:
        await self.kube.delete(Kind.JOB, name, namespace=NAMESPACE)

    def job(self, name: str = "hello") -> JobResource | None:
        raw = self.kube.look(Kind.JOB, name, namespace=NAMESPACE)
        return JobResource.of(raw) if raw else None

    def phase(self, name: str = "hello") -> str | None:
        job = self.job(name)
        return job.status.phase.value if job and job.status.phase else None

    def events(self) -> list[str]:
        return [event["reason"] for event in self.kube.events]

    async def operator(
        self, *, fault: Point | None = None, name: str | None = None, systems_late: bool = False
    ) -> Operator:
        """A new operator; it takes the Lease over from a dead one without waiting.

        Args:
            systems_late: Jobs and Tasks come first; what the API server has of Systems comes by ``list_systems``.
        """
        operator = Operator(self, name=name or f"operator-{len(self.operators)}", fault=fault)
        self.operators.append(operator)
        task = asyncio.create_task(operator.start(systems_late=systems_late))
        await asyncio.sleep(0.05)
        if not task.done():
            self.lease_offset += 20
        return await task

    async def close(self) -> None:
        for operator in self.operators:
            with contextlib.suppress(Exception):
                await operator.kill()

    async def until(self, condition: Callable[[], object], *, seconds: float = 10) -> None:
        """Wait for something to come true."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110  (what is waited for is in two other processes, as it were)
                    await asyncio.sleep(0.005)
        except TimeoutError:
            job = self.job()
            raise AssertionError(
                f"not within {seconds} s; job: {job.status if job else None}; slurm: {self.slurm.jobs}; "
                f"calls: {self.slurm.calls[-20:]}; events: {self.events()}"
            ) from None

    async def quiet(self) -> None:
        """Let everything that is under way come to rest."""
        await asyncio.sleep(0.15)
