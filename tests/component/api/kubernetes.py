"""A stand-in for the Kubernetes API over HTTP: objects with resource versions, lists with pages, watches, and faults on demand."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

GROUP = "/apis/hpc.goldcrest.dev/v1alpha1"


class Kubernetes:
    """Start with :meth:`start`; tests change objects with :meth:`put` and :meth:`set_status`."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.namespaces: set[str] = {"kube-system"}
        self.deny: str | None = None
        """Reason with which admission refuses every creation."""
        self.quota_reached = False
        """Admission counts too many Tasks."""
        self.down = False
        """Every request but watches under way gets 503."""
        self.token = "gateway"
        """The only one that is known now; others get 401."""
        self.refuse_watches = False
        """New watches get 503."""
        self.lose_answers = False
        """Creations take effect, but the answer is a 500."""
        self.conflicts = 0
        """So many patches are refused with 409."""
        self.requests: list[str] = []
        self._events: list[tuple[int, str, dict[str, Any]]] = []
        self._compacted = 0
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.kubeconfig = Path()

    async def start(self, directory: Path) -> Path:
        """Listen on loopback; returns a kubeconfig."""
        await self._listen()
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig))
        return self.kubeconfig

    def renew_token(self, token: str) -> None:
        """The token in the kubeconfig is another one now, and the one before has expired."""
        content = self.kubeconfig.read_text()
        self.kubeconfig.write_text(content.replace(f"token: {self.token}\n", f"token: {token}\n"))
        self.token = token

    async def _listen(self) -> None:
        app = web.Application(middlewares=[self._faults])
        app.router.add_get(GROUP + "/{plural}", self._list)
        app.router.add_get(GROUP + "/namespaces/{namespace}/{plural}", self._list)
        app.router.add_post(GROUP + "/namespaces/{namespace}/{plural}", self._create)
        app.router.add_get(GROUP + "/namespaces/{namespace}/{plural}/{name}", self._get)
        app.router.add_patch(GROUP + "/namespaces/{namespace}/{plural}/{name}", self._patch)
        app.router.add_get("/api/v1/namespaces/{name}", self._namespace)
        app.router.add_post("/api/v1/namespaces", self._make_namespace)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def tasks(self) -> list[dict[str, Any]]:
        return [value for (plural, _, _), value in self.objects.items() if plural == "tasks"]

    async def set_task_status(self, name: str, status: dict[str, Any]) -> None:
        """Write the status of the Task with this name, as the operator would."""
        (task,) = (task for task in self.tasks() if task["metadata"]["name"] == name)
        await self.put("tasks", {**task, "status": status})

    def jobs(self) -> list[dict[str, Any]]:
        return [value for (plural, _, _), value in self.objects.items() if plural == "jobs"]

    async def put(self, plural: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Add or replace an object, as somebody else would."""
        raw = copy.deepcopy(raw)
        meta = raw["metadata"]
        key = (plural, meta.get("namespace", ""), meta["name"])
        kind = "MODIFIED" if key in self.objects else "ADDED"
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        self.objects[key] = raw
        await self._tell(kind, raw)
        return raw

    async def set_status(self, name: str, status: dict[str, Any]) -> None:
        """Write the status of the Job with this name, as the operator would."""
        (job,) = (job for job in self.jobs() if job["metadata"]["name"] == name)
        await self.put("jobs", {**job, "status": {**job.get("status", {}), **status}})

    def put_quietly(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """As :meth:`set_status`; watches are told by :meth:`tell_all`, all in one piece."""
        key = ("jobs", namespace, name)
        raw = copy.deepcopy(self.objects[key])
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        raw["status"] = {**raw.get("status", {}), **status}
        self.objects[key] = raw
        self._events.append((self.version, "MODIFIED", raw))

    async def tell_all(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def remove(self, plural: str, name: str) -> None:
        (key,) = (key for key in self.objects if key[0] == plural and key[2] == name)
        raw = self.objects.pop(key)
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        await self._tell("DELETED", raw)

    async def bookmark(self) -> None:
        """Tell the watches of all kinds how far everything was told, as the API server does once a minute."""
        self.version += 1
        meta = {"resourceVersion": str(self.version)}
        self._events += [(self.version, "BOOKMARK", {"kind": kind, "metadata": meta}) for kind in ("Job", "Task")]
        async with self._news:
            self._news.notify_all()

    def compact(self) -> None:
        """Forget history: watches from an earlier version get 410."""
        self._compacted = self.version
        self._events.clear()

    async def cut_watches(self) -> None:
        """End all connections and refuse new ones, until :meth:`start_again`."""
        await self.stop()

    async def start_again(self) -> None:
        """Listen on the same port as before."""
        await self._listen()

    async def _tell(self, kind: str, raw: dict[str, Any]) -> None:
        async with self._news:
            self._events.append((self.version, kind, copy.deepcopy(raw)))
            self._news.notify_all()

    @web.middleware
    async def _faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.down:
            return _status(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized", "Unauthorized")
        response: web.StreamResponse = await handler(request)
        return response

    async def _list(self, request: web.Request) -> web.StreamResponse:
        plural, namespace = request.match_info["plural"], request.match_info.get("namespace")
        if request.query.get("watch"):
            return await self._watch(request, plural)
        keys = sorted(key for key in self.objects if key[0] == plural and namespace in (None, key[1]))
        begin = int(request.query.get("continue") or 0)
        end = begin + int(request.query.get("limit") or len(keys) or 1)
        meta = {"resourceVersion": str(self.version)}
        if end < len(keys):
            meta["continue"] = str(end)
        items = [self.objects[key] for key in keys[begin:end]]
        if "as=PartialObjectMetadataList" in request.headers.get("Accept", ""):
            items = [{"metadata": item["metadata"]} for item in items]
        return web.json_response({"metadata": meta, "items": items})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        if self.refuse_watches:
            return _status(503, "ServiceUnavailable", "no watches")
        position = int(request.query["resourceVersion"])
        if position < self._compacted:
            return _status(410, "Expired", "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            async with self._news:
                for version, kind, raw in [event for event in self._events if event[0] > position]:
                    position = version
                    if _plural(raw) == plural:
                        await response.write(json.dumps({"type": kind, "object": raw}).encode() + b"\n")
                await self._news.wait()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        found = self.objects.get(_key(request))
        return web.json_response(found) if found else _status(404, "NotFound", f"{_key(request)} not found")

    async def _create(self, request: web.Request) -> web.StreamResponse:
        raw = await request.json()
        namespace = request.match_info["namespace"]
        key = (request.match_info["plural"], namespace, raw["metadata"]["name"])
        if namespace not in self.namespaces:
            return _status(404, "NotFound", f'namespaces "{namespace}" not found')
        if self.deny is not None:
            return _status(403, "Forbidden", f"admission webhook denied the request: {self.deny}")
        if self.quota_reached:
            return _status(429, "TooManyRequests", "admission webhook denied the request: alice has 200 Tasks")
        if key in self.objects:
            return _status(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
        if "hpc.goldcrest.dev/grant" in raw["metadata"].get("annotations", {}):  # as admission would
            raw["spec"]["requestedBy"] = {"via": "Grant", "username": raw["spec"]["runAs"], "groups": []}
        made = await self.put(key[0], raw)
        return _status(500, "InternalError", "lost") if self.lose_answers else web.json_response(made, status=201)

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        found = self.objects.get(_key(request))
        if found is None:
            return _status(404, "NotFound", "not found")
        patch = await request.json()
        wanted = patch["metadata"].get("resourceVersion", found["metadata"]["resourceVersion"])
        if self.conflicts > 0:
            self.conflicts -= 1
            await self.put(_key(request)[0], found)
        if wanted != self.objects[_key(request)]["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        changed = copy.deepcopy(found)
        changed["metadata"].setdefault("annotations", {}).update(patch["metadata"].get("annotations", {}))
        changed["spec"].update(patch.get("spec", {}))
        return web.json_response(await self.put(_key(request)[0], changed))

    async def _namespace(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        return web.json_response({"metadata": {"name": name, "uid": "c1a57e12-0000-4000-8000-000000000000"}})

    async def _make_namespace(self, request: web.Request) -> web.StreamResponse:
        name = (await request.json())["metadata"]["name"]
        if name in self.namespaces:
            return _status(409, "AlreadyExists", f'namespaces "{name}" already exists')
        self.namespaces.add(name)
        return web.json_response({"metadata": {"name": name}}, status=201)


def _key(request: web.Request) -> tuple[str, str, str]:
    info = request.match_info
    return info["plural"], info["namespace"], info["name"]


def _plural(raw: dict[str, Any]) -> str:
    return str(raw["kind"]).lower() + "s"


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": reason, "message": message}, status=code)
