"""``goldcrest-admission serve | init``."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import uvicorn
import uvloop

from goldcrest.http_server import HttpServer
from goldcrest.identity.keyfiles import make_ed25519, public_path
from goldcrest.metrics_page import metrics_page
from goldcrest.renewal import TlsFiles, renewed
from goldcrest.settings import describe_settings, read_settings, reported
from goldcrest.telemetry import Log, configure_logging
from goldcrest.tls import check_server
from goldcrest.tracing import start_tracing
from goldcrest_admission.app import build_app
from goldcrest_admission.context import Context
from goldcrest_admission.settings import Settings

_log = Log(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="goldcrest-admission",
        description="The admission webhook of Goldcrest: says who asked for a Job, and whether they may.",
        epilog=describe_settings(Settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("serve", "init"),
        default="serve",
        help="serve: answer requests (default); init: make the stamp key if it is missing, and write its public half as <file>.pub",
    )
    action = parser.parse_args(arguments).action
    return reported("goldcrest-admission", lambda: _run(action))


def _run(action: str) -> int:
    settings = read_settings(Settings)
    if action == "init":
        _init(settings)
    else:
        configure_logging("admission", level=settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    return 0


async def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Raises:
        InvalidInput, Unavailable: what keeps it from starting, with the file and what to do.
    """
    async with AsyncExitStack() as stack:
        stack.callback(start_tracing("admission", settings.tracing))
        context = await Context.open(settings, stack)
        page = metrics_page(context.metrics.measures, host=settings.listen_address, port=settings.metrics_port)
        await stack.enter_async_context(page)
        check_server(settings.tls_cert, settings.tls_key, client_ca=settings.tls_client_ca_file)
        config = uvicorn_config(settings, context)
        config.load()
        assert config.ssl is not None  # noqa: S101 - it is always TLS
        files = TlsFiles(
            config.ssl, certificate=settings.tls_cert, key=settings.tls_key, authorities=settings.tls_client_ca_file
        )
        await stack.enter_async_context(renewed(files))
        server = uvicorn.Server(config)
        _log.info(
            "admission.started",
            listen=f"{settings.listen_address}:{settings.listen_port}",
        )
        await server.serve()
    _log.info("admission.stopped")


def uvicorn_config(settings: Settings, context: Context) -> uvicorn.Config:
    """How the application is served."""
    config = uvicorn.Config(
        build_app(context),
        host=settings.listen_address,
        port=settings.listen_port,
        ssl_certfile=str(settings.tls_cert),
        ssl_keyfile=str(settings.tls_key),
        http=HttpServer,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        timeout_keep_alive=75,
    )
    if settings.tls_client_ca_file is not None:
        config.ssl_ca_certs = str(settings.tls_client_ca_file)
        config.ssl_cert_reqs = ssl.CERT_REQUIRED
    return config


def _init(settings: Settings) -> None:
    path = settings.stamp_key_file
    made = make_ed25519(path)
    sys.stdout.write(f"{'made' if made else 'kept'} {path}, public half in {public_path(path)}\n")


if __name__ == "__main__":
    sys.exit(main())
