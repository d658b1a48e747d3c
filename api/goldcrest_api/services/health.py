"""Whether a system can be used now: what the operator wrote about it, or a look of our own."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Final

from goldcrest.errors import GoldcrestError, Unavailable
from goldcrest.telemetry import Trace
from goldcrest.wellknown import Reason
from goldcrest_api.caller import Caller
from goldcrest_api.services.access import AccessProbe
from goldcrest_api.system_cache import SystemView

_OLD_SECONDS: Final = (
    900.0  # three times the five minutes after which the operator writes at the latest: it is away, or stuck
)


class Health(StrEnum):
    """Of one system, for one caller."""

    READY = "ready"
    REFUSING = "refusing"  # it answers, but does not let us in
    DOWN = "down"


class SystemHealth:
    """Answers about systems."""

    def __init__(self, access: AccessProbe) -> None:
        self._access = access

    async def of(self, system: SystemView, caller: Caller, trace: Trace) -> Health:
        """From the condition Ready; where nobody has written one lately, by the caller's own access."""
        old = time.time() - system.checked_at > _OLD_SECONDS
        if system.ready is not None and system.ready.status != "Unknown" and not old:
            if system.ready.status == "True":
                return Health.READY
            return Health.DOWN if system.ready.reason == Reason.SYSTEM_UNREACHABLE else Health.REFUSING
        try:
            await self._access.check(system, caller, trace)
        except Unavailable:
            return Health.DOWN
        except GoldcrestError:
            return Health.REFUSING
        return Health.READY
