"""Load of the blocking path, in a process of its own: the same GET over and over on keep-alive connections.

`python bench/load.py < job.json` with ``{"url", "headers": {name: value}, "clients", "warm": seconds, "seconds"}``; prints ``{"seconds":
[of each request], "wall": seconds}``. Headers come by standard input, for a token must not stand in a command line. The client is as small
as can be: on two cores what it takes is missing to what is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True)
class Load:
    """What one run measured: seconds of each request, and of all by the clock."""

    seconds: list[float]
    wall: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.seconds) / self.wall

    def milliseconds(self, part: float) -> float:
        """The quantile, e.g. 0.5."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def run(url: str, headers: Mapping[str, str], *, clients: int, warm: float = 1.0, seconds: float = 4.0) -> Load:
    """Send requests from a process of its own.

    Args:
        clients: connections, each with one request at a time.
        warm: seconds before it counts.
        seconds: that count.
    """
    job = {"url": url, "headers": dict(headers), "clients": clients, "warm": warm, "seconds": seconds}
    done = subprocess.run(
        [sys.executable, str(Path(__file__))], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the load generator failed: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout)
    return Load(answer["seconds"], answer["wall"])


class _Client(asyncio.Protocol):
    """One connection; ``done`` is set when its last answer has come, or with what went wrong."""

    def __init__(self, request: bytes, *, start: float, end: float, counted: list[float]) -> None:
        self._request = request
        self._start, self._end = start, end
        self._counted = counted
        self._received = b""
        self._began = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._end:
            self._transport.close()
            self.done.set_result(None)
            return
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(f"the answer was {head.split(maxsplit=2)[1].decode()}: {body.decode()[:300]}")
            return
        self._received = b""
        if self._began >= self._start:
            self._counted.append(time.perf_counter() - self._began)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was cut: {exc}")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(SystemExit(why))


async def _main(job: dict[str, Any]) -> dict[str, Any]:
    url = urlsplit(job["url"])
    lines = [f"GET {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}", *map(": ".join, job["headers"].items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    counted: list[float] = []
    start = time.perf_counter() + job["warm"]
    end = start + job["seconds"]
    loop = asyncio.get_running_loop()
    clients = [
        (
            await loop.create_connection(
                lambda: _Client(request, start=start, end=end, counted=counted), url.hostname, url.port
            )
        )[1]
        for _ in range(job["clients"])
    ]
    await asyncio.gather(*(client.done for client in clients))
    return {"seconds": counted, "wall": time.perf_counter() - start}


if __name__ == "__main__":
    done = uvloop.run(_main(json.load(sys.stdin)))
    os.set_blocking(
        sys.stdout.fileno(), True
    )  # uvloop leaves a pipe otherwise, and what it has no room for would be lost
    print(json.dumps(done))
