"""A thin client of the Kubernetes API: raw JSON in and out, our errors, a time-out on everything.

kubernetes_asyncio finds cluster and credentials (kubeconfig, in-cluster); its generated models are not used, because digests and
signatures are made over the JSON as the API server stores it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
import orjson
from kubernetes_asyncio import config as kube_config
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException

from goldcrest.errors import (
    Conflict,
    Denied,
    GoldcrestError,
    InvalidInput,
    KubernetesUnavailable,
    NotFound,
    QuotaExceeded,
    Unauthenticated,
)
from goldcrest.tls import client_context
from goldcrest.tracing import CLIENT, span
from goldcrest.wellknown import GROUP, VERSION, Kind

REQUEST_SECONDS = 10.0
WATCH_SECONDS = 290  # the server ends a watch after this; it is then opened anew
PAGE = 500  # objects of one answer: with scripts of 64 KiB that is 32 MiB

_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

Raw = dict[str, Any]


class AlreadyExists(Conflict):
    """An object of this name is there already."""

    code = "AlreadyExists"


class ResourceVersionTooOld(KubernetesUnavailable):
    """410 Gone: list again."""

    code = "ResourceVersionTooOld"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: type is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Raw


def resource_path(
    kind: Kind, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None
) -> str:
    """URL path of one of our resources, or of their list. Names are quoted: one from outside cannot reach another path."""
    parts = [f"/apis/{GROUP}/{VERSION}"]
    if namespace is not None:
        parts.append(f"namespaces/{_segment(namespace)}")
    parts.append(kind.plural)
    if name is not None:
        parts.append(_segment(name))
    if subresource is not None:
        parts.append(subresource)
    return "/".join(parts)


def config_map_path(namespace: str, name: str) -> str:
    """URL path of a ConfigMap."""
    return f"/api/v1/namespaces/{_segment(namespace)}/configmaps/{_segment(name)}"


def _segment(name: str) -> str:
    if name in ("", ".", ".."):  # URL libraries resolve these, quoted or not
        raise InvalidInput(f"{name!r} is no name of a Kubernetes object")
    return quote(name, safe="")


class Kube:
    """The Kubernetes API, as one account. Open with :meth:`connect`, close with :meth:`close`."""

    def __init__(self, configuration: Configuration, kubeconfig: Path | None, context: ssl.SSLContext) -> None:
        self._configuration = configuration
        self._kubeconfig = kubeconfig
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=100, ssl=context),
            read_bufsize=2**21,  # one line of a watch is a whole object
            json_serialize=lambda value: orjson.dumps(value).decode(),
        )

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Kube:
        """Use ``kubeconfig``, or the pod's service account when it is None."""
        configuration = await _load(kubeconfig)
        certificate = Path(configuration.cert_file) if configuration.cert_file else None
        key = Path(configuration.key_file) if configuration.key_file else certificate  # one file may hold both
        # In a thread, as reading all certificates of a system takes some 60 ms of a processor.
        context = await asyncio.to_thread(client_context, configuration.ssl_ca_cert, certificate=certificate, key=key)
        return cls(configuration, kubeconfig, context)

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        accept: str = _JSON,
        seconds: float = REQUEST_SECONDS,
    ) -> Raw:
        """One request and its JSON answer.

        Raises:
            NotFound, AlreadyExists, Conflict, Denied, InvalidInput: what the server said, in its words.
            KubernetesUnavailable: no answer, throttled, or a fault of the server.
        """
        with span(f"Kubernetes {method}", kind=CLIENT):
            for attempt in (1, 2):
                async with self._open(method, path, query, body, content_type, accept, seconds) as response:
                    data = await _read(response)
                    if response.status == 401 and attempt == 1:
                        await self._reload()
                        continue
                    if response.status >= 400:
                        raise _error(response.status, data)
                    return data
        raise AssertionError("unreachable")

    async def _reload(self) -> None:
        """A projected token was renewed: the one that we hold has expired."""
        self._configuration = await _load(self._kubeconfig)

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        content_type: str,
        accept: str,
        seconds: float | None,
    ) -> _Opening:
        # Lists are large and near: packing and unpacking them is a part of what a start costs on both sides.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        token = self._configuration.api_key.get("BearerToken")
        if token:
            headers["Authorization"] = token if token.startswith("Bearer ") else f"Bearer {token}"
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = orjson.dumps(body)
        return _Opening(
            self._session.request(
                method,
                f"{self._configuration.host}{path}",
                params=query,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=5),
            )
        )

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Raw:
        return await self.request("GET", resource_path(kind, namespace=namespace, name=name))

    async def create(self, kind: Kind, resource: Raw, *, namespace: str | None = None) -> Raw:
        """Create strictly: unknown fields are an error."""
        return await self.request(
            "POST", resource_path(kind, namespace=namespace), query={"fieldValidation": "Strict"}, body=resource
        )

    async def list_all(
        self, kind: Kind, *, namespace: str | None = None, query: Mapping[str, str] | None = None
    ) -> Raw:
        return await self.request("GET", resource_path(kind, namespace=namespace), query=query, seconds=60)

    async def versions(self, kind: Kind, *, namespace: str) -> dict[str, str]:
        """uid and resourceVersion of all that a namespace holds now; nothing of the objects' content is sent."""
        found: dict[str, str] = {}
        query = {"limit": str(PAGE)}
        while True:
            page = await self.request("GET", resource_path(kind, namespace=namespace), query=query, accept=_METADATA)
            for item in page.get("items") or []:
                found[item["metadata"]["uid"]] = item["metadata"]["resourceVersion"]
            following = page["metadata"].get("continue")
            if not following:
                return found
            query = {"limit": str(PAGE), "continue": following}

    async def count(self, kind: Kind, *, namespace: str) -> int:
        """How many there are in a namespace now; as cheap as reading one."""
        page = await self.request(
            "GET", resource_path(kind, namespace=namespace), query={"limit": "1"}, accept=_METADATA
        )
        return len(page.get("items") or []) + int(page["metadata"].get("remainingItemCount") or 0)

    async def count_of(self, kind: Kind, *, namespace: str, user: str) -> int:
        """How many of them run as a Unix user. Reads the namespace whole (selectable fields have no index): not for every request."""
        found, query = 0, {"limit": str(PAGE), "fieldSelector": f"spec.runAs={user}"}
        while True:
            page = await self.request("GET", resource_path(kind, namespace=namespace), query=query, accept=_METADATA)
            found += len(page.get("items") or [])
            following = page["metadata"].get("continue")
            if not following:
                return found
            query = {**query, "continue": following}

    async def current_version(self, kind: Kind, *, namespace: str | None = None) -> str:
        """The resource version of the store now."""
        path = resource_path(kind, namespace=namespace)
        page = await self.request("GET", path, query={"limit": "1"}, accept=_METADATA)
        return str(page["metadata"]["resourceVersion"])

    async def replace_status(self, kind: Kind, resource: Raw, status: Raw) -> Raw:
        """Write a whole status, only if nobody changed the resource since it was read (its resourceVersion is sent).

        Raises:
            Conflict: somebody did; read again and decide again.
        """
        meta = resource["metadata"]
        path = resource_path(kind, namespace=meta.get("namespace"), name=meta["name"], subresource="status")
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        return await self.request("PATCH", path, body=patch, content_type="application/json-patch+json")

    async def patch(self, kind: Kind, name: str, patch: Raw, *, namespace: str | None = None) -> Raw:
        """JSON merge patch; put ``metadata.resourceVersion`` into it to make it conditional."""
        path = resource_path(kind, namespace=namespace, name=name)
        return await self.request("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def delete(self, kind: Kind, name: str, *, namespace: str | None = None, uid: str | None = None) -> None:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}} if uid else None
        await self.request("DELETE", resource_path(kind, namespace=namespace, name=name), body=body)

    async def watch(
        self,
        kind: Kind,
        *,
        resource_version: str,
        namespace: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Events after ``resource_version`` until the server ends the watch (every few minutes: open it anew).

        Raises:
            ResourceVersionTooOld: list again.
            KubernetesUnavailable, Unauthenticated, Denied: it was not opened, or was cut.
        """
        query = {
            **(query or {}),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        path = resource_path(kind, namespace=namespace)
        for attempt in (1, 2):
            async with self._open("GET", path, query, None, "", _JSON, WATCH_SECONDS + 30) as response:
                if response.status == 401 and attempt == 1:
                    await self._reload()
                    continue
                if response.status >= 400:
                    raise _error(response.status, await _read(response))
                async for event in _events(response, kind):
                    yield event
                return

    async def cluster_id(self) -> str:
        """uid of the namespace kube-system: what the field uses as the identity of a cluster."""
        raw = await self.request("GET", "/api/v1/namespaces/kube-system")
        return str(raw["metadata"]["uid"])

    async def review_token(self, token: str, audience: str) -> Raw:
        """TokenReview: ``status`` of the answer."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        status: Raw = (await self.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)).get(
            "status", {}
        )
        return status

    async def review_access(
        self,
        *,
        user: str,
        groups: list[str],
        uid: str | None,
        verb: Literal["use", "manage", "get"],
        resource: str,
        name: str,
        namespace: str | None,
        group: str = GROUP,
    ) -> bool:
        """SubjectAccessReview, on one of our group's resources unless said otherwise: allowed or not."""
        attributes: Raw = {"group": group, "resource": resource, "verb": verb, "name": name}
        if namespace is not None:
            attributes["namespace"] = namespace
        spec: Raw = {"user": user, "groups": groups, "resourceAttributes": attributes}
        if uid:
            spec["uid"] = uid
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
        return answer.get("status", {}).get("allowed") is True


class _Opening:
    """A request whose transport errors are ours."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            response: aiohttp.ClientResponse = await self._context.__aenter__()
            return response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubernetesUnavailable(f"the Kubernetes API does not answer: {error!r}") from error

    async def __aexit__(self, *exception: Any) -> None:
        await self._context.__aexit__(*exception)


async def _events(response: aiohttp.ClientResponse, kind: Kind) -> AsyncIterator[WatchEvent]:
    try:
        while line := await response.content.readline():
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                raise _error(int(event["object"].get("code", 500)), event["object"])
            yield WatchEvent(event["type"], event["object"])
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise KubernetesUnavailable(f"the watch of {kind.plural} was cut: {error!r}") from error


async def _read(response: aiohttp.ClientResponse) -> Raw:
    try:
        body = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise KubernetesUnavailable(f"the answer of the Kubernetes API was cut: {error!r}") from error
    try:
        data = orjson.loads(body) if body else {}
    except ValueError:
        data = {"message": body[:500].decode("utf-8", "replace")}
    return data if isinstance(data, dict) else {"value": data}


def _error(status: int, data: Raw) -> GoldcrestError:
    message = str(data.get("message") or f"status {status}")
    reason = data.get("reason")
    match status:
        case 400 | 422:
            return InvalidInput(message)
        case 401:
            return Unauthenticated(f"the Kubernetes API does not know us: {message}")
        case 403:
            return Denied(message)
        case 404:
            return NotFound(message)
        case 409:
            return AlreadyExists(message) if reason == "AlreadyExists" else Conflict(message)
        case 410:
            return ResourceVersionTooOld(f"the Kubernetes API answered 410: {message}")
        case 429 if "denied the request" in message:  # a webhook said so; the API server's own 429 is about its load
            return QuotaExceeded(message)
    if reason == "Expired":
        return ResourceVersionTooOld(message)
    return KubernetesUnavailable(f"the Kubernetes API answered {status}: {message}")


async def _load(kubeconfig: Path | None) -> Configuration:
    configuration = Configuration()
    try:
        if kubeconfig is None:
            kube_config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        else:
            await kube_config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    except (ConfigException, OSError) as error:
        source = "the pod's service account" if kubeconfig is None else str(kubeconfig)
        raise KubernetesUnavailable(f"no credentials for the Kubernetes API in {source}: {error}") from error
    return configuration


async def pause(seconds: float, stop: asyncio.Event) -> bool:
    """Wait ``seconds`` or until ``stop``; true when stopped."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
