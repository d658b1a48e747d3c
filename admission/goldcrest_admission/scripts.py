"""The script of a new Job that is in a ConfigMap: read once, as somebody who may read it (T7)."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from goldcrest.errors import Denied, InvalidInput
from goldcrest.models.job import JobSpec
from goldcrest.scripts import script_of_config_map
from goldcrest_admission.requester import Requester


class ScriptReads(Protocol):
    """What is needed of :class:`goldcrest.kube.Kube`."""

    async def request(self, method: str, path: str) -> dict[str, Any]: ...

    async def review_access(
        self,
        *,
        user: str,
        groups: list[str],
        uid: str | None,
        verb: Literal["get"],
        resource: str,
        name: str,
        namespace: str | None,
        group: str,
    ) -> bool: ...


class Scripts:
    """Reads ConfigMaps for those who may read them themselves: else a job's output would show what its maker may not see."""

    def __init__(self, kube: ScriptReads) -> None:
        self._kube = kube

    async def of(self, spec: JobSpec, requester: Requester, *, namespace: str) -> bytes | None:
        """What the ConfigMap holds that the spec names; None when it names none.

        Raises:
            Denied: requester, or we, may not read it.
            NotFound, InvalidInput, Unavailable.
        """
        key = spec.script.config_map
        if key is None:
            return None
        if requester.via_grant:
            raise InvalidInput("spec.script.configMap is for gjobs that are made through the Kubernetes API")
        person = requester.requested_by
        may = await self._kube.review_access(
            user=person.username,
            groups=list(person.groups),
            uid=person.uid,
            verb="get",
            resource="configmaps",
            name=key.name,
            namespace=namespace,
            group="",
        )
        if not may:
            raise Denied(
                f"{person.username} may not get configmaps {key.name!r} in namespace {namespace}, which spec.script.configMap names: "
                "ask for a Role with the verb get on it there"
            )
        return await script_of_config_map(self._kube, key, namespace=namespace)
