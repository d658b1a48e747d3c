"""Read-your-writes on every replica: what somebody was told through one gateway, the next answer of any other one knows."""

from __future__ import annotations

import asyncio
from typing import Final, Generic, TypeVar

from goldcrest.errors import GoldcrestError, InvalidInput, KubernetesUnavailable, NotFound
from goldcrest.kube import Kube, Raw
from goldcrest.reflector import PAGE, Reflector
from goldcrest.telemetry import Log
from goldcrest.turns import in_turns
from goldcrest_api.resource_cache import ResourceCache, View

_log = Log(__name__)
_ANSWER_SECONDS: Final = 1.0  # for Kubernetes to say what there is
_LOOKS, _LOOK_SECONDS = 25, 0.02  # for the watch to tell it too: it mostly has, or does within milliseconds
_LIVE_SECONDS: Final = 5.0  # for reading a namespace whole

V = TypeVar("V", bound=View)


class Freshness(Generic[V]):
    """Brings one kind's cache up to what Kubernetes has now, where the watch has not told it yet.

    Args:
        reflector: who fills the cache: tells whether it is whole.
    """

    def __init__(self, *, kube: Kube, cache: ResourceCache[V], reflector: Reflector) -> None:
        self._kube = kube
        self._cache = cache
        self._reflector = reflector
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}

    async def live(self, namespace: str, name: str) -> V | None:
        """One resource as it is now; None when there is none.

        Raises:
            KubernetesUnavailable: it does not answer.
        """
        try:
            return self._cache.learn(await self._kube.get(self._cache.kind, name, namespace=namespace))
        except NotFound:
            return None

    async def catch_up(self, namespace: str) -> None:
        """As :meth:`refresh`, but the cache as it is does while Kubernetes is away: an old answer is better than none.

        Raises:
            KubernetesUnavailable: the cache has never been filled.
        """
        if not self._reflector.synced.is_set():
            raise KubernetesUnavailable(f"the gateway has not read the {self._cache.kind}s yet")
        try:
            await self.refresh(namespace)
        except GoldcrestError as error:
            _log.warning("lookup.behind", kind=self._cache.kind.value, namespace=namespace, reason=error.message)

    async def refresh(self, namespace: str) -> None:
        """Return when the cache has what the namespace held when this was called.

        Who asks while a look is under way shares the next one with all others who do: twenty clients that poll cost no more than one.

        Raises:
            GoldcrestError: Kubernetes does not answer.
        """
        following = self._following.get(namespace)
        if following is None:
            following = asyncio.create_task(self._look_after(self._looks.get(namespace), namespace))
            self._following[namespace] = following
            following.add_done_callback(_seen)
        await asyncio.shield(following)

    async def _look_after(self, earlier: asyncio.Task[None] | None, namespace: str) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        task = self._following.pop(namespace)  # this one: who comes from now on needs another look
        self._looks[namespace] = task
        try:
            await self._look(namespace)
        finally:
            if self._looks.get(namespace) is task:
                del self._looks[namespace]

    async def _look(self, namespace: str) -> None:
        """On a quiet cluster the watch says nothing for a minute, so that its position alone tells nothing: the objects'
        versions are compared.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                there = await self._kube.versions(self._cache.kind, namespace=namespace)
        except TimeoutError as error:
            raise KubernetesUnavailable(f"the Kubernetes API did not answer within {_ANSWER_SECONDS:g} s") from error
        for _ in range(_LOOKS):
            if self._cache.has_all(there):
                return
            await asyncio.sleep(_LOOK_SECONDS)
        await self._learn_all(namespace)  # the watch is cut, or slow

    async def _learn_all(self, namespace: str) -> None:
        query = {"limit": str(PAGE)}
        try:
            async with asyncio.timeout(_LIVE_SECONDS):
                while True:
                    page = await self._kube.list_all(self._cache.kind, namespace=namespace, query=query)
                    async for raw in in_turns(page.get("items") or []):
                        self._learn(raw)
                    following = page["metadata"].get("continue")
                    if not following:
                        return
                    query = {"limit": str(PAGE), "continue": following}
        except TimeoutError as error:
            kind = self._cache.kind
            raise KubernetesUnavailable(f"the {kind}s were not read within {_LIVE_SECONDS:g} s") from error

    def _learn(self, raw: Raw) -> None:
        try:
            self._cache.learn(raw)
        except InvalidInput as error:  # of another release; it hides no others
            _log.warning("lookup.unreadable", name=raw["metadata"].get("name"), reason=error.message)


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waited was told; nobody may be left to
