"""The open connections of this process: shared, counted, failed over, closed when idle."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Collection
from typing import Final

from goldcrest.authority import Authority, Basis
from goldcrest.errors import ConnectionRefused, GoldcrestError, HostKeyChanged, LoginDenied, SystemUnreachable
from goldcrest.measures import Measures
from goldcrest.models.system import SystemSpec
from goldcrest.ssh.answer import Snapshot
from goldcrest.ssh.connection import Connection, ConnectionKey
from goldcrest.ssh.health import Breakers, Failure
from goldcrest.ssh.hostkeys import Endpoint
from goldcrest.ssh.keys import EphemeralKey
from goldcrest.ssh.login import HostDown, LoginRefused, check_host_key, log_in
from goldcrest.ssh.measures import SshMeasures
from goldcrest.ssh.settings import SshSettings
from goldcrest.ssh.shared import mark_retrieved, result_of
from goldcrest.telemetry import Log, Trace
from goldcrest.tracing import CLIENT, span

_LOG = Log(__name__)
_SWEEP_SECONDS: Final = 2.0
_FORGET_SECONDS: Final = 60.0  # a failure this long ago says nothing about now
_CLOSE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.02  # between looks for a connection that is not in use any more
_ALIKE: Final = (ConnectionRefused, LoginDenied)  # what is told by its own name where all hosts fail so


class _Ended(Exception):
    """A session was ended while it was being opened."""


def _stopping() -> SystemUnreachable:
    return SystemUnreachable("this process is stopping")


class Connections:
    """One connection for each (system, user, host, pins), opened when first needed.

    Args:
        key: the process's key; session certificates are made for it.
    """

    def __init__(
        self, authority: Authority, settings: SshSettings, key: EphemeralKey, measures: Measures | None = None
    ) -> None:
        self.measures = SshMeasures(measures or Measures("ssh"), self.snapshot)
        self._authority = authority
        self._settings = settings
        self._key = key
        # Least recently used first.
        self._open: OrderedDict[ConnectionKey, Connection] = OrderedDict()
        # Not in the table any more, but requests are still under way.
        self._leaving: set[Connection] = set()
        self._opening: dict[ConnectionKey, asyncio.Task[Connection]] = {}
        self._to_be_ended: set[ConnectionKey] = set()  # of those being opened
        self._wanted: Counter[ConnectionKey] = Counter()  # requests that wait for one
        self._logging_in: set[ConnectionKey] = set()  # of those being opened; the others wait for their turn
        self._handshakes: dict[str, asyncio.Semaphore] = {}
        first, most = settings.backoff_first_seconds, settings.backoff_most_seconds
        self._hosts: Breakers[Endpoint] = Breakers(first=first, most=most)
        self._logins: Breakers[ConnectionKey] = Breakers(first=first, most=most)
        self._changed_keys: dict[Endpoint, HostKeyChanged] = {}
        self._reviving: set[Endpoint] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    async def get(
        self, *, system: str, spec: SystemSpec, user: str, basis: Basis, trace: Trace, avoid: Connection | None = None
    ) -> Connection:
        """A connection that works, to the first login host that does.

        Args:
            avoid: a connection that was just found to be cut.

        Raises:
            SystemUnreachable: no host works; the message says why for each. ConnectionRefused, LoginDenied where that is so of all.
            HostKeyChanged: no host works, and one showed a key that is not pinned.
            InvalidInput: the pins of the System cannot be used.
            GoldcrestError: what the authority says.
        """
        if self._closed:
            raise _stopping()
        if avoid is not None:
            self._drop(avoid)
        endpoints = [Endpoint.of(host, spec) for host in spec.hosts]
        choice = self._hosts.choose(endpoints)
        failed = [(failure.kind, self._resting(endpoint, failure)) for endpoint, failure in choice.resting]
        changed = next((self._changed_keys[host] for host, _ in choice.resting if host in self._changed_keys), None)
        for endpoint in choice.candidates:
            key = ConnectionKey(system, user, endpoint)
            connection = self._usable(key)
            if connection is not None:
                self._revive(endpoints[: endpoints.index(endpoint)])
                return connection
            self._wanted[key] += 1
            try:
                connection = await self._connection(key, basis, trace)
            except HostKeyChanged as error:
                changed = changed or error
            except (HostDown, LoginRefused) as error:
                failed.append((type(error), error.message))
            else:
                self._revive(endpoints[: endpoints.index(endpoint)])
                return connection
            finally:
                self._wanted[key] -= 1
                if not self._wanted[key]:
                    del self._wanted[key]
        for endpoint, _ in choice.resting:
            # It turns newcomers away (MaxStartups, penalties, a restart of sshd): what is open there may well go on.
            open_ = self._open.get(ConnectionKey(system, user, endpoint))
            if open_ is not None and open_.usable and endpoint not in self._changed_keys:
                return open_
        if changed is not None:
            raise HostKeyChanged(changed.message)
        what = next((one for one in _ALIKE if all(issubclass(kind, one) for kind, _ in failed)), SystemUnreachable)
        reasons = "; ".join(reason for _, reason in failed)
        raise what(f"no login host of system {system!r} accepts a session now: {reasons}")

    def _resting(self, endpoint: Endpoint, failure: Failure) -> str:
        return f"{failure.reason} (tried again in {self._hosts.seconds_left(failure):.1f} s)"

    def _usable(self, key: ConnectionKey) -> Connection | None:
        """The open one, which is as good as new then; one that is of no more use leaves the table."""
        connection = self._open.get(key)
        if connection is None:
            return None
        if not connection.usable:
            self._leave(connection)
            return None
        self._open.move_to_end(key)
        return connection

    async def _connection(self, key: ConnectionKey, basis: Basis, trace: Trace) -> Connection:
        while True:
            connection = self._usable(key)
            if connection is not None:
                return connection
            failure = self._logins.failure(key)
            if failure is not None:
                raise failure.kind(f"{failure.reason} (tried again in {self._logins.seconds_left(failure):.1f} s)")
            task = self._opening.get(key)
            if task is not None:
                try:
                    return await result_of(task, cancelled=_stopping())
                except (HostKeyChanged, HostDown, LoginRefused):
                    raise
                except (GoldcrestError, _Ended):
                    continue  # the authority refused somebody else's request; ours may be better founded
            task = asyncio.create_task(self._establish(key, basis, trace))
            self._opening[key] = task
            task.add_done_callback(lambda done: self._established(key, done))
            try:
                return await result_of(task, cancelled=_stopping())
            except _Ended:
                continue  # the authority says whether there may be another

    def _established(self, key: ConnectionKey, task: asyncio.Task[Connection]) -> None:
        if self._opening.get(key) is task:
            del self._opening[key]
        mark_retrieved(task)  # whoever waits gets it; it may be that nobody waits any more

    async def _establish(self, key: ConnectionKey, basis: Basis, trace: Trace) -> Connection:
        endpoint = key.endpoint
        self._to_be_ended.discard(key)
        gate = self._handshakes.setdefault(endpoint.name, asyncio.Semaphore(self._settings.handshakes_per_host))
        async with gate:
            resting = self._hosts.failure(endpoint)
            if resting is not None:  # it failed while we waited
                raise resting.kind(self._resting(endpoint, resting))
            if not self._wanted[key]:
                # In a crowd, time would go into logins that help nobody while others wait.
                raise LoginRefused("nobody waits for this connection any more")
            await self._make_room(key)
            self._logging_in.add(key)
            try:
                with span("login", trace, kind=CLIENT, system=key.system, host=endpoint.name) as step:
                    connection = await self._log_in(key, basis, step.trace)
            except GoldcrestError as error:
                self.measures.login_failed(key.system, error)
                raise
            finally:
                self._logging_in.discard(key)
        self.measures.opened(key.system)
        self._logins.succeeded(key)
        if key in self._to_be_ended:
            connection.abort()
            raise _Ended
        self._open[key] = connection
        self._sweep_from_now_on()
        _LOG.info("ssh.connection.opened", host=endpoint.name, system=key.system, user=key.user)
        return connection

    async def _log_in(self, key: ConnectionKey, basis: Basis, trace: Trace) -> Connection:
        endpoint = key.endpoint
        # One for each host that is logged in to: the jump host first, where there is one.
        certificates = [
            await self._authority.session_certificate(
                public_key=self._key.public, system=key.system, user=key.user, basis=basis, trace=trace.header
            )
            for _ in endpoint.way
        ]
        try:
            ssh = await log_in(
                endpoint, user=key.user, key=self._key, certificates=certificates, settings=self._settings
            )
            self._works(endpoint)
            return await Connection.open(key, ssh, self._settings)
        except (HostKeyChanged, HostDown) as error:
            self._fails(endpoint, error)
            raise
        except LoginRefused as error:
            self._logins.failed(key, error)
            _LOG.warning("ssh.login.refused", host=endpoint.name, user=key.user, reason=error.message)
            raise

    def _works(self, endpoint: Endpoint) -> None:
        self._hosts.succeeded(endpoint)
        self._changed_keys.pop(endpoint, None)

    def _fails(self, endpoint: Endpoint, error: HostKeyChanged | HostDown) -> None:
        self._hosts.failed(endpoint, error)
        if isinstance(error, HostKeyChanged):
            self._changed_keys[endpoint] = error
            _LOG.error("ssh.host-key.changed", host=endpoint.name, reason=error.message)
        else:
            self._changed_keys.pop(endpoint, None)
            _LOG.warning("ssh.host.down", host=endpoint.name, reason=error.message)

    async def _make_room(self, key: ConnectionKey) -> None:
        """Where a limit is reached, close the connection unused longest; wait for one where all are in use.

        Raises:
            LoginRefused: all were in use for too long.
        """
        deadline = time.monotonic() + self._settings.connect_seconds
        while (full := self._full(key)) is not None:
            keys, where = full
            # Not one that was opened a moment ago, and whose request has not come to use it yet.
            unused = next((c for k, c in self._open.items() if k in keys and c.idle and not self._wanted[k]), None)
            if unused is not None:
                self._leave(unused)
            elif time.monotonic() < deadline:
                await asyncio.sleep(_LOOK_SECONDS)  # looked at by a few only: the others are before the gate
            else:
                raise LoginRefused(f"all {len(keys)} SSH connections{where} are in use; try again soon")

    def _full(self, key: ConnectionKey) -> tuple[set[ConnectionKey], str] | None:
        """The connections that fill a limit, and its place in words; None when there is room for one more."""
        held = [*self._open, *(connection.key for connection in self._leaving), *self._logging_in]
        name = key.endpoint.name
        to_host = [other for other in held if other.endpoint.name == name]
        if len(to_host) >= self._settings.connections_per_host:
            return set(to_host), f" to login host {name}"
        if len(held) >= self._settings.connections:
            return set(held), ""
        return None

    # Ending.

    def _drop(self, connection: Connection) -> None:
        """Forget a connection that is cut."""
        if self._open.get(connection.key) is connection:
            del self._open[connection.key]
        self._leaving.discard(connection)
        connection.abort()

    def _leave(self, connection: Connection) -> None:
        """Take it out of use; close it once nothing is under way on it."""
        if self._open.get(connection.key) is connection:
            del self._open[connection.key]
        connection.retire()
        if connection.idle:
            connection.close()
        else:
            self._leaving.add(connection)

    def end_sessions(self, users: Collection[str], *, reason: str) -> int:
        """End what is open, or being opened, as these Unix users now; how many there were."""
        ended = [open_ for open_ in (*self._open.values(), *self._leaving) if open_.key.user in users]
        for connection in ended:
            connection.ended_because = reason
            self._drop(connection)
            _LOG.warning(
                "ssh.session.ended", host=connection.key.endpoint.name, user=connection.key.user, reason=reason
            )
        opening = {key for key in self._opening if key.user in users}
        self._to_be_ended |= opening
        return len(ended) + len(opening)

    def _sweep_from_now_on(self) -> None:
        if self._sweeper is None and not self._closed:
            self._sweeper = asyncio.create_task(self._sweep_for_ever())

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Close what is idle or old."""
        for connection in tuple(self._open.values()):
            connection.prune()
            if connection.over or not connection.usable:
                self._leave(connection)
        for connection in tuple(self._leaving):
            if connection.idle:
                self._leaving.discard(connection)
                connection.close()
        self._hosts.forget(older_than=_FORGET_SECONDS)
        self._logins.forget(older_than=_FORGET_SECONDS)

    async def close(self) -> None:
        """End all connections; requests under way are lost."""
        self._closed = True
        tasks: list[asyncio.Task[Connection] | asyncio.Task[None]] = [*self._opening.values(), *self._tasks]
        if self._sweeper is not None:
            tasks.append(self._sweeper)
        for task in tasks:
            task.cancel()
        if tasks:
            # Not gathered: that would wait for what does not end although it was cancelled.
            ended, _ = await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
            for task in ended:
                mark_retrieved(task)
        connections = [*self._open.values(), *self._leaving]
        self._open.clear()
        self._leaving.clear()
        for connection in connections:
            connection.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*(connection.wait_closed() for connection in connections), return_exceptions=True)
        except TimeoutError:
            for connection in connections:
                connection.abort()

    # Coming back to hosts that are preferred.

    def _revive(self, preferred: list[Endpoint]) -> None:
        """Look, behind the request's back, whether a preferred host that failed is there again."""
        for endpoint in preferred:
            if (
                self._hosts.suspicious(endpoint)
                and self._hosts.failure(endpoint) is None
                and endpoint not in self._reviving
            ):
                self._reviving.add(endpoint)
                task = asyncio.create_task(self._look_at(endpoint))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _look_at(self, endpoint: Endpoint) -> None:
        try:
            await check_host_key(endpoint, seconds=self._settings.connect_seconds)
        except (HostKeyChanged, HostDown) as error:
            self._fails(endpoint, error)
        else:
            self._works(endpoint)
            _LOG.info("ssh.host.back", host=endpoint.name)
        finally:
            self._reviving.discard(endpoint)

    def snapshot(self) -> Snapshot:
        connections = [*self._open.values(), *self._leaving]
        return Snapshot(
            connections=len(connections),
            opening=len(self._opening),
            channels=sum(connection.channel_count for connection in connections),
            in_flight=sum(connection.in_flight for connection in connections),
            streams=sum(connection.stream_count for connection in connections),
            resting_hosts=self._hosts.open_count,
        )
