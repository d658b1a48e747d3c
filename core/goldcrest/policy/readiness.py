"""Whether policy is there and the site's data has the right form: what a process that asks policy calls ready."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from goldcrest.errors import PolicyUnavailable
from goldcrest.policy.client import Policy
from goldcrest.telemetry import Log

COMPLAIN_SECONDS: Final = 30.0  # between two log lines about data that is still wrong
_TOLD = 5  # problems in one answer

_log = Log(__name__)


class PolicyReadiness:
    """Not ready while OPA is away, nor at the start while its data is wrong: so a roll-out with wrong data stops by itself.

    Data that becomes wrong later is a matter for the log: to take all replicas away would deny everybody, and not only those whom the
    wrong part is about.
    """

    def __init__(self, policy: Policy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._was_ready = False
        self._complained: float | None = None

    async def fault(self) -> str:
        """Why not ready; empty when it is."""
        if not await self._policy.answers():
            return "OPA does not answer"
        try:
            problems = await self._policy.problems()
        except PolicyUnavailable as error:
            problems = [error.message]
        if problems:
            self._complain(problems)
            if not self._was_ready:
                more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
                return "the site's policy data is wrong: " + "; ".join(problems[:_TOLD]) + more
        else:
            self._was_ready = True
            self._complained = None
        return ""

    def _complain(self, problems: list[str]) -> None:
        now = self._clock()
        if self._complained is None or now - self._complained >= COMPLAIN_SECONDS:
            self._complained = now
            _log.error("policy.data.wrong", problems=problems)
