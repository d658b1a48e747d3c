"""List, then watch, for ever: keeps a cache equal to what the API server has."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Set
from contextlib import aclosing
from typing import Final, Protocol, cast

from goldcrest.errors import GoldcrestError
from goldcrest.kube import Kube, Raw, ResourceVersionTooOld, WatchEvent
from goldcrest.telemetry import Log
from goldcrest.turns import Turns, in_turns
from goldcrest.wellknown import Kind

_log = Log(__name__)

PAGE: Final = 100  # objects of one answer: with scripts of 64 KiB it is 6 MiB, and read in less than 50 ms
SILENCE_SECONDS: Final = 120.0  # bookmarks come about once a minute: longer silence is a dead connection
_OPENED_SECONDS = 15.0  # longer than connecting to the API server may take
_SHORTEST_WATCH = 1.0  # seconds; a server that ends watches faster than this is not asked again at once
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0  # seconds between attempts, doubled each time, with jitter


class Sink(Protocol):
    """Where a reflector puts what it learns. Called on the event loop, never concurrently."""

    def listed(self, raw: Raw, *, resource_version: str) -> object:
        """An object of a list of that version, in no order; the list ends with :meth:`retain`."""

    def apply(self, raw: Raw) -> object:
        """An object is new or changed."""

    def remove(self, raw: Raw) -> object:
        """An object is gone."""

    def retain(self, uids: Set[str], *, resource_version: str) -> None:
        """A whole list of ``resource_version`` was applied, page by page; these were all."""

    def advance(self, resource_version: str) -> None:
        """Everything up to this version was told."""


class Reflector:
    """Keeps one kind's cache up to date until it is cancelled.

    Args:
        labels: selects by labels, in the API server's spelling; empty for all.
        page: objects of one answer.

    ``synced`` is set once the first whole list is in, and stays set: an old answer is better than none while the API server is away.
    """

    def __init__(self, kube: Kube, kind: Kind, sink: Sink, *, labels: str = "", page: int = PAGE) -> None:
        self._kube = kube
        self.kind = kind
        self._sink = sink
        self._select = {"labelSelector": labels} if labels else {}
        self._page = page
        self._position: str | None = None
        self._lost_at: float | None = time.monotonic()
        self._opened_at = float("inf")
        self.synced = asyncio.Event()

    @property
    def stale_seconds(self) -> float:
        """For how long nothing has been learnt because no watch was open; 0 while one is."""
        now = time.monotonic()
        # A quiet watch says nothing for a minute; one that could not be opened has failed by then.
        if self._lost_at is None or now - self._opened_at > _OPENED_SECONDS:
            return 0.0
        return now - self._lost_at

    async def run(self) -> None:
        """Until cancelled; every failure is logged and tried again."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                if self._position is None or await self._went_back(self._position):
                    self._position = await self._list()
                await self._watch(self._position)
                if time.monotonic() - began > _SHORTEST_WATCH:
                    pause = _FIRST_PAUSE
                    continue
                reason = "the watch ended at once"
            except ResourceVersionTooOld:
                self._position = None
                reason = "the version is too old: listing again"
            except (GoldcrestError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            except Exception:
                # Whatever it is, a gateway that no longer learns anything would be worse.
                _log.exception("reflector.broken", kind=self.kind.value)
                self._position = None
                reason = "unexpected"
            self._note_loss()
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            _log.warning("reflector.retry", kind=self.kind.value, reason=reason, pause_seconds=round(pause, 1))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _note_loss(self) -> None:
        if self.stale_seconds == 0.0:
            self._lost_at = time.monotonic()
        self._opened_at = float("inf")

    async def _went_back(self, position: str) -> bool:
        """Whether the store is at an earlier version than the watch was: it was put back (a restored snapshot of etcd). A watch from
        ``position`` would be silent until that is passed."""
        now = await self._kube.current_version(self.kind)
        if not newer(position, now):
            return False
        _log.error("reflector.store_went_back", kind=self.kind.value, position=position, now=now)
        return True

    async def _list(self) -> str:
        uids: set[str] = set()
        following: asyncio.Task[Raw] | None = self._ask_page()
        try:
            while following is not None:
                page = await following
                meta = page["metadata"]
                # The next one is on its way while this one is looked at.
                following = self._ask_page(meta["continue"]) if meta.get("continue") else None
                async for raw in in_turns(page.get("items") or []):
                    uids.add(raw["metadata"]["uid"])
                    # Page by page: 10 000 scripts would not fit into memory at once. All have the same version.
                    self._sink.listed(raw, resource_version=str(meta["resourceVersion"]))
        finally:
            if following is not None:
                following.cancel()
        position = str(meta["resourceVersion"])
        self._sink.retain(uids, resource_version=position)
        self._lost_at = None
        self.synced.set()
        _log.info("reflector.listed", kind=self.kind.value, objects=len(uids))
        return position

    def _ask_page(self, following: str = "") -> asyncio.Task[Raw]:
        query = {"limit": str(self._page), **self._select, **({"continue": following} if following else {})}
        return asyncio.create_task(self._kube.list_all(self.kind, query=query))

    async def _watch(self, position: str) -> None:
        """Until the server ends it, which it does every few minutes."""
        watch = cast(
            "AsyncGenerator[WatchEvent]", self._kube.watch(self.kind, resource_version=position, query=self._select)
        )
        self._opened_at = time.monotonic()
        turns = Turns()
        async with aclosing(watch) as events:
            while True:
                try:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                match event.type:
                    case "ADDED" | "MODIFIED":
                        self._sink.apply(event.object)
                    case "DELETED":
                        self._sink.remove(event.object)
                self._position = str(event.object["metadata"]["resourceVersion"])
                self._sink.advance(self._position)
                self._lost_at = None
                await turns.give()  # of 2 MiB that came at once, some hundred Jobs, each is read without waiting


def newer(left: str, right: str) -> bool:
    """Whether resource version ``left`` is later than ``right``.

    They are decimal numbers that grow (KEP-5504); should one be something else, the later arrival counts as newer.
    """
    try:
        return int(left) > int(right)
    except ValueError:
        return left != right
