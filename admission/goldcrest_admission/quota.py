"""How many Tasks a Unix user may have at once: etcd is no database, and each query makes one."""

from __future__ import annotations

from typing import Protocol

from goldcrest.errors import QuotaExceeded
from goldcrest.wellknown import TASKS_OF_USER, Kind


class Counts(Protocol):
    """What is needed of :class:`goldcrest.kube.Kube`."""

    async def count(self, kind: Kind, *, namespace: str) -> int: ...
    async def count_of(self, kind: Kind, *, namespace: str, user: str) -> int: ...


class TaskQuota:
    """Counts what is there in the namespace, by whichever door it came. Some that are made in the same moment may be too many."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    async def check(self, *, namespace: str, user: str) -> None:
        """
        Raises:
            QuotaExceeded: with what to do.
            KubernetesUnavailable: they could not be counted.
        """
        if await self._counts.count(Kind.TASK, namespace=namespace) < TASKS_OF_USER:
            return  # almost always; only a namespace with so many is read
        if await self._counts.count_of(Kind.TASK, namespace=namespace, user=user) >= TASKS_OF_USER:
            raise QuotaExceeded(
                f"{user} has {TASKS_OF_USER} Tasks in namespace {namespace}, and no more may be there at once: "
                "delete some (kubectl delete gtask), or wait until older ones are gone"
            )
