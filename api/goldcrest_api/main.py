"""``goldcrest-api``: the gateway's process."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn

from goldcrest.authority import Authority
from goldcrest.blocked import BlockFollower
from goldcrest.garbage import look_seldom
from goldcrest.identity import TokenVerifier, load_rules
from goldcrest.kube import Kube
from goldcrest.metrics_page import metrics_page
from goldcrest.renewal import TlsFiles, renewed
from goldcrest.settings import help_page, read_settings, reported
from goldcrest.ssh import SshPool
from goldcrest.telemetry import Log, configure_logging
from goldcrest.tls import check_server
from goldcrest.tracing import start_tracing
from goldcrest_api.application import create_app
from goldcrest_api.context import Context, build_context
from goldcrest_api.draining import Drain, DrainingServer
from goldcrest_api.http_protocol import bounded_http
from goldcrest_api.maintenance import Maintenance
from goldcrest_api.metrics import Metrics
from goldcrest_api.settings import Settings

_log = Log(__name__)
_ENDED = "the site blocked this user"
_ABOUT = "The API gateway of Goldcrest: REST dialects over Kubernetes resources and typed commands."


@asynccontextmanager
async def open_context(
    settings: Settings, *, metrics: Metrics, tls: Callable[[], ssl.SSLContext | None] = lambda: None
) -> AsyncIterator[Context]:
    """Connect to everything, keep the caches up to date, and close it all at the end.

    Args:
        tls: gives what our clients are served with, whose files are read again when they change.

    Raises:
        GoldcrestError, OSError: something that the settings name cannot be used.
    """
    async with AsyncExitStack() as stack:
        stack.callback(start_tracing("api", settings.tracing))
        measures, listen = metrics.measures, settings.listen
        await stack.enter_async_context(metrics_page(measures, host=listen.host, port=listen.metrics_port))
        verifier = TokenVerifier.from_file(settings.identity_file)
        stack.push_async_callback(verifier.close)
        kube = await Kube.connect(settings.kubeconfig)
        stack.push_async_callback(kube.close)
        delegation = settings.delegation
        authority = Authority(
            url=delegation.url, ca_file=delegation.ca_file, token_file=delegation.token_file, measures=measures
        )
        stack.push_async_callback(authority.close)
        pool = SshPool(authority, settings.ssh, measures)
        stack.push_async_callback(pool.close)
        context = build_context(
            settings,
            kube=kube,
            grants=authority,
            remote=pool,
            verifier=verifier,
            metrics=metrics,
            delegation_silent=lambda: blocks.silent_seconds,
        )
        stack.push_async_callback(context.rates.close)
        blocks = BlockFollower(
            authority,
            seconds=delegation.blocked_seconds,
            # Tokens speak for the Unix user of their own name only (T5), so all sessions here are on the word of their users.
            seen=[
                lambda _, now: pool.end_sessions(now.users | now.requesters, reason=_ENDED),
                lambda _, now: context.streams.end_of(now.users | now.requesters, reason=_ENDED),
            ],
        )
        tasks = [asyncio.create_task(reflector.run()) for reflector in context.reflectors]
        tasks.append(asyncio.create_task(blocks.run()))
        stack.push_async_callback(_end, tasks)
        served = tls()
        if served is not None:
            files = TlsFiles(served, certificate=listen.tls_certificate_file, key=listen.tls_key_file)
            await stack.enter_async_context(renewed(files))
        _log.info("api.started", host=settings.listen.host, port=settings.listen.port)
        yield context
        _log.info("api.stopping")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Entry point."""
    if len(sys.argv) > 1:
        if sys.argv[1:] in (["--help"], ["-h"]):
            sys.stdout.write(help_page(Settings, program="goldcrest-api", about=_ABOUT))
            return
        sys.exit(f"goldcrest-api takes no arguments but --help; got {' '.join(sys.argv[1:])}")
    sys.exit(reported("goldcrest-api", _run))


def _run() -> int:
    settings = read_settings(Settings)
    load_rules(settings.identity_file)
    listen = settings.listen
    if listen.tls_certificate_file is not None and listen.tls_key_file is not None:
        check_server(listen.tls_certificate_file, listen.tls_key_file)
    configure_logging("api", level=settings.log_level)
    # uvicorn raises the signal that stopped it once more at the end: an orderly end is a success.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    drain = Drain()
    maintenance = Maintenance(settings.maintenance_file)
    config = _server(settings, drain=drain, maintenance=maintenance)
    server = DrainingServer(config, drain, leave_seconds=listen.leave_seconds)
    look_seldom()
    server.run()
    return 0 if server.started else 2


def _server(settings: Settings, *, drain: Drain, maintenance: Maintenance) -> uvicorn.Config:
    listen = settings.listen
    metrics = Metrics()
    config = uvicorn.Config(
        create_app(
            lambda: open_context(settings, metrics=metrics, tls=lambda: config.ssl),
            settings=settings,
            maintenance=maintenance,
            drain=drain,
            metrics=metrics,
        ),
        host=listen.host,
        port=listen.port,
        loop="uvloop",
        http=bounded_http(head_bytes=listen.head_bytes, head_seconds=listen.head_seconds),
        ws="none",
        lifespan="on",
        log_config=None,  # ours: JSON lines
        access_log=False,  # the request layer writes it, with trace and user
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=listen.keep_alive_seconds,
        timeout_graceful_shutdown=listen.shutdown_seconds,
        ssl_certfile=listen.tls_certificate_file,
        ssl_keyfile=listen.tls_key_file,
    )
    return config


if __name__ == "__main__":
    main()
