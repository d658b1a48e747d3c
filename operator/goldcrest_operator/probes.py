"""The pages for Kubernetes and Prometheus: /livez, /readyz, /metrics."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from goldcrest.errors import Unavailable
from goldcrest.measures import CONTENT_TYPE
from goldcrest_operator.metrics import Metrics


class ProbeServer:
    """A small HTTP server.

    Args:
        alive: None, or why the process should be restarted.
        ready: None, or why it does nothing now.
        refresh: brings gauges up to date before they are shown.
    """

    def __init__(
        self,
        *,
        alive: Callable[[], str | None],
        ready: Callable[[], str | None],
        metrics: Metrics,
        refresh: Callable[[], None],
    ) -> None:
        self._alive = alive
        self._ready = ready
        self._metrics = metrics
        self._refresh = refresh
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_page)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, host: str, *ports: int) -> None:
        """Listen on each of the ports; all pages are on all of them.

        Raises:
            Unavailable: the address is taken, or not ours.
        """
        await self._runner.setup()
        for port in sorted(set(ports)):
            try:
                await web.TCPSite(self._runner, host, port).start()
            except OSError as error:
                raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}") from error

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _metrics_page(self, _: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _answer(complaint: str | None) -> web.Response:
    return web.Response(text="ok\n") if complaint is None else web.Response(status=503, text=complaint + "\n")
