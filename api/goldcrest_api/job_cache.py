"""All Jobs, indexed for the questions that REST asks. Filled by a reflector, and by the gateway's own writes."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TypeVar

from goldcrest.errors import InvalidInput
from goldcrest.kube import Raw
from goldcrest.telemetry import Log
from goldcrest_api.job_view import JobView, newer

_log = Log(__name__)
_K = TypeVar("_K")


class JobCache:
    """Jobs by uid, with indexes by name, task id, cancel task id, user and scheduler id. Lives on one event loop."""

    def __init__(self) -> None:
        self._by_uid: dict[str, JobView] = {}
        self._by_name: dict[tuple[str, str], str] = {}
        self._by_task: dict[str, str] = {}
        self._by_cancel_task: dict[str, str] = {}
        self._by_user: dict[str, set[str]] = {}
        self._by_scheduler_id: dict[tuple[str, str], set[str]] = {}
        self._position = "0"  # the watch has told everything up to here

    def __len__(self) -> int:
        return len(self._by_uid)

    def by_name(self, namespace: str, name: str) -> JobView | None:
        return self._at(self._by_name.get((namespace, name)))

    def by_task(self, task_id: str) -> JobView | None:
        return self._at(self._by_task.get(task_id))

    def by_cancel_task(self, task_id: str) -> JobView | None:
        return self._at(self._by_cancel_task.get(task_id))

    def of_user(self, user: str) -> list[JobView]:
        """All Jobs that run as this Unix user, oldest first."""
        return sorted(
            (self._by_uid[uid] for uid in self._by_user.get(user, ())), key=lambda job: (job.created, job.name)
        )

    def by_scheduler_id(self, system: str, job_id: str) -> list[JobView]:
        """Jobs with this id on this system, newest first: schedulers start counting anew one day."""
        found = [self._by_uid[uid] for uid in self._by_scheduler_id.get((system, job_id), ())]
        return sorted(found, key=lambda job: job.created, reverse=True)

    def has_all(self, versions: Mapping[str, str]) -> bool:
        """Whether these uids are known in these resource versions or later ones, or were told by the watch and left out."""
        for uid, version in versions.items():
            known = self._by_uid.get(uid)
            if newer(version, self._position) and (known is None or newer(version, known.resource_version)):
                return False
        return True

    def learn(self, raw: Raw) -> JobView:
        """Take in what the API server answered to a read or write of our own, unless something newer is known.

        Raises:
            InvalidInput: when it is no Job that we understand.
        """
        view = JobView.of(raw)
        known = self._by_uid.get(view.uid)
        if known is not None and not newer(view.resource_version, known.resource_version):
            return known
        # Absent although the watch is past this version: it was deleted meanwhile, and must not rise again.
        if known is not None or newer(view.resource_version, self._position):
            self._put(view)
        return view

    def retain(self, uids: Set[str], *, resource_version: str) -> None:
        """A whole list was applied: what was not in it is gone, but for later writes of our own."""
        for uid, known in list(self._by_uid.items()):
            if uid not in uids and not newer(known.resource_version, resource_version):
                self._drop(uid)
        self._position = resource_version

    def apply(self, raw: Raw) -> None:
        """An object was added or changed."""
        view = _read(raw)
        if view is not None:
            self._put_if_newer(view)

    def remove(self, raw: Raw) -> None:
        """An object is gone."""
        self._drop(raw["metadata"]["uid"])

    def advance(self, resource_version: str) -> None:
        """Everything up to this version is known."""
        self._position = resource_version

    def _at(self, uid: str | None) -> JobView | None:
        return None if uid is None else self._by_uid.get(uid)

    def _put_if_newer(self, view: JobView) -> None:
        known = self._by_uid.get(view.uid)
        if known is None or newer(view.resource_version, known.resource_version):
            self._put(view)

    def _put(self, view: JobView) -> None:
        self._drop(view.uid)
        self._by_uid[view.uid] = view
        self._by_name[view.namespace, view.name] = view.uid
        self._by_task[view.task_id] = view.uid
        self._by_cancel_task[view.cancel_task_id] = view.uid
        self._by_user.setdefault(view.run_as, set()).add(view.uid)
        if view.status.job_id:
            self._by_scheduler_id.setdefault((view.system, view.status.job_id), set()).add(view.uid)

    def _drop(self, uid: str) -> None:
        view = self._by_uid.pop(uid, None)
        if view is None:
            return
        # A resource of the same name may have been made again: its entries are not ours to take away.
        for index, key in (
            (self._by_task, view.task_id),
            (self._by_cancel_task, view.cancel_task_id),
        ):
            if index.get(key) == uid:
                del index[key]
        if self._by_name.get((view.namespace, view.name)) == uid:
            del self._by_name[view.namespace, view.name]
        _discard(self._by_user, view.run_as, uid)
        if view.status.job_id:
            _discard(self._by_scheduler_id, (view.system, view.status.job_id), uid)


def _discard(index: dict[_K, set[str]], key: _K, uid: str) -> None:
    uids = index.get(key)
    if uids is not None:
        uids.discard(uid)
        if not uids:
            del index[key]


def _read(raw: Raw) -> JobView | None:
    try:
        return JobView.of(raw)
    except (InvalidInput, KeyError, TypeError) as error:
        # One object that a newer or older release wrote must not hide all the others.
        _log.warning("cache.unreadable", kind="Job", name=(raw.get("metadata") or {}).get("name"), reason=str(error))
        return None
