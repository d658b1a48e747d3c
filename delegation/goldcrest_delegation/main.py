"""``goldcrest-delegation serve | init | issue --explain | audit | usage | rotate | revoke``."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import uvicorn
import uvloop

from goldcrest.errors import Unavailable
from goldcrest.garbage import look_seldom
from goldcrest.http_server import HttpServer
from goldcrest.identity.keyfiles import make_ed25519, public_path
from goldcrest.metrics_page import metrics_page
from goldcrest.renewal import TlsFiles, renewed
from goldcrest.settings import describe_settings, read_settings, reported
from goldcrest.telemetry import Log, configure_logging
from goldcrest.tls import check_server
from goldcrest.tracing import start_tracing
from goldcrest_delegation import auditing, explaining, revoking, rotating, usage
from goldcrest_delegation.app import build_app
from goldcrest_delegation.ca_key import make_ca_key
from goldcrest_delegation.context import Context
from goldcrest_delegation.settings import Settings

_log = Log(__name__)


class Tool(Protocol):
    """A module with one action of the command line."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, arguments: argparse.Namespace) -> int: ...


_TOOLS: Final[tuple[tuple[str, Tool, str], ...]] = (
    ("issue", explaining, "with --explain: say which check would allow or deny a certificate, without signing"),
    ("audit", auditing, "who ran what as whom"),
    ("usage", usage, "who used what: counts by user, system, operation and route"),
    ("rotate", rotating, "make a second CA, and say what to do on the nodes"),
    ("revoke", revoking, "lines for the revocation file of the nodes"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    return reported("goldcrest-delegation", lambda: _run(parsed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goldcrest-delegation",
        description="Signs SSH certificates for single commands, and grants. The only process with the CA key.",
        epilog=describe_settings(Settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("serve", help="answer requests (default)")
    actions.add_parser("init", help="make the keys that are missing, and write public halves as <file>.pub")
    for name, module, text in _TOOLS:
        module.add_arguments(actions.add_parser(name, help=text, description=(module.__doc__ or "").strip()))
    return parser


def _run(arguments: argparse.Namespace) -> int:
    for name, module, _ in _TOOLS:
        if arguments.action == name:
            return module.run(arguments)
    settings = read_settings(Settings)
    if arguments.action == "init":
        _init(settings)
    else:
        configure_logging("delegation", level=settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    return 0


async def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    if settings.tls_cert and settings.tls_key:
        check_server(settings.tls_cert, settings.tls_key)
    async with AsyncExitStack() as stack:
        stack.callback(start_tracing("delegation", settings.tracing))
        context = await Context.open(settings, stack)
        page = metrics_page(context.metrics.measures, host=settings.listen_address, port=settings.metrics_port)
        await stack.enter_async_context(page)
        config = uvicorn_config(settings, context)
        config.load()
        if config.ssl is not None:
            files = TlsFiles(config.ssl, certificate=settings.tls_cert, key=settings.tls_key)
            await stack.enter_async_context(renewed(files))
        server = Server(config, path=settings.listen_socket)
        _log.info("delegation.started", listen=" ".join(settings.listeners))
        look_seldom()
        await server.serve()
    _log.info("delegation.stopped")


class Server(uvicorn.Server):
    """uvicorn's, which listens on its port where it has TLS, and on a Unix socket for callers in the same pod, who need none.

    Args:
        path: of the socket; None: none.
    """

    def __init__(self, config: uvicorn.Config, *, path: Path | None) -> None:
        super().__init__(config)
        self._path = path

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Raises:
            Unavailable: the socket cannot be made.
        """
        await super().startup(sockets if self.config.ssl is not None else [])
        if self._path is None:
            return
        make = partial(HttpServer, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        loop, most = asyncio.get_running_loop(), self.config.backlog
        try:
            self.servers.append(await loop.create_unix_server(make, path=str(self._path), backlog=most))
            self._path.chmod(0o666)  # who asks is told by a token; who may open it, by its folder
        except OSError as error:
            raise Unavailable(f"cannot listen on the socket {self._path}: {error.strerror or error}") from error


def uvicorn_config(settings: Settings, context: Context) -> uvicorn.Config:
    """How the application is served."""
    config = uvicorn.Config(
        build_app(context),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody stands between: who calls is told by a token
        http=HttpServer,
        ws="none",
        timeout_graceful_shutdown=settings.shutdown_seconds,
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=64 * 1024,
    )
    if settings.tls_cert is not None:
        config.host, config.port = settings.listen_address, settings.listen_port
        config.ssl_certfile, config.ssl_keyfile = str(settings.tls_cert), str(settings.tls_key)
    return config


def _init(settings: Settings) -> None:
    made = {settings.grant_key_file: make_ed25519(settings.grant_key_file)}
    if settings.ca_key_file is not None:  # a key in an agent is made there
        made[settings.ca_key_file] = make_ca_key(settings.ca_key_file)
    for path, new in made.items():
        sys.stdout.write(f"{'made' if new else 'kept'} {path}, public half in {public_path(path)}\n")


if __name__ == "__main__":
    sys.exit(main())
