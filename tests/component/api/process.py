"""``goldcrest-api`` as a process of its own, beside a Kubernetes in this process; delegation is not there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from component.api.gateway import SYSTEM
from component.api.kubernetes import Kubernetes
from unit.identity.tokens import Key, identity_file


class Process:
    """A running one."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, *, port: int, key: Key) -> None:
        self.process = process
        self.port = port
        self._log = log
        self._key = key

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key.token()}", "X-Machine-Name": "cluster"}

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 30)

    def log(self) -> list[dict[str, Any]]:
        """Its lines; those that are no JSON as ``text``."""
        return [_line(text) for text in self._log.read_text().splitlines()]


def _line(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"text": text}
    return found


@asynccontextmanager
async def running_process(
    folder: Path, *, settings: Mapping[str, str] | None = None, scheme: str = "http", ssl: Any = True
) -> AsyncIterator[Process]:
    """Once it is ready.

    Args:
        settings: environment variables without their prefix.
    """
    kubernetes = Kubernetes()
    kubeconfig = await kubernetes.start(folder)
    await kubernetes.put("systems", SYSTEM)
    key = Key("one")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = {
        "IDENTITY_FILE": str(identity_file(folder, key)),
        "KUBECONFIG": str(kubeconfig),
        "DELEGATION__URL": f"unix:{folder}/nobody",
        "LISTEN__HOST": "127.0.0.1",
        "LISTEN__PORT": str(port),
        **(settings or {}),
    }
    environment = {f"GOLDCREST_API_{name}": value for name, value in given.items()}
    log = folder / "log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "goldcrest_api.main", env=environment | {"PATH": os.environ["PATH"]}, stdout=out, stderr=out
        )  # fmt: skip
    try:
        await _until_ready(process, f"{scheme}://127.0.0.1:{port}/readyz", log, ssl)
        yield Process(process, log, port=port, key=key)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await kubernetes.stop()


async def _until_ready(process: asyncio.subprocess.Process, url: str, log: Path, ssl: Any) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url, ssl=ssl) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)
    raise AssertionError(await asyncio.to_thread(log.read_text))
