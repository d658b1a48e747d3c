"""Namespaces of users: where resources made through REST live."""

from __future__ import annotations

from collections.abc import Mapping

from goldcrest.errors import NotFound
from goldcrest.kube import AlreadyExists, Kube
from goldcrest.telemetry import Log
from goldcrest.wellknown import CATEGORY, namespace_of_user

_log = Log(__name__)


class Namespaces:
    """Knows users' namespaces; makes a missing one where that is allowed, else says who has to.

    Args:
        create: whether the gateway may make them.
        others: namespaces of Unix users that have another than the usual one.
    """

    def __init__(self, kube: Kube, *, create: bool, others: Mapping[str, str]) -> None:
        self._kube = kube
        self._create = create
        self._others = dict(others)

    def of(self, user: str) -> str:
        """Where the resources of this Unix user are."""
        return self._others.get(user) or namespace_of_user(user)

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
