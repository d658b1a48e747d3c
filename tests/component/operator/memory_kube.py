"""A Kubernetes API in memory: resourceVersion, uid, generation, finalizers and watches as the real one has them."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from goldcrest.errors import Conflict, InvalidInput, KubernetesUnavailable, NotFound
from goldcrest.kube import AlreadyExists, Raw
from goldcrest.models.conditions import now
from goldcrest.models.job import JobResource
from goldcrest.wellknown import API_VERSION, FINALIZER, Kind

Listener = Callable[[str, Raw], None]


class MemoryKube:
    """Objects by kind, namespace and name; events and Leases by their path."""

    def __init__(self) -> None:
        self._objects: dict[tuple[Kind, str, str], Raw] = {}
        self._others: dict[str, Raw] = {}
        self._version = 100
        self.listeners: list[tuple[Kind, Listener]] = []
        self.status_writes: list[Raw] = []
        self.events: list[Raw] = []
        self.down = False

    # ---- what a user does ----

    def create(self, kind: Kind, name: str, spec: Raw, *, namespace: str = "", **meta: Any) -> Raw:
        key = (kind, namespace, name)
        if key in self._objects:
            raise AlreadyExists(name)
        metadata: Raw = {
            "name": name,
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": now(),
            "resourceVersion": self._next(),
            **({"namespace": namespace} if namespace else {}),
            **({"finalizers": [FINALIZER]} if kind is Kind.JOB else {}),
            **meta,
        }
        raw = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": metadata, "spec": spec}
        raw["status"] = {"observedGeneration": -1}
        self._objects[key] = raw
        self._tell("ADDED", kind, raw)
        return copy.deepcopy(raw)

    def edit(self, kind: Kind, name: str, *, namespace: str = "", **fields: Any) -> Raw:
        """Change fields of the spec."""
        return self._change(
            kind,
            namespace,
            name,
            lambda raw: raw["metadata"].update(generation=raw["metadata"]["generation"] + 1),
            fields,
        )

    def annotate(self, name: str, *, namespace: str, kind: Kind = Kind.JOB, **annotations: str | None) -> Raw:
        def change(raw: Raw) -> None:
            have = raw["metadata"].setdefault("annotations", {})
            for key, value in annotations.items():
                have.pop(key, None) if value is None else have.update({key: value})

        return self._change(kind, namespace, name, change, {})

    def put_config_map(self, namespace: str, name: str, **data: str) -> None:
        self._others[f"/api/v1/namespaces/{namespace}/configmaps/{name}"] = {"metadata": {"name": name}, "data": data}

    def remove_config_map(self, namespace: str, name: str) -> None:
        del self._others[f"/api/v1/namespaces/{namespace}/configmaps/{name}"]

    def script_of(self, job: JobResource) -> bytes | None:
        """What the ConfigMap holds now that a Job names."""
        key = job.spec.script.config_map
        if key is None:
            return None
        raw = self._others.get(f"/api/v1/namespaces/{job.namespace}/configmaps/{key.name}", {})
        text = raw.get("data", {}).get(key.key)
        return str(text).encode() if text is not None else None

    def look(self, kind: Kind, name: str, *, namespace: str = "") -> Raw | None:
        raw = self._objects.get((kind, namespace, name))
        return copy.deepcopy(raw) if raw is not None else None

    def listed(self, kind: Kind) -> list[Raw]:
        return [copy.deepcopy(raw) for (its, _, _), raw in self._objects.items() if its is kind]

    def snapshot(self) -> object:
        """All that is stored now."""
        return copy.deepcopy((self._objects, self._others, self._version))

    def put_back(self, snapshot: object) -> None:
        """As after the restore of a snapshot: nobody is told, and versions go on from where they were then."""
        self._objects, self._others, self._version = copy.deepcopy(snapshot)  # type: ignore[misc]

    # ---- what Kube does ----

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Raw:
        self._answer()
        return copy.deepcopy(self._get(kind, namespace or "", name))

    async def replace_status(self, kind: Kind, resource: Raw, status: Raw) -> Raw:
        self._answer()
        meta = resource["metadata"]
        raw = self._get(kind, meta.get("namespace", ""), meta["name"])
        if raw["metadata"]["uid"] != meta["uid"]:
            raise InvalidInput("the test of /metadata/uid failed")
        if raw["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise Conflict("the object has been modified")
        if raw["status"] == status:
            return copy.deepcopy(raw)
        raw["status"] = copy.deepcopy(status)
        raw["metadata"]["resourceVersion"] = self._next()
        if kind in (Kind.JOB, Kind.TASK):
            self.status_writes.append(copy.deepcopy(raw))
        self._tell("MODIFIED", kind, raw)
        return copy.deepcopy(raw)

    async def patch(self, kind: Kind, name: str, patch: Raw, *, namespace: str | None = None) -> Raw:
        self._answer()
        raw = self._get(kind, namespace or "", name)
        meta = patch["metadata"]
        for field in ("uid", "resourceVersion"):
            if meta.get(field, raw["metadata"][field]) != raw["metadata"][field]:
                raise Conflict(f"{field} differs")
        raw["metadata"]["finalizers"] = meta["finalizers"] or []
        raw["metadata"]["resourceVersion"] = self._next()
        self._tell("MODIFIED", kind, raw)
        self._reap(kind, namespace or "", name)
        return copy.deepcopy(raw)

    async def delete(self, kind: Kind, name: str, *, namespace: str | None = None, uid: str | None = None) -> None:
        self._answer()
        raw = self._get(kind, namespace or "", name)
        if uid is not None and raw["metadata"]["uid"] != uid:
            raise Conflict("uid differs")
        if "deletionTimestamp" not in raw["metadata"]:
            raw["metadata"]["deletionTimestamp"] = now()
            raw["metadata"]["generation"] += 1
            raw["metadata"]["resourceVersion"] = self._next()
            self._tell("MODIFIED", kind, raw)
        self._reap(kind, namespace or "", name)

    async def create_resource(self, kind: Kind, resource: Raw, *, namespace: str | None = None) -> Raw:
        """What :meth:`goldcrest.kube.Kube.create` does, of what only the operator makes."""
        self._answer()
        meta = resource["metadata"]
        key = (kind, namespace or "", meta["name"])
        if key in self._objects:
            raise AlreadyExists(meta["name"])
        raw = {
            **copy.deepcopy(resource),
            "metadata": {**meta, "uid": str(uuid.uuid4()), "resourceVersion": self._next()},
        }
        self._objects[key] = raw
        return copy.deepcopy(raw)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        seconds: float = 10.0,
    ) -> Raw:
        """Leases and events."""
        self._answer()
        if method == "POST":
            key = f"{path}/{body['metadata']['name']}"
            if key in self._others:
                raise AlreadyExists(key)
            self._others[key] = copy.deepcopy(body)
            if path.endswith("/events"):
                self.events.append(body)
        else:
            key = path
            if key not in self._others:
                raise NotFound(key)
        stored = self._others[key]
        if method == "PUT":
            if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
                raise Conflict(key)
            stored = self._others[key] = copy.deepcopy(body)
        if method != "GET":
            stored["metadata"]["resourceVersion"] = self._next()
        return copy.deepcopy(stored)

    def _answer(self) -> None:
        if self.down:
            raise KubernetesUnavailable("the API server is away")

    def _get(self, kind: Kind, namespace: str, name: str) -> Raw:
        raw = self._objects.get((kind, namespace, name))
        if raw is None:
            raise NotFound(f"{kind} {namespace}/{name} not found")
        return raw

    def _change(self, kind: Kind, namespace: str, name: str, change: Callable[[Raw], object], fields: Raw) -> Raw:
        raw = self._get(kind, namespace, name)
        change(raw)
        raw["spec"].update(fields)
        raw["metadata"]["resourceVersion"] = self._next()
        self._tell("MODIFIED", kind, raw)
        return copy.deepcopy(raw)

    def _reap(self, kind: Kind, namespace: str, name: str) -> None:
        raw = self._objects[kind, namespace, name]
        if "deletionTimestamp" in raw["metadata"] and not raw["metadata"].get("finalizers"):
            del self._objects[kind, namespace, name]
            self._tell("DELETED", kind, raw)

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _tell(self, type_: str, kind: Kind, raw: Raw) -> None:
        for wanted, listener in self.listeners:
            if wanted is kind:
                listener(type_, copy.deepcopy(raw))
