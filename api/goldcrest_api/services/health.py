"""Whether a system and its file systems can be used now: what the operator wrote about them, or a look of the caller's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from goldcrest.commands import StatFile
from goldcrest.errors import CommandFailed, GoldcrestError, LoginDenied, Unavailable
from goldcrest.models.system import FileSystem
from goldcrest.telemetry import Trace
from goldcrest.wellknown import Reason
from goldcrest_api.caller import Caller
from goldcrest_api.ports import RemoteCommands
from goldcrest_api.services.access import AccessProbe
from goldcrest_api.system_cache import SystemView

_OLD_SECONDS: Final = (
    900.0  # three times the five minutes after which the operator writes at the latest: it is away, or stuck
)
_LOOK_SECONDS: Final = 3.0  # for a look of our own: one system that does not answer keeps no list waiting longer
_REMEMBERED: Final = 10_000  # looks kept; beyond, the outdated ones are thrown away


class Health(StrEnum):
    """Of one system, for one caller."""

    READY = "ready"
    REFUSING = "refusing"  # it answers, but does not let us in
    DOWN = "down"


class SystemHealth:
    """Answers about systems. What the operator sees counts; where it cannot look (it is away, or the System names no observer), the
    caller's own rights do, for a short time each, and each answer is remembered for that caller only.

    Args:
        remember_seconds: how long a look of the caller's at a file system counts.
    """

    def __init__(
        self,
        access: AccessProbe,
        remote: RemoteCommands,
        *,
        remember_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._remote = remote
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._looks: dict[tuple[str, str, str, str, str], tuple[float, bool]] = {}

    async def of(self, system: SystemView, caller: Caller, trace: Trace) -> Health:
        """From the condition Ready; where nobody has written one lately, by the caller's own access."""
        if system.ready is not None and system.ready.status != "Unknown" and not _is_old(system):
            if system.ready.status == "True":
                return Health.READY
            return Health.DOWN if system.ready.reason == Reason.SYSTEM_UNREACHABLE else Health.REFUSING
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._access.check(system, caller, trace)
        except LoginDenied:
            return Health.REFUSING
        except (Unavailable, TimeoutError):
            return Health.DOWN
        except GoldcrestError:
            return Health.REFUSING
        return Health.READY

    async def file_systems(
        self, system: SystemView, caller: Caller, trace: Trace, *, anew: bool = False
    ) -> list[tuple[FileSystem, bool]]:
        """Each file system of the spec, and whether it answers.

        Args:
            anew: whether what was seen as this caller before does not count. What the operator saw does: no request makes it look.
        """
        looks = (self._file_system(system, one, caller, trace, anew=anew) for one in system.spec.file_systems)
        return list(await asyncio.gather(*looks))

    async def _file_system(
        self, system: SystemView, one: FileSystem, caller: Caller, trace: Trace, *, anew: bool
    ) -> tuple[FileSystem, bool]:
        seen = next((seen for seen in system.file_systems if (seen.name, seen.path) == (one.name, one.path)), None)
        if seen is not None and seen.state != "Unknown" and not _is_old(system):
            return one, seen.state == "Up"
        if not _is_old(system) and system.ready is not None and system.ready.status == "False":
            return one, False  # nothing of it answers
        key = (system.name, one.path, caller.issuer, caller.subject, caller.user)
        until, answers = self._looks.get(key, (0.0, False))
        if anew or self._clock() >= until:
            answers = await self._look(system, one, caller, trace)
            self._remember(key, answers)
        return one, answers

    async def _look(self, system: SystemView, one: FileSystem, caller: Caller, trace: Trace) -> bool:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._remote.run(
                    StatFile(one.path, dereference=True),
                    system=system.name,
                    spec=system.spec,
                    user=caller.user,
                    basis=caller.basis,
                    trace=trace,
                    seconds=_LOOK_SECONDS,
                )
        except CommandFailed as error:
            return error.errno_name == "EACCES"  # it answers: this caller may not enter
        except (GoldcrestError, TimeoutError):
            return False
        return True

    def _remember(self, key: tuple[str, str, str, str, str], answers: bool) -> None:
        now = self._clock()
        if len(self._looks) >= _REMEMBERED:
            self._looks = {kept: look for kept, look in self._looks.items() if look[0] > now}
        self._looks[key] = (now + self._remember_seconds, answers)


def _is_old(system: SystemView) -> bool:
    return time.time() - system.checked_at > _OLD_SECONDS
