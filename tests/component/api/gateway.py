"""The gateway as its clients meet it: uvicorn on loopback, with stand-ins behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from starlette.applications import Starlette

from component.api.kubernetes import Kubernetes
from component.api.neighbours import Delegation, LoginNode, Tokens
from goldcrest.kube import Kube
from goldcrest.wellknown import namespace_of_user
from goldcrest_api.application import create_app
from goldcrest_api.context import Context, build_context
from goldcrest_api.dialect import Dialect
from goldcrest_api.dialects.registered import DIALECTS
from goldcrest_api.draining import Drain
from goldcrest_api.http_protocol import bounded_http
from goldcrest_api.maintenance import Maintenance
from goldcrest_api.metrics import Metrics
from goldcrest_api.ports import RemoteCommands, TokenVerifier
from goldcrest_api.settings import DelegationSettings, Settings

SYSTEM = {
    "apiVersion": "hpc.goldcrest.dev/v1alpha1",
    "kind": "System",
    "metadata": {"name": "cluster"},
    "spec": {
        "hosts": [{"address": "login.example", "port": 2222}],
        "filterPath": "/usr/libexec/goldcrest/ssh-filter",
        "scheduler": {"type": "Slurm"},
        "workDirectory": "/scratch/{user}",
        "fileSystems": [{"name": "scratch", "path": "/scratch"}],
    },
}
ALICE = namespace_of_user("alice")
_PATIENCE = aiohttp.ClientTimeout(total=20)


@dataclass(frozen=True)
class Reply:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Gateway:
    """A running gateway and what stands behind it."""

    kubernetes: Kubernetes
    tokens: Tokens
    delegation: Delegation
    node: LoginNode
    metrics: Metrics = field(default_factory=Metrics)
    url: str = ""
    session: aiohttp.ClientSession = field(init=False)
    context: Context = field(init=False)

    async def request(
        self,
        method: str,
        path: str,
        *,
        user: str | None = "alice",
        machine: str | None = "cluster",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Reply:
        sent = dict(headers or {})
        if user is not None:
            sent["Authorization"] = f"Bearer token-{user}"
        if machine is not None:
            sent["X-Machine-Name"] = machine
        async with self.session.request(method, self.url + path, headers=sent, **more) as response:
            return Reply(response.status, response.headers.copy(), await response.text())

    async def upload(
        self,
        content: bytes = b"#!/bin/sh\nhostname\n",
        *,
        name: str = "job.sh",
        fields: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Reply:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("file", content, filename=name)
        for key, value in (fields or {}).items():
            form.add_field(key, value)
        return await self.request("POST", "/compute/jobs/upload", data=form, **more)

    async def task(self, task_id: str, **more: Any) -> dict[str, Any]:
        reply = await self.request("GET", f"/tasks/{task_id}", **more)
        assert reply.status == 200, reply
        task: dict[str, Any] = reply.json()["task"]
        return task

    async def eventually(self, ask: Callable[[], Any], *, seconds: float = 5) -> Any:
        """Ask until the answer is true."""
        async with asyncio.timeout(seconds):
            while True:
                answer = await ask()
                if answer:
                    return answer
                await asyncio.sleep(0.01)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the test runner's


@asynccontextmanager
async def running_gateway(
    directory: Path,
    *,
    change: Mapping[str, Any] | None = None,
    systems: tuple[dict[str, Any], ...] = (SYSTEM,),
    kubernetes: Kubernetes | None = None,
    remote: RemoteCommands | None = None,
    drain: Drain | None = None,
    delegation_silent: float = 0.0,
    dialects: Sequence[Dialect] = DIALECTS,
    verifier: TokenVerifier | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway on a free port.

    Args:
        change: settings that differ from the defaults.
        kubernetes: what another gateway runs on already.
        remote: runs commands; else the stand-in of a login node.
        verifier: of tokens; else a stand-in that takes ``token-<user>``.
        delegation_silent: seconds for which delegation seems not to have answered.
    """
    shared = kubernetes is not None
    kubernetes = kubernetes or Kubernetes()
    kubeconfig = kubernetes.kubeconfig if shared else await kubernetes.start(directory)
    if not shared:
        for system in systems:
            await kubernetes.put("systems", system)
        kubernetes.namespaces.add(ALICE)
    gateway = Gateway(kubernetes, Tokens(), Delegation(), LoginNode())
    settings = Settings(
        identity_file=directory / "identity.toml",
        delegation=DelegationSettings(url="unix:/nowhere"),
        **dict(change or {}),
    )

    @asynccontextmanager
    async def open_context() -> AsyncIterator[Context]:
        kube = await Kube.connect(kubeconfig)
        context = build_context(
            settings,
            kube=kube,
            grants=gateway.delegation,
            remote=remote or gateway.node,
            verifier=verifier or gateway.tokens,
            delegation_silent=lambda: delegation_silent,
            metrics=gateway.metrics,
        )
        gateway.context = context
        tasks = [asyncio.create_task(reflector.run()) for reflector in context.reflectors]
        try:
            yield context
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await kube.close()

    try:
        switch = Maintenance(settings.maintenance_file)
        app = create_app(
            open_context,
            settings=settings,
            maintenance=switch,
            drain=drain,
            metrics=gateway.metrics,
            dialects=dialects,
        )
        listen = settings.listen
        server = serving(app, head_bytes=listen.head_bytes, head_seconds=listen.head_seconds)
        async with server as url, aiohttp.ClientSession(timeout=_PATIENCE) as session:
            gateway.url, gateway.session = url, session
            yield gateway
    finally:
        if not shared:
            await kubernetes.stop()


@asynccontextmanager
async def serving(app: Starlette, *, head_bytes: int = 65_536, head_seconds: float = 20) -> AsyncIterator[str]:
    """The application on a free port of loopback, once it is ready; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    http = bounded_http(head_bytes=head_bytes, head_seconds=head_seconds)
    config = uvicorn.Config(app, port=port, http=http, log_config=None, access_log=False, lifespan="on")
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    url = f"http://127.0.0.1:{port}"
    try:
        await _until_ready(url, task)
        yield url
    finally:
        server.should_exit = True
        await task


async def _until_ready(url: str, server: asyncio.Task[None]) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while not server.done():
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url + "/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.01)
    raise AssertionError("the gateway did not start")
