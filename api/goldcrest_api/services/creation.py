"""Making a resource, so that a lost answer or a missing namespace is no failure."""

from __future__ import annotations

import asyncio
from typing import Final

from goldcrest.errors import KubernetesUnavailable, NotFound
from goldcrest.kube import AlreadyExists, Kube, Raw
from goldcrest.wellknown import Kind
from goldcrest_api.services.namespaces import Namespaces

_PAUSE_SECONDS: Final = 0.2  # before it is looked whether an answer that was lost had made it


class Creator:
    """Makes resources of callers."""

    def __init__(self, *, kube: Kube, namespaces: Namespaces) -> None:
        self._kube = kube
        self._namespaces = namespaces

    async def create(self, kind: Kind, resource: Raw) -> Raw:
        """The resource as it is stored; one of this name that is there is taken for it: names are random, or made of a key.

        Raises:
            KubernetesUnavailable, Denied, InvalidInput, QuotaExceeded, NotFound: nothing was made.
        """
        meta = resource["metadata"]
        namespace = meta["namespace"]
        try:
            try:
                return await self._kube.create(kind, resource, namespace=namespace)
            except NotFound:
                await self._namespaces.make(namespace)
                return await self._kube.create(kind, resource, namespace=namespace)
        except AlreadyExists:
            return await self._kube.get(kind, meta["name"], namespace=namespace)
        except KubernetesUnavailable:
            # The answer may have been lost after it was made: saying "failed" would make the client ask twice.
            return await self._ours(kind, resource)

    async def _ours(self, kind: Kind, resource: Raw) -> Raw:
        meta = resource["metadata"]
        await asyncio.sleep(_PAUSE_SECONDS)
        try:
            return await self._kube.get(kind, meta["name"], namespace=meta["namespace"])
        except NotFound as error:
            raise KubernetesUnavailable(f"the {kind} could not be made: the Kubernetes API did not answer") from error
