"""May this caller in to this system at all, and does it answer? Asked of the system itself, as the caller."""

from __future__ import annotations

import time
from collections.abc import Callable

from goldcrest.commands import WhoAmI
from goldcrest.errors import CommandRefused, Denied, SystemUnreachable
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.ports import RemoteCommands
from goldcrest_api.system_cache import SystemView

# Reasons of docs/protocol.md that say nothing about the user: the next attempt may pass.
_FOR_A_MOMENT = frozenset({"busy", "expired", "replay", "session-id"})
_REMEMBERED = 10_000  # successes kept; beyond, the outdated ones are thrown away


class AccessProbe:
    """Runs ``sys.whoami`` as the user; a success counts for a short while, a failure never.

    Args:
        remember_seconds: how long a success counts.
        command_seconds: how long the command may take.
    """

    def __init__(
        self,
        remote: RemoteCommands,
        *,
        remember_seconds: float,
        command_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remote = remote
        self._remember_seconds = remember_seconds
        self._command_seconds = command_seconds
        self._clock = clock
        self._good_until: dict[tuple[str, str, str, str], float] = {}

    async def check(self, system: SystemView, caller: Caller, trace: Trace) -> None:
        """Return when the caller may in.

        Raises:
            Denied: the rule of the token's issuer does not cover the system, or policy says no.
            SystemUnreachable: it does not answer, or takes no commands at the moment.
            GoldcrestError: what kept the command from being run.
        """
        if not caller.covers(system.name):
            raise Denied(f"tokens of this issuer do not count for the system {system.name}")
        # The issuer and subject belong to it: two tokens may mean the same user but not the same rights.
        key = (system.name, caller.user, caller.issuer, caller.subject)
        if self._good_until.get(key, 0.0) > self._clock():
            return
        try:
            await self._remote.run(
                WhoAmI(),
                system=system.name,
                spec=system.spec,
                user=caller.user,
                basis=caller.basis,
                trace=trace,
                seconds=self._command_seconds,
            )
        except CommandRefused as error:
            if error.reason in _FOR_A_MOMENT:
                raise SystemUnreachable(f"{system.name} takes no commands at the moment: {error.message}") from error
            raise
        self._remember(key)

    def _remember(self, key: tuple[str, str, str, str]) -> None:
        now = self._clock()
        if len(self._good_until) >= _REMEMBERED:
            self._good_until = {k: until for k, until in self._good_until.items() if until > now}
            if len(self._good_until) >= _REMEMBERED:
                self._good_until.clear()
        self._good_until[key] = now + self._remember_seconds
