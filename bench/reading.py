"""Reading: GET of a task against an authenticated route that returns a constant, with 10 and with 10 000 Jobs in the cache.

The gateway is the shipped process with real tokens. Kubernetes is the tests' stand-in, which is asked nothing while tasks are polled, and
delegation and login nodes are not there at all: an answer that needed one of them would be none. `make bench` runs it beside the others;
`python bench/reading.py` alone needs nothing of the bed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the stand-in

from component.admission.issuer import Issuer
from component.api.test_loop import filled

OWN = 10  # Jobs of who asks
REQUESTS = 3000  # of each sort


class Client:
    """One kept connection, as thin as can be: what it costs is in both figures."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._token = token

    def get(self, path: str) -> bytes:
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65_536)
        assert head.startswith(b"HTTP/1.1 200"), head
        return body

    def close(self) -> None:
        self._socket.close()


@contextmanager
def gateway(folder: Path, issuer: Issuer, **settings: str) -> Iterator[tuple[int, int]]:
    """The process, with further settings; gives its port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "GOLDCREST_API_IDENTITY_FILE": str(issuer.identity_file),
        "GOLDCREST_API_KUBECONFIG": str(folder / "kubeconfig"),
        "GOLDCREST_API_DELEGATION__URL": f"unix:{folder}/nobody",
        "GOLDCREST_API_LISTEN__HOST": "127.0.0.1",
        "GOLDCREST_API_LISTEN__PORT": str(port),
        "GOLDCREST_API_LISTEN__METRICS_PORT": "0",
        **settings,
    }
    program = Path(sys.executable).parent / "goldcrest-api"
    with (
        (folder / "gateway.log").open("wb") as log,
        subprocess.Popen([program], env=environment, stdout=log) as process,
    ):
        try:
            yield port, process.pid
        finally:
            process.terminate()


def until_ready(port: int) -> None:
    for _ in range(600):
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if connection.recv(64).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the gateway did not become ready")


def measured(port: int, token: str) -> dict[str, list[float]]:
    """Milliseconds of each request, the sorts by turns, so that all have the same machine."""
    client = Client(port, token)
    ids = [f"{number:032x}" for number in range(OWN)]
    paths = {
        "constant": lambda _: "/compute/status",
        "task": lambda number: f"/tasks/{ids[number % OWN]}",
        "ten named": lambda _: f"/tasks?tasks={','.join(ids)}",
    }
    found: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(REQUESTS + 300):
        for name, path in paths.items():
            began = time.perf_counter()
            client.get(path(number))
            if number >= 300:
                found[name].append((time.perf_counter() - began) * 1000)
    client.close()
    return found


async def with_jobs(number: int) -> tuple[dict[str, list[float]], int]:
    """The figures, and how often Kubernetes was asked meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        issuer = Issuer(folder)
        kubernetes = await filled(folder, number, alices=OWN)
        with gateway(folder, issuer) as (port, _):
            await asyncio.to_thread(until_ready, port)
            kubernetes.requests.clear()
            figures = await asyncio.to_thread(measured, port, issuer.token("alice"))
            asked = [request for request in kubernetes.requests if "/jobs" in request]
        await kubernetes.stop()
        return figures, len(asked)


async def run(_: dict[str, object], __: int) -> str:
    """Table of medians."""
    lines = [f"{'Jobs':>6}  {'constant':>9}  {'GET /tasks/{id}':>24}  {'ten named in one':>24}  Kubernetes asked"]
    medians: dict[int, float] = {}
    for number in (10, 10_000):
        figures, asked = await with_jobs(number)
        p50 = {name: statistics.median(values) for name, values in figures.items()}
        p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in figures.items()}
        medians[number] = p50["task"] / p50["constant"]
        cells = [
            f"{p50[name]:.2f} ms ({p50[name] / p50['constant']:.2f} ×, p99 {p99[name]:.1f})"
            for name in ("task", "ten named")
        ]
        lines.append(f"{number:>6}  {p50['constant']:>6.2f} ms  {cells[0]:>24}  {cells[1]:>24}  {asked:>16}")
    lines.append(
        f"a task's p50 as a multiple of the constant route's: {medians[10]:.2f} with 10 Jobs, {medians[10_000]:.2f} with 10 000 (at most 1.5)"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(asyncio.run(run({}, 0)))
    print(f"load {os.getloadavg()[0]:.2f}")
