"""``/metrics`` on a port of its own: it is asked by the platform, and must not be reached through the door of users."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from goldcrest.errors import Unavailable
from goldcrest.measures import CONTENT_TYPE, Measures


@asynccontextmanager
async def metrics_page(measures: Measures, *, host: str, port: int) -> AsyncIterator[None]:
    """Serve the page while it is entered.

    Args:
        port: TCP port; 0 for no page.

    Raises:
        Unavailable: the address is taken, or not ours.
    """
    if not port:
        yield
        return
    app = web.Application()

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=measures.page(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/metrics", page)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Unavailable(f"cannot listen on {host}:{port} for /metrics: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()
