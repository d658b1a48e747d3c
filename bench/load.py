"""Load of the blocking path, in a process of its own: the same GET over and over on keep-alive connections.

`python bench/load.py < job.json` with ``{"url", "headers": {name: value}, "clients", "warm": seconds, "seconds"}``; prints ``{"seconds":
[of each request], "wall": seconds}``. Headers come by standard input, for a token must not stand in a command line. The client is as small
as can be: on two cores what it takes is missing to what is measured.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


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


async def _main(job: dict[str, Any]) -> dict[str, Any]:
    url = urlsplit(job["url"])
    lines = [f"GET {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}", *map(": ".join, job["headers"].items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    counted: list[float] = []
    start = time.perf_counter() + job["warm"]
    end = start + job["seconds"]

    async def client() -> None:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        while (began := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"the answer was {head.split(maxsplit=2)[1].decode()}: {body.decode()[:300]}")
            if began >= start:
                counted.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(job["clients"])))
    return {"seconds": counted, "wall": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(json.load(sys.stdin)))))
