"""Everything that requests are served with: built once at start, passed on, never global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from goldcrest.kube import Kube
from goldcrest.wellknown import Kind
from goldcrest_api.job_cache import JobCache
from goldcrest_api.ports import Grants, RemoteCommands, TokenVerifier
from goldcrest_api.reflector import Reflector
from goldcrest_api.services.access import AccessProbe
from goldcrest_api.services.cancellations import Cancellations
from goldcrest_api.services.fair_commands import FairCommands
from goldcrest_api.services.files import Files
from goldcrest_api.services.health import SystemHealth
from goldcrest_api.services.lookup import JobLookup
from goldcrest_api.services.namespaces import Namespaces
from goldcrest_api.services.rates import Rates
from goldcrest_api.services.reservations import Reservations
from goldcrest_api.services.scripts import ScriptStore
from goldcrest_api.services.submissions import Submissions
from goldcrest_api.settings import Settings
from goldcrest_api.system_cache import SystemCache


@dataclass(frozen=True, slots=True)
class Context:
    """The gateway's parts."""

    settings: Settings
    verifier: TokenVerifier
    systems: SystemCache
    submissions: Submissions
    cancellations: Cancellations
    lookup: JobLookup
    files: Files
    health: SystemHealth
    reservations: Reservations
    rates: Rates
    reflectors: tuple[Reflector, ...]
    """To be run beside the server."""
    unready: Callable[[], str | None]
    """Why no requests should come here now; None when they may."""
    delegation_silent: Callable[[], float]
    """Seconds for which delegation has not answered; 0 while it does."""


def build_context(
    settings: Settings,
    *,
    kube: Kube,
    grants: Grants,
    remote: RemoteCommands,
    verifier: TokenVerifier,
    delegation_silent: Callable[[], float] = lambda: 0.0,
) -> Context:
    """Put the parts together; starts nothing.

    Args:
        remote: runs commands; here each gets its turn first.
        delegation_silent: seconds for which delegation has not answered.
    """
    limits = settings.limits
    remote = FairCommands(remote, limits)
    jobs, systems = JobCache(), SystemCache()
    job_reflector = Reflector(kube, Kind.JOB, jobs)
    system_reflector = Reflector(kube, Kind.SYSTEM, systems)
    namespaces = Namespaces(kube, create=settings.create_namespaces, others=settings.user_namespaces)
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
            ttl_seconds=settings.ttl_seconds_after_finished,
        ),
        cancellations=Cancellations(kube=kube, jobs=jobs, grants=grants),
        lookup=JobLookup(
            kube=kube, jobs=jobs, reflector=job_reflector, namespaces=namespaces, live_lookups=limits.live_lookups
        ),
        files=Files(remote, seconds=limits.command_seconds),
        health=SystemHealth(access, remote, remember_seconds=limits.access_seconds),
        reservations=Reservations(remote, seconds=limits.reservation_seconds),
        rates=Rates(settings.rates),
        reflectors=(job_reflector, system_reflector),
        unready=lambda: _unready((job_reflector, system_reflector), limits.watch_stale_seconds),
        delegation_silent=delegation_silent,
    )


def _unready(reflectors: tuple[Reflector, ...], stale_seconds: float) -> str | None:
    if not all(reflector.synced.is_set() for reflector in reflectors):
        return "the resources have not been read yet"
    # Another replica may still learn; one that never does again would answer with old states for ever.
    if any(reflector.stale_seconds > stale_seconds for reflector in reflectors):
        return "nothing has been learnt of the resources for too long"
    return None
