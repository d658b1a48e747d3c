"""Looks at a System: each login host, the scheduler, each file system, the object store. Nothing waits for anything else, and all of it has an end.

Without an observer nobody may log in for a look: then it is what TCP and the host key tell (of a host behind a jump host the jump host's),
and nothing is known of scheduler and file systems. With one, the queries are those of its closed list: ``scontrol show job`` of a job, and
``stat`` of the paths that the System names.
"""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from goldcrest.authority import ByResource
from goldcrest.commands import Describe, StatFile
from goldcrest.commands.cluster import on_cluster
from goldcrest.errors import (
    CommandFailed,
    GoldcrestError,
    HostKeyChanged,
    InvalidInput,
    LoginDenied,
    SchedulerUnavailable,
    SystemUnreachable,
)
from goldcrest.models.system import FileSystem, LoginHost, ProbeState, SystemSpec
from goldcrest.ssh.hostkeys import Endpoint
from goldcrest.ssh.login import check_host_key
from goldcrest.ssh.pool import SshPool
from goldcrest.telemetry import Trace
from goldcrest.wellknown import Kind
from goldcrest_operator import object_store
from goldcrest_operator.reconcile.system import Probed, Seen, SystemResource
from goldcrest_operator.scheduler.interface import CommandRunner, Scheduler, Target

_READY: Final = "A login host answers with a pinned key."
_ANY_JOB: Final = "1"  # the controller answers for it, also that it knows none such
_NO_OBSERVER: Final = "not looked at: the System names no observer (spec.scheduler.observer)"
# Times the seconds of one thing: through a jump host, a file system looked at once more by itself, and closing what was opened for it.
_LONGEST: Final = 6
_NOT_ALLOWED: Final = frozenset({"EACCES", "EPERM"})  # says more about the observer than about the file system

MakePool = Callable[[], SshPool]


class SystemLook:
    """
    Args:
        make_pool: makes the connections of a look. They are of no other use: one that hangs in a dead file system holds up nothing.
        scheduler: the batch scheduler over such connections.
        object_store_ca_file: certificates that object stores are verified against; None: the system's.
        seconds: for each thing that is looked at.
    """

    def __init__(
        self,
        make_pool: MakePool,
        *,
        scheduler: Callable[[CommandRunner], Scheduler],
        seconds: float,
        object_store_ca_file: Path | None = None,
    ) -> None:
        self._make_pool = make_pool
        self._object_store_ca_file = object_store_ca_file
        self._scheduler_over = scheduler
        self._seconds = seconds

    async def __call__(self, system: SystemResource) -> Probed:
        """Look at all of it at once.

        Raises:
            SystemUnreachable: the look has no end, although each part of it has one.
        """
        most = _LONGEST * self._seconds
        try:
            async with asyncio.timeout(most):
                return await self._all(system)
        except TimeoutError:
            raise SystemUnreachable(f"the look at it did not end within {most:g} s; it is looked at again") from None

    async def _all(self, system: SystemResource) -> Probed:
        spec = system.spec
        async with self._pool() as pool:
            hosts, scheduler, store, file_systems = await asyncio.gather(
                asyncio.gather(*(self._host(system, host, pool) for host in spec.hosts)),
                self._scheduler(system, pool),
                self._object_store(system),
                self._file_systems(system, pool),
            )
        seen = tuple(hosts)
        ready = any(host.state == "Up" or _reached(host) for host in seen)
        message = _READY if ready else "; ".join(host.message for host in seen)
        return Probed(ready, message, (*seen, scheduler, *store), file_systems)

    async def _host(self, system: SystemResource, host: LoginHost, pool: SshPool) -> Seen:
        endpoint = Endpoint.of(host, system.spec)

        async def look() -> tuple[ProbeState, str]:
            try:
                await check_host_key(endpoint, seconds=self._seconds)
                if endpoint.via is None:
                    return "Up", _READY
                if system.spec.scheduler.observer is None:
                    return "Unknown", f"{_REACHED}; the login host behind it was {_NO_OBSERVER}"
                await self._logged_in(system, host, pool)
            except LoginDenied as error:  # the observer's: here, or at the jump host
                return "Unknown", f"{_REACHED}; the observer is not let in: {error.message}"
            except (SystemUnreachable, HostKeyChanged, InvalidInput) as error:
                return "Down", error.message
            return "Up", "The login host answers behind its jump host."

        return await _timed("ssh", endpoint.name, look)

    async def _logged_in(self, system: SystemResource, host: LoginHost, pool: SshPool) -> None:
        alone = system.spec.model_copy(update={"hosts": [host]})
        try:
            await self._run(system, Describe((_ANY_JOB,)), pool, spec=alone)
        except (SystemUnreachable, HostKeyChanged, InvalidInput):
            raise
        except GoldcrestError:
            return  # the filter there, or delegation, has something to say: no matter of the host

    async def _scheduler(self, system: SystemResource, pool: SshPool) -> Seen:
        if system.spec.scheduler.observer is None:
            return Seen("scheduler", "", "Unknown", _NO_OBSERVER)

        async def look() -> tuple[ProbeState, str]:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._scheduler_over(pool).details(_target(system), [_ANY_JOB])
            except SchedulerUnavailable as error:
                return "Down", error.message
            except TimeoutError:
                return "Down", f"it did not answer within {self._seconds:g} s"
            except GoldcrestError as error:
                return "Unknown", f"not looked at: {error.message}"
            return "Up", "The scheduler answers."

        return await _timed("scheduler", "", look)

    async def _object_store(self, system: SystemResource) -> tuple[Seen, ...]:
        store = system.spec.object_store
        if store is None:
            return ()
        ca_file = str(self._object_store_ca_file) if self._object_store_ca_file is not None else None
        look = partial(object_store.look_at, store, ca_file=ca_file, seconds=self._seconds)
        return (await _timed("object-store", store.url, look),)

    async def _file_systems(self, system: SystemResource, pool: SshPool) -> tuple[Seen, ...]:
        every = system.spec.file_systems
        if system.spec.scheduler.observer is None:
            return tuple(Seen(one.name, one.path, "Unknown", _NO_OBSERVER) for one in every)
        silent: set[str] = set()
        seen = await asyncio.gather(*(self._file_system(system, one, pool, silent) for one in every))
        if len(every) == 1 or not silent:
            return tuple(seen)

        async def alone(one: FileSystem, before: Seen) -> Seen:
            # ssh-filter does one thing at a time on a channel: a dead file system makes the others seem dead.
            if one.path not in silent:
                return before
            async with self._pool() as own:
                return await self._file_system(system, one, own, set())

        return tuple(await asyncio.gather(*map(alone, every, seen)))

    async def _file_system(self, system: SystemResource, one: FileSystem, pool: SshPool, silent: set[str]) -> Seen:
        async def look() -> tuple[ProbeState, str]:
            try:
                mode = int((await self._run(system, StatFile(one.path, dereference=True), pool))["mode"])
            except CommandFailed as error:
                if error.kind == "os" and error.errno_name in _NOT_ALLOWED:
                    return "Unknown", f"the observer may not look at it: {error.message}"
                return "Down", error.message
            except LoginDenied as error:
                return "Unknown", f"not looked at: {error.message}"
            except SystemUnreachable as error:
                silent.add(one.path)
                return "Down", error.message
            except GoldcrestError as error:
                return "Unknown", f"not looked at: {error.message}"
            return ("Up", "It answers.") if stat.S_ISDIR(mode) else ("Down", f"{one.path} is no directory")

        return await _timed(one.name, one.path, look)

    async def _run(
        self, system: SystemResource, command: Describe | StatFile, pool: SshPool, *, spec: SystemSpec | None = None
    ) -> Mapping[str, Any]:
        target = _target(system)
        answer = await pool.run(
            on_cluster(command, target.spec.scheduler.cluster),
            system=target.system,
            spec=spec or target.spec,
            user=target.user,
            basis=target.basis,
            trace=target.trace,
            seconds=self._seconds,
        )
        return answer.result

    @asynccontextmanager
    async def _pool(self) -> AsyncIterator[SshPool]:
        pool = self._make_pool()
        try:
            yield pool
        finally:
            await pool.close()


_REACHED: Final = "The jump host answers with a pinned key"


def _reached(host: Seen) -> bool:
    return host.state == "Unknown" and host.message.startswith(_REACHED)


def _target(system: SystemResource) -> Target:
    observer = system.spec.scheduler.observer
    assert observer is not None  # noqa: S101  asked before
    basis = ByResource(Kind.SYSTEM.value, "", system.name, system.uid)
    return Target(system=system.name, spec=system.spec, user=observer, basis=basis, trace=Trace.new())


async def _timed(name: str, place: str, look: Callable[[], Awaitable[tuple[ProbeState, str]]]) -> Seen:
    began = time.monotonic()
    state, message = await look()
    milliseconds = None if state == "Unknown" else round((time.monotonic() - began) * 1000)
    return Seen(name, place, state, message, milliseconds)
