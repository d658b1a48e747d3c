"""Which Systems exist, as read a few seconds ago at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from goldcrest.errors import NotFound
from goldcrest.models.base import parse_model
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import Kind

SYSTEM_SECONDS: Final = 5.0
_ENTRIES = 1024
_NAMED = 20  # systems in a message


class SystemReads(Protocol):
    """What is needed of :class:`goldcrest.kube.Kube`."""

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> dict[str, Any]: ...

    async def list_all(
        self, kind: Kind, *, namespace: str | None = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]: ...


class Systems:
    """A short cache of System specs, in front of the Kubernetes API."""

    def __init__(self, kube: SystemReads, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._read: dict[str, tuple[float, SystemSpec]] = {}

    async def get(self, name: str) -> SystemSpec:
        """The spec of a System.

        Raises:
            NotFound: naming the known ones.
            KubernetesUnavailable: it could not be read.
        """
        now = self._clock()
        cached = self._read.get(name)
        if cached is not None and now - cached[0] < SYSTEM_SECONDS:
            return cached[1]
        try:
            raw = await self._kube.get(Kind.SYSTEM, name)
        except NotFound as error:
            self._read.pop(name, None)
            raise NotFound(f"there is no System {name!r}; known are: {await self._names()}") from error
        spec = parse_model(SystemSpec, raw.get("spec"), what=f"spec of System {name}")
        if len(self._read) >= _ENTRIES:
            self._read.clear()
        self._read[name] = (now, spec)
        return spec

    async def _names(self) -> str:
        listed = await self._kube.list_all(Kind.SYSTEM)
        names = sorted(str(item["metadata"]["name"]) for item in listed.get("items", ()))
        if not names:
            return "none (an administrator makes them)"
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more
