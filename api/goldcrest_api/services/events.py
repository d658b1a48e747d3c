"""Changes of resources as they come, for those whose resources they are; and where somebody goes on who was cut off."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from goldcrest.errors import GoldcrestError, InvalidInput
from goldcrest.kube import Kube, Raw
from goldcrest.telemetry import Log
from goldcrest.turns import in_turns
from goldcrest.wellknown import Kind
from goldcrest_api.caller import Caller
from goldcrest_api.resource_cache import ResourceCache, View
from goldcrest_api.services.namespaces import Namespaces
from goldcrest_api.services.streams import Stream

_log = Log(__name__)
_POSITIONS: Final = re.compile(r"[A-Z][A-Za-z]{0,31}=[0-9]{1,20}(;[A-Z][A-Za-z]{0,31}=[0-9]{1,20}){0,7}")

V = TypeVar("V", bound=View)


@dataclass(frozen=True, slots=True)
class Positions:
    """How far somebody was told, by kind: resource versions, which grow within a kind (KEP-5504)."""

    of: Mapping[Kind, int]

    @classmethod
    def parse(cls, text: str) -> Positions:
        """Read what :meth:`text` wrote. Kinds that are not known here are passed over.

        Raises:
            InvalidInput: somebody else wrote it.
        """
        if not _POSITIONS.fullmatch(text):
            raise InvalidInput("Last-Event-ID is no id of these events: send the last id that came, or none")
        pairs = (pair.split("=") for pair in text.split(";"))
        return cls({Kind(kind): int(version) for kind, version in pairs if kind in Kind.__members__.values()})

    def text(self) -> str:
        return ";".join(f"{kind.value}={version}" for kind, version in sorted(self.of.items()))

    def after(self, change: Change) -> Positions:
        return Positions({**self.of, change.kind: max(change.version, self.of.get(change.kind, 0))})


@dataclass(frozen=True, slots=True)
class Change:
    """A resource is as ``view`` says, or is gone and was so."""

    kind: Kind
    version: int
    view: View
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """What was told before is void: all there is follows, and then :class:`Whole`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Whole:
    """All there is was told."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing happened."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will come on this stream, for this reason."""

    reason: str
    dropped: bool = False
    """The reader was too slow."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a stream tells, and how far its reader has then been told; None: as before."""

    content: Change | Reset | Whole | Quiet | Ended
    position: Positions | None = None


class _Reader:
    """Changes that wait for one stream."""

    def __init__(self, stream: Stream, most: int) -> None:
        self.stream = stream
        self._most = most
        self.waiting: deque[Change] = deque()
        self.reset: str | None = None
        self.lost = False

    def offer(self, change: Change) -> None:
        if self.lost or self.reset or not _sees(self.stream.caller, change.view):
            return
        if len(self.waiting) >= self._most:
            self.lost = True  # what waits is told, so that it can go on there
        else:
            self.waiting.append(change)
        self.stream.wake()

    def begin_anew(self, reason: str) -> None:
        self.reset = reason
        self.waiting.clear()
        self.stream.wake()


class Feed:
    """Who is told what. Lives on one event loop.

    Args:
        history: changes of everybody that are kept, so that somebody who was cut off misses none.
        waiting: changes that wait for one reader at most; a slower one is dropped.
        heartbeat_seconds: without a change until the reader is told so.
    """

    def __init__(
        self, *, kube: Kube, namespaces: Namespaces, history: int, waiting: int, heartbeat_seconds: float
    ) -> None:
        self._kube = kube
        self._namespaces = namespaces
        self._history: deque[Change] = deque()
        self._history_most = history
        self._waiting = waiting
        self._heartbeat_seconds = heartbeat_seconds
        self._caches: dict[Kind, ResourceCache[Any]] = {}
        self._since: dict[Kind, int] = {}  # the history has all that came after these versions
        self._position: dict[Kind, int] = {}  # all up to these was told
        self._readers: dict[str, set[_Reader]] = {}

    def of(self, cache: ResourceCache[V]) -> FeedingSink[V]:
        """What a reflector is to fill in the place of this cache, so that its changes are told."""
        self._caches[cache.kind] = cache
        self._since[cache.kind] = self._position[cache.kind] = 0
        return FeedingSink(cache, self)

    def position(self, kind: Kind) -> int:
        """The resource version up to which all was told."""
        return self._position[kind]

    async def follow(self, stream: Stream, since: Positions | None) -> AsyncIterator[Message]:
        """What becomes of the caller's resources, until the stream ends.

        Without ``since``, or where what came after it is not known here any more, it begins with all there is.
        """
        caller = stream.caller
        reader = _Reader(stream, self._waiting)
        if since is not None and await self._of_another_history(since, caller):
            since = None
            reader.reset = "the id is of another history of this cluster"
        readers = self._readers.setdefault(caller.user, set())
        readers.add(reader)
        try:
            # From here to the first await nothing can change between what is looked up and what the reader is told next.
            if since is None or not self._covers(since):
                reader.begin_anew(reader.reset or _WHY[since is not None])
                position = Positions(dict(self._position))
            else:
                position = since
                earlier = [c for c in self._history if c.version > since.of[c.kind] and _sees(caller, c.view)]
                async for change in in_turns(earlier):
                    position = position.after(change)
                    yield Message(change, position)
            async for message in self._live(reader, position):
                yield message
        finally:
            readers.discard(reader)
            if not readers and self._readers.get(caller.user) is readers:
                del self._readers[caller.user]

    async def _live(self, reader: _Reader, position: Positions) -> AsyncIterator[Message]:
        while True:
            if reader.reset is not None:
                reason, reader.reset = reader.reset, None
                position, now = Positions(dict(self._position)), self._all(reader.stream.caller.user)
                yield Message(Reset(reason))
                async for kind, view in in_turns(now):
                    if _sees(reader.stream.caller, view):
                        yield Message(Change(kind, int(view.resource_version), view))
                yield Message(Whole(), position)
            while reader.waiting:
                change = reader.waiting.popleft()
                if change.version > position.of.get(change.kind, 0):
                    position = position.after(change)
                    yield Message(change, position)
            if reader.stream.reason is not None:
                yield Message(Ended(reader.stream.reason))
                return
            if reader.lost:
                reason = (
                    f"more than {self._waiting} changes waited to be read: read faster, and go on after the last id"
                )
                yield Message(Ended(reason, dropped=True))
                return
            await reader.stream.pause(self._heartbeat_seconds)
            if not reader.waiting and reader.reset is None and not reader.lost and reader.stream.reason is None:
                # All up to here was told: who is cut off now need not be told again what concerned others.
                position = Positions({k: max(v, position.of.get(k, 0)) for k, v in self._position.items()})
                yield Message(Quiet(), position)

    def _all(self, user: str) -> list[tuple[Kind, View]]:
        """Everything of the user's as it is now, oldest first within a kind."""
        return [(kind, view) for kind, cache in self._caches.items() for view in cache.of_user(user)]

    def _covers(self, since: Positions) -> bool:
        return all(kind in since.of and since.of[kind] >= start for kind, start in self._since.items())

    async def _of_another_history(self, since: Positions, caller: Caller) -> bool:
        """Whether Kubernetes has never been there: its store was put back to an earlier state. Another gateway may be ahead of us."""
        ahead = [kind for kind, version in since.of.items() if version > self._position.get(kind, version)]
        try:
            for kind in ahead:
                now = await self._kube.current_version(kind, namespace=self._namespaces.of(caller.user))
                if since.of[kind] > int(now):
                    return True
        except (GoldcrestError, ValueError) as error:
            _log.warning("events.unsure", reason=str(error))
            return True
        return False

    def tell(self, change: Change) -> None:
        """For the sink alone, as are the following."""
        self._position[change.kind] = change.version
        self._history.append(change)
        while len(self._history) > self._history_most:
            forgotten = self._history.popleft()
            self._since[forgotten.kind] = forgotten.version
        for reader in self._readers.get(change.view.run_as, ()):
            reader.offer(change)

    def begin_anew(self, kind: Kind, version: int) -> None:
        """A whole list came in the place of changes."""
        self._history = deque(change for change in self._history if change.kind is not kind)
        self._since[kind] = self._position[kind] = version
        for reader in itertools.chain.from_iterable(self._readers.values()):
            reader.begin_anew(
                "the gateway had lost touch with Kubernetes, and does not know what was deleted meanwhile"
            )

    def advance(self, kind: Kind, version: int) -> None:
        self._position[kind] = version


class FeedingSink(Generic[V]):
    """Fills a cache and tells the feed. The gateway's own writes are told when the watch tells them: in its order."""

    def __init__(self, cache: ResourceCache[V], feed: Feed) -> None:
        self._cache = cache
        self._feed = feed

    def listed(self, raw: Raw, *, resource_version: str) -> None:
        self._cache.listed(raw, resource_version=resource_version)

    def apply(self, raw: Raw) -> None:
        self._tell(raw, self._cache.apply(raw), gone=False)

    def remove(self, raw: Raw) -> None:
        self._tell(raw, self._cache.remove(raw), gone=True)

    def retain(self, uids: Set[str], *, resource_version: str) -> None:
        self._cache.retain(uids, resource_version=resource_version)
        self._feed.begin_anew(self._cache.kind, int(resource_version))

    def advance(self, resource_version: str) -> None:
        self._cache.advance(resource_version)
        self._feed.advance(self._cache.kind, int(resource_version))

    def _tell(self, raw: Raw, view: V | None, *, gone: bool) -> None:
        if view is not None:
            self._feed.tell(Change(self._cache.kind, int(raw["metadata"]["resourceVersion"]), view, gone))


_WHY: Final = {
    False: "these are all that there are now",
    True: "what happened after this id is not known any more: these are all that there are now",
}


def _sees(caller: Caller, view: View) -> bool:
    return caller.sees(system=view.system, run_as=view.run_as)
