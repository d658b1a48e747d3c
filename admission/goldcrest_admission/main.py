"""``goldcrest-admission serve | init``."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import uvicorn
from pydantic import ValidationError

from goldcrest.errors import GoldcrestError
from goldcrest.identity.keyfiles import make_ed25519, public_path
from goldcrest.telemetry import Log, configure_logging
from goldcrest_admission.app import build_app
from goldcrest_admission.context import Context
from goldcrest_admission.settings import ENVIRONMENT_PREFIX, Settings

_log = Log(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="goldcrest-admission",
        description="The admission webhook of Goldcrest: says who asked for a Job, and whether they may.",
        epilog="settings (environment variables):\n" + describe_settings(),
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
    try:
        settings = Settings()
        if action == "init":
            _init(settings)
        else:
            configure_logging("admission", level=settings.log_level)
            asyncio.run(serve(settings))
    except ValidationError as error:
        for fault in error.errors():
            name = ENVIRONMENT_PREFIX + "__".join(map(str, fault["loc"])).upper() if fault["loc"] else "settings"
            sys.stderr.write(f"goldcrest-admission: {name}: {fault['msg']}\n")
        return 2
    except GoldcrestError as error:
        sys.stderr.write(f"goldcrest-admission: {error.message}\n")
        return 1
    return 0


def describe_settings() -> str:
    """One paragraph a setting: its environment variable, its default, its meaning."""
    lines = []
    for name, field in Settings.model_fields.items():
        if field.is_required():
            default = "required"
        else:
            value = field.get_default(call_default_factory=True)
            default = "not set" if value is None else f"default {value}"
        lines.append(f"  {ENVIRONMENT_PREFIX}{name.upper()} ({default})\n      {field.description}")
    return "\n".join(lines)


async def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        context = await Context.open(settings, stack)
        server = uvicorn.Server(uvicorn_config(settings, context))
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
