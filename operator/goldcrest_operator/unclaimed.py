"""Jobs in a scheduler that this Kubernetes submitted and has no Job of: reported, and left alone.

Their Jobs were lost with Kubernetes' own memory (etcd restored from a snapshot that is older than they are), or left to themselves
(``deletionPolicy: Orphan``). Nothing is done to them: delegation signs for resources that exist only (T8). But nobody should have to find out
by chance. Only an observer sees them, as nobody asks on behalf of a user who has no Job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from goldcrest.telemetry import Log
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.scheduler.interface import JobView
from goldcrest_operator.store import Store

_log = Log(__name__)

SHOWN = 10
"""Ids in a sentence; the log has all."""

Tell = Callable[[str, str], None]
"""Called with the name of a System and a sentence for people."""


class Unclaimed:
    """What of a System's queue nobody claims.

    Args:
        prefix: what the tokens of this cluster begin with.
        after_seconds: a job counts when it was seen without a Job for so long: one that is cancelled with its Job needs a moment to go.
    """

    def __init__(
        self,
        *,
        store: Store,
        prefix: str,
        after_seconds: float,
        tell: Tell,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._after_seconds = after_seconds
        self._tell = tell
        self._clock = clock
        self._since: dict[str, dict[str, float]] = {}
        self._told: dict[str, set[str]] = {}
        metrics.measures.read_each(
            "unclaimed_jobs", "Jobs in the queue that were submitted from here and have no Job.", "system", self._counts
        )

    def look(self, system: str, views: Sequence[JobView]) -> None:
        """Take in what an observer's look at the whole queue showed."""
        now, before = self._clock(), self._since.get(system, {})
        alone = {view.job_id: view for view in views if self._is_alone(view)}
        self._since[system] = {job_id: before.get(job_id, now) for job_id in alone}
        told = self._told.setdefault(system, set())
        told &= alone.keys()
        due = sorted((id_ for id_ in self._old(system) if id_ not in told), key=int)
        if not due:
            return
        for job_id in due:
            view = alone[job_id]
            _log.warning(
                "job.unclaimed", system=system, job_id=job_id, user=view.user, state=view.state, token=view.token
            )
        told.update(due)
        self._tell(system, _sentence([alone[job_id] for job_id in due]))

    def _is_alone(self, view: JobView) -> bool:
        if view.final or view.token is None or not view.token.startswith(self._prefix):
            return False
        return self._store.uid_of(view.token) is None

    def _old(self, system: str) -> list[str]:
        return [id_ for id_, since in self._since[system].items() if self._clock() - since >= self._after_seconds]

    def _counts(self) -> list[tuple[str, float]]:
        return [(system, float(len(self._old(system)))) for system in self._since]


def _sentence(views: Sequence[JobView]) -> str:
    names = ", ".join(f"{view.job_id} ({view.user}, {view.state})" for view in views[:SHOWN])
    more = f" and {len(views) - SHOWN} more" if len(views) > SHOWN else ""
    return (
        f"In the scheduler and without a gjob, though submitted from here: {names}{more}. They are left alone: their gjobs were lost "
        "with a restored snapshot of etcd, or deleted with deletionPolicy Orphan."
    )
