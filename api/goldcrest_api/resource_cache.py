"""All resources of one kind, indexed for the questions that REST asks. Filled by a reflector, and by the gateway's own writes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from typing import Generic, Protocol, TypeVar

from goldcrest.errors import InvalidInput
from goldcrest.kube import Raw
from goldcrest.reflector import newer
from goldcrest.telemetry import Log
from goldcrest.wellknown import Kind

_log = Log(__name__)


class View(Protocol):
    """A resource as the gateway keeps it: what answers are made of, and nothing large."""

    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...
    @property
    def created(self) -> str:
        """RFC 3339 time in UTC."""

    @property
    def system(self) -> str: ...
    @property
    def run_as(self) -> str:
        """Whose it is: the Unix user (T5)."""


V = TypeVar("V", bound=View)


class Index(Generic[V]):
    """Which resources have a key. Those that came last come last."""

    def __init__(self, keys: Callable[[V], Iterable[Hashable]]) -> None:
        self._keys = keys
        # Nearly all keys have one resource: a dictionary for each would be most of what the garbage collector has to look at.
        self._one: dict[Hashable, V] = {}
        self._more: dict[Hashable, dict[str, V]] = {}

    def last(self, key: Hashable) -> V | None:
        """The one that came last: a name may be used again before the end of its former bearer is told."""
        more = self._more.get(key)
        return next(reversed(more.values())) if more else self._one.get(key)

    def all(self, key: Hashable) -> list[V]:
        more = self._more.get(key)
        if more:
            return list(more.values())
        one = self._one.get(key)
        return [] if one is None else [one]

    def put(self, view: V) -> None:
        """For the cache alone."""
        for key in self._keys(view):
            if key in self._more:
                self._more[key][view.uid] = view
            elif key in self._one:
                one = self._one.pop(key)
                self._more[key] = {one.uid: one, view.uid: view}
            else:
                self._one[key] = view

    def drop(self, view: V) -> None:
        """For the cache alone."""
        for key in self._keys(view):
            more = self._more.get(key)
            if more is not None:
                more.pop(view.uid, None)
                if not more:
                    del self._more[key]
            elif key in self._one and self._one[key].uid == view.uid:
                del self._one[key]


class ResourceCache(Generic[V]):
    """Resources by uid, name and user, and by what a kind adds. Lives on one event loop.

    A kind's own cache derives from it, and gives its further indexes to :meth:`indexed`.

    Args:
        read: makes a view of the API server's JSON; raises InvalidInput, KeyError or TypeError where it cannot.
    """

    def __init__(self, kind: Kind, read: Callable[[Raw], V]) -> None:
        self.kind = kind
        self._read = read
        self._by_uid: dict[str, V] = {}
        self._indexes: list[Index[V]] = []
        self._names = self.indexed(lambda view: [(view.namespace, view.name)])
        self._users = self.indexed(lambda view: [view.run_as])
        self._position = "0"  # the watch has told everything up to here

    def indexed(self, keys: Callable[[V], Iterable[Hashable]]) -> Index[V]:
        """One index more, kept up to date; to be called before anything is put in."""
        index = Index(keys)
        self._indexes.append(index)
        return index

    def __len__(self) -> int:
        return len(self._by_uid)

    @property
    def position(self) -> str:
        """The resource version up to which the watch has told everything."""
        return self._position

    def by_uid(self, uid: str) -> V | None:
        return self._by_uid.get(uid)

    def by_name(self, namespace: str, name: str) -> V | None:
        return self._names.last((namespace, name))

    def of_user(self, user: str) -> list[V]:
        """All that run as this Unix user, oldest first. Costs what the user has, not what there is."""
        return sorted(self._users.all(user), key=lambda view: (view.created, view.name))

    def has_all(self, versions: Mapping[str, str]) -> bool:
        """Whether these uids are known in these resource versions or later ones, or were told by the watch and left out."""
        for uid, version in versions.items():
            known = self._by_uid.get(uid)
            if newer(version, self._position) and (known is None or newer(version, known.resource_version)):
                return False
        return True

    def learn(self, raw: Raw) -> V:
        """Take in what the API server answered to a read or write of our own, unless something newer is known.

        Raises:
            InvalidInput: when it is nothing that we understand.
        """
        view = self._read(raw)
        known = self._by_uid.get(view.uid)
        if known is not None and not newer(view.resource_version, known.resource_version):
            return known
        # Absent although the watch is past this version: it was deleted meanwhile, and must not rise again.
        if known is not None or newer(view.resource_version, self._position):
            self._put(view)
        return view

    def retain(self, uids: Set[str], *, resource_version: str) -> None:
        """A whole list was applied: what was not in it is gone, but for later writes of our own."""
        for uid in self._by_uid.keys() - uids:
            if not self._is_own_later(uid, resource_version):
                self._drop(uid)
        self._position = resource_version

    def listed(self, raw: Raw, *, resource_version: str) -> None:
        """An object of a list of this version. It counts, also where a later version was known: then the store was put back."""
        view = self._view(raw)
        if view is not None and not self._is_own_later(view.uid, resource_version):
            self._put(view)

    def _is_own_later(self, uid: str, resource_version: str) -> bool:
        """Whether we wrote it after the list was made. A list that is older than what the watch told is of an earlier state that the store was
        put back to: then nothing is."""
        known = self._by_uid.get(uid)
        if known is None or newer(self._position, resource_version):
            return False
        return newer(known.resource_version, resource_version)

    def _view(self, raw: Raw) -> V | None:
        try:
            return self._read(raw)
        except (InvalidInput, KeyError, TypeError) as error:
            # One object that a newer or older release wrote must not hide all the others.
            name = (raw.get("metadata") or {}).get("name")
            _log.warning("cache.unreadable", kind=self.kind.value, name=name, reason=str(error))
            return None

    def apply(self, raw: Raw) -> V | None:
        """An object was added or changed; what is known of it now, None when it cannot be read."""
        view = self._view(raw)
        if view is None:
            return None
        known = self._by_uid.get(view.uid)
        if known is not None and not newer(view.resource_version, known.resource_version):
            return known
        self._put(view)
        return view

    def remove(self, raw: Raw) -> V | None:
        """An object is gone; what was known of it."""
        return self._drop(raw["metadata"]["uid"])

    def advance(self, resource_version: str) -> None:
        """Everything up to this version is known."""
        self._position = resource_version

    def _put(self, view: V) -> None:
        self._drop(view.uid)
        self._by_uid[view.uid] = view
        for index in self._indexes:
            index.put(view)

    def _drop(self, uid: str) -> V | None:
        view = self._by_uid.pop(uid, None)
        if view is not None:
            for index in self._indexes:
                index.drop(view)
        return view
