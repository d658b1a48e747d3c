"""One typed command, complete, without the gateway's other duties: HTTP → Starlette → token check → delegation (token again, OPA, signature) →
verification on the node → JSON. What is left out: rates, fair turns, bounds, the dialect, metrics of requests, logs.

`python bench/bare_command.py --port N < where.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldcrest.authority import Authority, ByToken
from goldcrest.commands import StatFile
from goldcrest.garbage import look_seldom
from goldcrest.http_server import HttpServer
from goldcrest.identity import TokenVerifier
from goldcrest.models.system import SystemSpec
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.telemetry import Trace


def build_app(where: dict[str, Any]) -> Starlette:
    """The application.

    Args:
        where: delegation (URL), token_file (ours for it), identity (rules for tokens), system (its name), spec (of the System).
    """
    spec = SystemSpec.model_validate(where["spec"])

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.verifier = TokenVerifier.from_file(Path(where["identity"]))
        authority = Authority(url=where["delegation"], ca_file=None, token_file=Path(where["token_file"]))
        app.state.pool = SshPool(authority, SshSettings())
        look_seldom()
        try:
            yield
        finally:
            await app.state.pool.close()
            await authority.close()
            await app.state.verifier.close()

    async def stat(request: Request) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        identity = await request.app.state.verifier.verify(token)
        answer = await request.app.state.pool.run(
            StatFile(request.query_params["path"]),
            system=where["system"],
            spec=spec,
            user=identity.username,
            basis=ByToken(token, "GET /utilities/stat"),
            trace=Trace.new(sampled=False),
        )
        return Response(orjson.dumps({"output": answer.result}), media_type="application/json")

    return Starlette(routes=[Route("/stat", stat)], lifespan=lifespan)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of loopback")
    port = parser.parse_args().port
    app = build_app(json.load(sys.stdin))
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http=HttpServer,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
