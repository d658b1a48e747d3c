"""The latest Tasks that the watch or our own writes brought."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from goldcrest.kube import Raw
from goldcrest.wellknown import ANNOTATION_READ_AT, TASKS_OF_USER
from goldcrest_operator.store import is_newer

CROWDED: Final = TASKS_OF_USER // 2
"""Tasks of a user in a namespace from which on those that were read go sooner."""

_ENDED: Final = frozenset(("Succeeded", "Failed", "Cancelled"))


class TaskStore:
    """Tasks by uid: raw JSON that nobody changes."""

    def __init__(self) -> None:
        self._tasks: dict[str, Raw] = {}
        self._of_user: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._unfinished: defaultdict[str, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, uid: str) -> Raw | None:
        return self._tasks.get(uid)

    def versions(self) -> Iterator[tuple[str, str]]:
        """uid and resourceVersion of each."""
        return ((uid, raw["metadata"]["resourceVersion"]) for uid, raw in self._tasks.items())

    def system_of(self, uid: str) -> str | None:
        raw = self._tasks.get(uid)
        return str(raw["spec"]["system"]) if raw is not None else None

    def put(self, raw: Raw) -> bool:
        """Keep it, unless a later version is known; whether it was kept."""
        uid = raw["metadata"]["uid"]
        known = self._tasks.get(uid)
        if known is not None and not is_newer(raw, than=known):
            return False
        self._tasks[uid] = raw
        self._of_user[_user(raw)].add(uid)
        unfinished = self._unfinished[raw["spec"]["system"]]
        (unfinished.discard if _has_ended(raw) else unfinished.add)(uid)
        return True

    def update(self, raw: Raw) -> bool:
        """Keep what was read or written by ourselves: as :meth:`put`, but of a Task that is known. The watch may have told of its end before."""
        return raw["metadata"]["uid"] in self._tasks and self.put(raw)

    def remove(self, uid: str) -> None:
        raw = self._tasks.pop(uid, None)
        if raw is None:
            return
        self._unfinished[raw["spec"]["system"]].discard(uid)
        user = _user(raw)
        self._of_user[user].discard(uid)
        if not self._of_user[user]:
            del self._of_user[user]

    def unfinished(self, system: str) -> frozenset[str]:
        """uids of the system's Tasks that have not ended."""
        return frozenset(self._unfinished[system])

    def has_ended(self, uid: str) -> bool:
        """Whether it has ended, or is not known."""
        raw = self._tasks.get(uid)
        return raw is None or _has_ended(raw)

    def is_crowded(self, raw: Raw) -> bool:
        """Whether the user of this Task has many in its namespace."""
        return len(self._of_user.get(_user(raw), ())) > CROWDED

    def read_beside(self, raw: Raw) -> Iterable[str]:
        """uids of its user's Tasks in its namespace whose result was read."""
        for uid in self._of_user.get(_user(raw), ()):
            if ANNOTATION_READ_AT in (self._tasks[uid]["metadata"].get("annotations") or {}):
                yield uid


def _user(raw: Raw) -> tuple[str, str]:
    return raw["metadata"]["namespace"], raw["spec"]["runAs"]


def _has_ended(raw: Raw) -> bool:
    return (raw.get("status") or {}).get("phase") in _ENDED
