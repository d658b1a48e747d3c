"""Everything that requests are served with: built once at start, passed on, never global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from goldcrest.faults import FaultPoints
from goldcrest.kube import Kube
from goldcrest.reflector import Reflector
from goldcrest.wellknown import Kind
from goldcrest_api.faults import POINTS
from goldcrest_api.job_cache import JobCache
from goldcrest_api.metrics import Metrics
from goldcrest_api.ports import Grants, RemoteCommands, TokenVerifier
from goldcrest_api.services.access import AccessProbe
from goldcrest_api.services.cancellations import Cancellations
from goldcrest_api.services.creation import Creator
from goldcrest_api.services.events import Feed
from goldcrest_api.services.fair_commands import FairCommands
from goldcrest_api.services.files import Files
from goldcrest_api.services.freshness import Freshness
from goldcrest_api.services.health import SystemHealth
from goldcrest_api.services.lookup import JobLookup
from goldcrest_api.services.namespaces import Namespaces
from goldcrest_api.services.operations import Operations
from goldcrest_api.services.output import Outputs
from goldcrest_api.services.rates import Rates
from goldcrest_api.services.reservations import Reservations
from goldcrest_api.services.results import Results
from goldcrest_api.services.scripts import ScriptStore
from goldcrest_api.services.streams import Streams
from goldcrest_api.services.submissions import Submissions
from goldcrest_api.services.task_lookup import TaskLookup
from goldcrest_api.settings import Settings
from goldcrest_api.spool import Spools
from goldcrest_api.system_cache import SystemCache
from goldcrest_api.task_view import TaskCache


@dataclass(frozen=True, slots=True)
class Context:
    """The gateway's parts."""

    settings: Settings
    verifier: TokenVerifier
    systems: SystemCache
    submissions: Submissions
    cancellations: Cancellations
    operations: Operations
    results: Results
    lookup: JobLookup
    """Jobs, by the scheduler's ids."""
    tasks: TaskLookup
    """Whatever REST calls a task."""
    files: Files
    health: SystemHealth
    streams: Streams
    feed: Feed
    outputs: Outputs
    reservations: Reservations
    rates: Rates
    reflectors: tuple[Reflector, ...]
    """To be run beside the server."""
    unready: Callable[[], str | None]
    """Why no requests should come here now; None when they may."""
    metrics: Metrics
    delegation_silent: Callable[[], float]
    """Seconds for which delegation has not answered; 0 while it does."""


def build_context(
    settings: Settings,
    *,
    kube: Kube,
    grants: Grants,
    remote: RemoteCommands,
    verifier: TokenVerifier,
    metrics: Metrics | None = None,
    delegation_silent: Callable[[], float] = lambda: 0.0,
) -> Context:
    """Put the parts together; starts nothing.

    Args:
        remote: runs commands; here each gets its turn first.
        delegation_silent: seconds for which delegation has not answered.
    """
    faults = FaultPoints(settings.fault_point, points=POINTS, allowed=settings.allow_faults)
    metrics = metrics or Metrics()
    limits = settings.limits
    remote = FairCommands(remote, limits)
    jobs, tasks, systems = JobCache(), TaskCache(), SystemCache()
    namespaces = Namespaces(kube, create=settings.create_namespaces, others=settings.user_namespaces)
    streams = Streams(per_user=settings.streams.per_user, most=settings.streams.most)
    feed = Feed(
        kube=kube,
        namespaces=namespaces,
        history=settings.streams.history,
        waiting=settings.streams.waiting,
        heartbeat_seconds=settings.streams.heartbeat_seconds,
    )
    job_reflector = Reflector(kube, Kind.JOB, feed.of(jobs))
    task_reflector = Reflector(kube, Kind.TASK, feed.of(tasks))
    system_reflector = Reflector(kube, Kind.SYSTEM, systems)
    fresh_jobs = Freshness(kube=kube, cache=jobs, reflector=job_reflector)
    fresh_tasks = Freshness(kube=kube, cache=tasks, reflector=task_reflector)
    lookup = JobLookup(jobs=jobs, freshness=fresh_jobs, namespaces=namespaces)
    creator = Creator(kube=kube, namespaces=namespaces)
    reflectors = (job_reflector, task_reflector, system_reflector)
    metrics.watch(
        reflectors,
        {
            Kind.JOB: lambda: len(jobs),
            Kind.TASK: lambda: len(tasks),
            Kind.SYSTEM: lambda: len(systems.all()),
        },
    )
    access = AccessProbe(remote, remember_seconds=limits.access_seconds, command_seconds=limits.command_seconds)
    return Context(
        settings=settings,
        verifier=verifier,
        systems=systems,
        submissions=Submissions(
            kube=kube,
            jobs=jobs,
            grants=grants,
            access=access,
            scripts=ScriptStore(remote, path_limit=limits.path_script_bytes, seconds=limits.transfer_seconds),
            namespaces=namespaces,
            creator=creator,
            ttl_seconds=settings.ttl_seconds_after_finished,
            faults=faults,
        ),
        operations=Operations(
            tasks=tasks,
            grants=grants,
            access=access,
            namespaces=namespaces,
            creator=creator,
            ttl_seconds=settings.ttl_seconds_after_finished,
            faults=faults,
        ),
        results=Results(kube=kube, tasks=tasks),
        tasks=TaskLookup(jobs=lookup, tasks=tasks, freshness=fresh_tasks, namespaces=namespaces),
        cancellations=Cancellations(kube=kube, jobs=jobs, grants=grants, faults=faults),
        lookup=lookup,
        files=Files(
            remote,
            spools=Spools(settings.spool_folder, most=limits.spool_bytes),
            connect_seconds=limits.command_seconds,
        ),
        health=SystemHealth(access, remote, remember_seconds=limits.access_seconds),
        reservations=Reservations(remote, seconds=limits.reservation_seconds),
        rates=Rates(settings.rates),
        streams=streams,
        feed=feed,
        outputs=Outputs(
            remote,
            jobs,
            systems,
            seconds=limits.command_seconds,
            piece=settings.streams.piece_bytes,
            most=settings.streams.follow_bytes,
            patience_seconds=settings.streams.patience_seconds,
        ),
        reflectors=reflectors,
        unready=lambda: _unready(reflectors, limits.watch_stale_seconds),
        metrics=metrics,
        delegation_silent=delegation_silent,
    )


def _unready(reflectors: tuple[Reflector, ...], stale_seconds: float) -> str | None:
    if not all(reflector.synced.is_set() for reflector in reflectors):
        return "the resources have not been read yet"
    # Another replica may still learn; one that never does again would answer with old states for ever.
    if any(reflector.stale_seconds > stale_seconds for reflector in reflectors):
        return "nothing has been learnt of the resources for too long"
    return None
