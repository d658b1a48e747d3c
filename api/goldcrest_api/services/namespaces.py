"""Namespaces of users: where resources made through REST live."""

from __future__ import annotations

from goldcrest.errors import NotFound
from goldcrest.kube import AlreadyExists, Kube
from goldcrest.telemetry import Log
from goldcrest.wellknown import CATEGORY

_log = Log(__name__)


class Namespaces:
    """Makes a missing namespace where that is allowed, else says who has to.

    Args:
        create: whether the gateway may make them.
    """

    def __init__(self, kube: Kube, *, create: bool) -> None:
        self._kube = kube
        self._create = create

    async def make(self, name: str) -> None:
        """Make it; one that is there meanwhile is fine.

        Raises:
            NotFound: it is missing and the gateway does not make them.
            Denied, KubernetesUnavailable: of the API server.
        """
        if not self._create:
            raise NotFound(
                f"The namespace {name}, which holds your resources, does not exist: "
                f"an administrator must make it (kubectl create namespace {name})"
            )
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": CATEGORY}},
        }
        try:
            await self._kube.request("POST", "/api/v1/namespaces", body=body)
        except AlreadyExists:
            return  # another request, or another gateway, was faster
        _log.info("namespace.made", namespace=name)
