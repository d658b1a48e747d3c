"""What was seen of each followed Job last; whoever wants to know is told of each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from goldcrest_operator.reconcile.observation import Sighting, Trouble
from goldcrest_operator.reconcile.seen import is_steady
from goldcrest_operator.scheduler.interface import JobView
from goldcrest_operator.store import Followed, Store
from goldcrest_operator.tracking.lanes import Lane

_CLOCKS_DIFFER_SECONDS = (
    3600  # a job of a known id that was submitted so much earlier is another, which had the id before
)
_NOTHING = Sighting()


class Sightings:
    """By uid.

    Args:
        changed: called with the uid of a Job whose Sighting changed.
    """

    def __init__(self, store: Store, changed: Callable[[str], None]) -> None:
        self._store = store
        self._changed = changed
        self._seen: dict[str, Sighting] = {}
        self._arrays: set[str] = set()  # uids of Jobs that were seen to be arrays, by their spec or a line of theirs

    def of(self, uid: str) -> Sighting:
        """What was seen of a Job last."""
        return self._seen.get(uid, _NOTHING)

    def put(self, uid: str, sighting: Sighting) -> None:
        if self.of(uid) != sighting:
            self._seen[uid] = sighting
            self._changed(uid)

    def trouble(self, uid: str, trouble: Trouble) -> None:
        """It could not be asked for."""
        self.put(uid, replace(self.of(uid), trouble=trouble))

    def saw(self, job: Followed, view: JobView) -> bool:
        """Keep what the scheduler shows of a job; whether it is in another phase than before."""
        before = self.of(job.uid)
        if before.view is view and before.trouble is None:
            return False  # the scheduler said the same of it last time
        self.put(job.uid, replace(before, view=_steady(before.view, view), trouble=None))
        return before.view is None or before.view.phase is not view.phase

    def note_array(self, job: Followed, view: JobView | None) -> None:
        if view is not None and view.array:
            self._arrays.add(job.uid)

    def is_array(self, job: Followed) -> bool:
        return job.array or job.uid in self._arrays

    def note_strays(self, lane: Lane, views: Iterable[JobView]) -> None:
        """Other jobs than the stored one that carry the token of a Job, among all that the scheduler shows."""
        strays: dict[str, list[str]] = {}
        for view in views:
            uid = self._store.uid_of(view.token) if view.token else None
            if uid is None or view.final:
                continue
            place = self._store.place_of(uid)
            if place is None or place.user != view.user:
                continue
            # Where an id is stored, only a held job can be swept; where none is, any job is the one to adopt.
            if place.job_id != view.job_id and (view.held or place.job_id is None):
                strays.setdefault(uid, []).append(view.job_id)
        for uid in lane.with_strays - strays.keys():
            self.put(uid, replace(self.of(uid), strays=()))
        lane.with_strays = frozenset(strays)
        for uid, ids in strays.items():
            self.put(uid, replace(self.of(uid), strays=tuple(sorted(ids, key=int))))

    def forget_strays(self, uid: str) -> None:
        """They were dealt with; what is left of them shows in the next round."""
        if uid in self._seen:
            self._seen[uid] = replace(self._seen[uid], strays=())

    def forget(self, uid: str) -> None:
        """The Job is gone."""
        self._seen.pop(uid, None)
        self._arrays.discard(uid)


def is_same(job: Followed, view: JobView) -> bool:
    """Whether a view is of this submission, and not of another job that has its id now."""
    if view.submit is not None and view.submit < job.since - _CLOCKS_DIFFER_SECONDS:
        return False
    return view.user == job.user and view.token in (None, job.token)


def _steady(before: JobView | None, view: JobView) -> JobView:
    """``view``, with the expected start as it was while that says about the same."""
    if before is None or before.expected_start is None or view.expected_start is None:
        return view
    if is_steady(before.expected_start, view.expected_start, now=time.time()):
        return replace(view, expected_start=before.expected_start)
    return view
