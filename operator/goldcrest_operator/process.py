"""The operator as one process: built once, started in order, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from goldcrest.authority import Authority
from goldcrest.blocked import BlockFollower
from goldcrest.errors import GoldcrestError
from goldcrest.kube import Kube, pause
from goldcrest.ssh import SshPool
from goldcrest.telemetry import Log
from goldcrest.tracing import start_tracing
from goldcrest.wellknown import Kind, submission_token
from goldcrest_operator.controller import Key
from goldcrest_operator.effects import JobEffects
from goldcrest_operator.faults import Faults
from goldcrest_operator.job_controller import JobController
from goldcrest_operator.lease import Lease, LeaseLost, LeaseTimes, new_identity
from goldcrest_operator.looking import SystemLook
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.probes import ProbeServer
from goldcrest_operator.recorder import Recorder
from goldcrest_operator.scheduler.slurm import SlurmScheduler
from goldcrest_operator.scheduler.slurm_operations import SlurmOperations
from goldcrest_operator.settings import OperatorSettings
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
from goldcrest_operator.vouching import Voucher
from goldcrest_operator.watching import Watch
from goldcrest_operator.workers import TASKS_LANE, Workers, lane_share
from goldcrest_operator.workqueue import WorkQueue

_log = Log(__name__)

_FLUSH_SECONDS = 2.0
_WATCH_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything that lives as long as the process."""

    settings: OperatorSettings
    kube: Kube
    authority: Authority
    pool: SshPool
    lease: Lease
    metrics: Metrics
    recorder: Recorder
    store: Store
    tasks: TaskStore
    queries: SharedQueries
    queue: WorkQueue[Key]
    blocks: BlockFollower
    tracker: Tracker
    watch: Watch
    workers: Workers


async def build(settings: OperatorSettings, *, kube: Kube, cluster_id: str) -> Context:
    """Put the parts together; nothing is started.

    Raises:
        InvalidInput: settings that contradict each other.
    """
    faults = Faults(settings.fault_point, allowed=settings.allow_faults)
    identity = new_identity()
    metrics = Metrics()
    authority = Authority(
        url=settings.delegation.url,
        ca_file=settings.delegation.ca_file,
        token_file=settings.delegation.token_file,
        holder=identity,
        measures=metrics.measures,
    )
    pool = SshPool(authority, settings.ssh, metrics.measures)
    recorder = Recorder(kube)
    operations = SlurmOperations(pool)
    queries = SharedQueries(
        operations=operations,
        vouch=Voucher(authority).vouch,
        metrics=metrics,
        system_uid=lambda name: store.system_uid(name),
    )
    store = Store(cluster_id=cluster_id, changed=queries.changed, asked=lambda uid: jobs.look_again(uid))
    known_tasks = TaskStore()
    queue = WorkQueue[Key](
        first=settings.retry.first_seconds,
        most=settings.retry.most_seconds,
        lane_of=lambda key: _lane(key, store, known_tasks),
        lane_most=lambda lane: lane_share(lane, settings.workers, systems=len(store.systems)),
        metrics=metrics,
    )
    times = LeaseTimes(
        duration=settings.lease.duration_seconds,
        renew_deadline=settings.lease.renew_deadline_seconds,
        retry=settings.lease.retry_seconds,
    )
    lease = Lease(kube, shard=settings.shard, identity=identity, times=times)
    scheduler = SlurmScheduler(pool)
    blocks = BlockFollower(
        authority,
        seconds=settings.delegation.blocked_seconds,
        seen=[
            # Those that are opened later are of containment: delegation signs no others.
            lambda before, now: pool.end_sessions(now.users - before.users, reason="the site blocked this user"),
            lambda before, now: jobs.block_list_changed(before, now),
        ],
    )
    unclaimed = Unclaimed(
        store=store,
        prefix=submission_token(cluster_id, ""),
        after_seconds=settings.tracker.unclaimed_seconds,
        tell=lambda system, message: systems.tell_unclaimed(system, message),
        metrics=metrics,
    )
    tracker = Tracker(
        store=store,
        scheduler=scheduler,
        changed=lambda uid: _seen(uid, tracker, faults, queue),
        refresh=lambda followed: jobs.refresh(followed),
        active=lambda: lease.held,
        blocked=lambda job: blocks.now.why(requester=job.requester, user=job.user) != "",
        unclaimed=unclaimed.look,
        times=_tracker_times(settings),
        metrics=metrics,
    )
    effects = JobEffects(
        kube=kube,
        scheduler=scheduler,
        lease=lease,
        recorder=recorder,
        store=store,
        tracker=tracker,
        faults=faults,
        metrics=metrics,
        cluster_id=cluster_id,
    )
    jobs = JobController(
        kube=kube,
        store=store,
        tracker=tracker,
        effects=effects,
        queue=queue,
        cluster_id=cluster_id,
        seldom_seconds=settings.retry.seldom_seconds,
        blocks=blocks,
        surroundings=Surroundings(kube=kube, store=store),
    )
    tasks = TaskController(
        kube=kube,
        store=store,
        tasks=known_tasks,
        effects=TaskEffects(
            kube=kube,
            queries=queries,
            operations=operations,
            lease=lease,
            store=store,
            tasks=known_tasks,
            faults=faults,
            metrics=metrics,
        ),
        queue=queue,
        seldom_seconds=settings.retry.seldom_seconds,
        blocks=blocks,
    )
    systems = SystemController(
        kube=kube,
        store=store,
        lease=lease,
        recorder=recorder,
        queue=queue,
        probe=SystemLook(
            lambda: SshPool(authority, settings.ssh),
            scheduler=SlurmScheduler,
            seconds=settings.health.timeout_seconds,
            object_store_ca_file=settings.health.object_store_ca_file,
        ),
        metrics=metrics,
        probe_seconds=settings.health.probe_seconds,
        write_seconds=settings.health.write_seconds,
        follow=lambda system: tracker.follow(system, "", hurry=False),
    )
    return Context(
        settings=settings,
        kube=kube,
        authority=authority,
        pool=pool,
        lease=lease,
        metrics=metrics,
        recorder=recorder,
        store=store,
        tasks=known_tasks,
        queries=queries,
        queue=queue,
        blocks=blocks,
        tracker=tracker,
        watch=Watch(
            kube=kube,
            store=store,
            known_tasks=known_tasks,
            queue=queue,
            jobs=jobs,
            tasks=tasks,
            kubeconfig=settings.kubeconfig,
            shard=settings.shard,
        ),
        workers=Workers(queue=queue, jobs=jobs, tasks=tasks, systems=systems, metrics=metrics, number=settings.workers),
    )


async def run(settings: OperatorSettings) -> int:
    """Run until asked to end; the exit status: 0, or 1 when the Lease or the watch was lost."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    stop_tracing = start_tracing("operator", settings.tracing)
    try:
        return await _connected(settings, stop)
    finally:
        stop_tracing()


async def _connected(settings: OperatorSettings, stop: asyncio.Event) -> int:
    kube = await Kube.connect(settings.kubeconfig)
    try:
        cluster_id = await _cluster_id(kube, settings, stop)
        if cluster_id is None:
            return 0
        context = await build(settings, kube=kube, cluster_id=cluster_id)
        try:
            return await _run(context, stop)
        finally:
            await context.authority.close()
    finally:
        await kube.close()


async def _run(context: Context, stop: asyncio.Event) -> int:
    settings = context.settings
    server = ProbeServer(
        alive=lambda: _complaint(context),
        ready=lambda: None if context.lease.held else "not the active operator",
        metrics=context.metrics,
        refresh=lambda: _refresh(context),
    )
    await server.start(settings.listen_host, settings.health_port, settings.metrics_port)
    watching, stop_watching = asyncio.Event(), asyncio.Event()
    watch = asyncio.create_task(context.watch.run(ready=watching, stop=stop_watching), name="watch")
    tasks: list[asyncio.Task[None]] = [watch]
    try:
        following = asyncio.create_task(context.blocks.run(), name="block list")
        tasks.append(following)
        await _before(watch, watching.wait())
        _stop_on_signals(stop)  # kopf has put its own handlers there
        _log.info("operator.watching", shard=settings.shard, identity=context.lease.identity)
        try:
            acquired = await _before(watch, context.lease.acquire(stop))
        except LeaseLost as error:
            _log.error("operator.failed", task="lease", error=_words(error))
            return 1
        if watch.done():
            return 1
        if not acquired:
            return 0
        workers = asyncio.create_task(context.workers.run(), name="workers")
        keeper = asyncio.create_task(context.lease.keep(asyncio.Event()), name="lease")  # also while it drains
        recorder = asyncio.create_task(context.recorder.run(), name="recorder")
        tasks += [workers, keeper, recorder]
        return await _until_the_end(context, stop, watch=watch, workers=workers, others=(keeper, recorder, following))
    finally:
        await context.tracker.close()
        await context.queries.close()
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        await context.lease.release()
        # Before kopf ends: it waits for every task in the loop that is younger than itself.
        await context.pool.close()
        await server.close()
        stop_watching.set()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError, Exception):
            async with asyncio.timeout(_WATCH_END_SECONDS):
                await watch
        _log.info("operator.ended")


async def _until_the_end(
    context: Context,
    stop: asyncio.Event,
    *,
    watch: asyncio.Task[None],
    workers: asyncio.Task[None],
    others: tuple[asyncio.Task[None], ...],
) -> int:
    stopped = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait({watch, workers, *others, stopped}, return_when=asyncio.FIRST_COMPLETED)
    lost = bool(done - {stopped})
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("operator.failed", task=task.get_name(), error=_words(error))
    stopped.cancel()
    context.queue.close()
    if not lost:
        # What is under way is finished; the Lease is kept meanwhile.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(context.settings.drain_seconds):
                await asyncio.wait({workers})
        await context.recorder.flush(seconds=_FLUSH_SECONDS)
    return 1 if lost else 0


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(sorted({_words(inner) for inner in error.exceptions}))
    return f"{type(error).__name__}: {error}"


async def _before(watch: asyncio.Task[None], waited: Coroutine[Any, Any, bool]) -> bool:
    """Wait for something, but not longer than the watch lives; false when that ended first."""
    task = asyncio.create_task(waited)
    await asyncio.wait({watch, task}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return False
    return await task


async def _cluster_id(kube: Kube, settings: OperatorSettings, stop: asyncio.Event) -> str | None:
    """Identity of the cluster; waits for the API server. None when asked to end before."""
    while True:
        try:
            return await kube.cluster_id()
        except GoldcrestError as error:
            _log.warning("operator.waiting", code=error.code, message=error.message)
            if await pause(settings.lease.retry_seconds, stop):
                return None


def _seen(uid: str, tracker: Tracker, faults: Faults, queue: WorkQueue[Key]) -> None:
    faults.saw(tracker.sighting(uid))
    queue.add(Key(Kind.JOB, uid))


def _lane(key: Key, store: Store, tasks: TaskStore) -> str | None:
    """What a key needs and shares with others."""
    if key.kind is Kind.TASK:
        system = tasks.system_of(key.id)
        return TASKS_LANE + system if system is not None else None
    return store.system_of(key.id) if key.kind is Kind.JOB else None


def _tracker_times(settings: OperatorSettings) -> TrackerTimes:
    tracker = settings.tracker
    return TrackerTimes(
        hot=tracker.hot_seconds,
        hot_for=tracker.hot_for_seconds,
        few=tracker.few_seconds,
        few_jobs=tracker.few_jobs,
        active=tracker.active_seconds,
        idle=tracker.idle_seconds,
        per_second=tracker.per_second,
        at_once=tracker.at_once,
    )


def _complaint(context: Context) -> str | None:
    if context.store.systems and context.watch.age > context.settings.watch_silence_seconds:
        return f"the watch has brought nothing for {context.watch.age:.0f} s"
    return None


def _refresh(context: Context) -> None:
    metrics = context.metrics
    metrics.queue_length.set(len(context.queue))
    metrics.queue_oldest.set(context.queue.oldest_seconds)
    metrics.busy_workers.set(context.queue.held)
    metrics.longest_work.set(context.queue.longest_seconds)
    metrics.known_jobs.set(context.store.job_count)
    metrics.known_tasks.set(len(context.tasks))
    metrics.followed_jobs.set(context.store.followed_count)
    metrics.lease_held.set(int(context.lease.held))
    metrics.watch_age.set(context.watch.age)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
