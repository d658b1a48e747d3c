"""The floor: what a gateway does that trusts its SSH connection. HTTP → FastAPI → ``conn.run("timeout 5 stat …")`` → JSON, without any
check of who asks.

`python bench/plain_exec.py --port N [--fresh] < where.json`: with one open connection, or a new one for each command (``--fresh``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import orjson
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Response
from pydantic import BaseModel

SESSIONS = 8  # at once on a connection: sshd's MaxSessions is 10, and it frees places late


class Attributes(BaseModel):
    """What stat(1) said."""

    mode: int
    ino: int
    dev: int
    nlink: int
    uid: int
    gid: int
    size: int
    atime: int
    mtime: int
    ctime: int


class Answer(BaseModel):
    """The body."""

    output: Attributes


_LINE = re.compile(r"(\S)(\S+)\s+\d+\s+(\S+)\s+(\S+)\s+(\d+)\s+(\S+)\s+(.+)")
_FIELDS = ("type", "permissions", "user", "group", "size", "last_modified", "name")


def build_app(where: dict[str, Any], *, fresh: bool) -> FastAPI:
    """The gateway that is the floor.

    Args:
        where: host, port, user, key (file of the private key), host_key (public key line).
        fresh: a new connection for each command.
    """
    options = asyncssh.SSHClientConnectionOptions(
        username=where["user"],
        client_keys=[where["key"]],
        known_hosts=([asyncssh.import_public_key(where["host_key"])], [], []),
        encryption_algs=["aes128-gcm@openssh.com"],  # as Goldcrest's, which asyncssh would not choose
        kex_algs=["curve25519-sha256"],
        config=None,
        agent_path=None,
        preferred_auth="publickey",
        gss_host=None,
        compression_algs=None,
    )

    def connect() -> Any:
        return asyncssh.connect(where["host"], where["port"], options=options)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if fresh:
            yield
            return
        async with connect() as connection:
            app.state.connection = connection
            yield

    app = FastAPI(lifespan=lifespan)
    places = asyncio.Semaphore(SESSIONS)

    async def execute(command: str) -> asyncssh.SSHCompletedProcess:
        async with places:
            if fresh:
                async with connect() as connection:
                    return await connection.run(command)
            while True:
                try:
                    return await app.state.connection.run(command)
                except asyncssh.ChannelOpenError:  # sshd has not freed a place yet
                    await asyncio.sleep(0.001)

    @app.get("/stat", response_model=Answer)
    async def stat(path: str = Query(min_length=1, max_length=4096)) -> dict[str, dict[str, int]]:
        done = await execute(f"timeout 5 stat -c '%f %i %d %h %u %g %s %X %Y %Z' -- {shlex.quote(path)}")
        if done.exit_status != 0:
            raise HTTPException(502, str(done.stderr))
        mode, *rest = str(done.stdout).split()
        names = list(Attributes.model_fields)
        return {"output": dict(zip(names, [int(mode, 16), *map(int, rest)], strict=True))}

    @app.get("/ls")
    async def ls(path: str = Query(min_length=1, max_length=4096)) -> Response:
        done = await execute(
            f"timeout 5 ls -l --quoting-style=c --time-style=+%Y-%m-%dT%H:%M:%S -- {shlex.quote(path)}"
        )
        if done.exit_status != 0:
            raise HTTPException(502, str(done.stderr))
        found = filter(None, map(_LINE.fullmatch, str(done.stdout).splitlines()))
        records = [dict(zip(_FIELDS, match.groups(), strict=True)) for match in found]
        # Not by FastAPI's encoder, which would take longer than all else.
        return Response(orjson.dumps({"output": records}), media_type="application/json")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    app = build_app(json.load(sys.stdin), fresh=arguments.fresh)
    uvicorn.run(
        app, host="127.0.0.1", port=arguments.port, loop="uvloop", http="httptools", log_level="error", access_log=False
    )


if __name__ == "__main__":
    main()
