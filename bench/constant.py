"""An authenticated route that answers a constant, beside a bare Starlette route: what all of the gateway's duties cost together (token, rates,
bounds, metrics, log). `python bench/constant.py` alone needs nothing of the bed."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the stand-in

import load
import node
from component.admission.issuer import Issuer
from component.api.test_loop import filled
from reading import gateway, until_ready

CLIENTS = 16
SECONDS = 4.0  # of each run, with half a second before it
ROUNDS = 3


async def run(_: dict[str, object], __: int) -> str:
    """The figures as a table: requests that one core would serve, from the processes' own CPU time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        issuer = Issuer(folder)
        kubernetes = await filled(folder, 10, alices=1)
        try:
            return await asyncio.to_thread(_measure, folder, issuer)
        finally:
            await kubernetes.stop()


def _measure(folder: Path, issuer: Issuer) -> str:
    headers = {"Authorization": f"Bearer {issuer.token('alice')}"}
    unbounded = {"GOLDCREST_API_RATES__USER": "10000000/minute"}  # counted, and never reached
    with gateway(folder, issuer, **unbounded) as (port, ours), bare() as (bare_port, floor):
        until_ready(port)
        rates: Mapping[str, list[float]] = {"bare": [], "ours": []}
        for _ in range(ROUNDS):
            rates["bare"].append(_per_core(floor, f"http://127.0.0.1:{bare_port}/constant", {}))
            rates["ours"].append(_per_core(ours, f"http://127.0.0.1:{port}/compute/status", headers))
    least, most = (statistics.median(rates[name]) for name in ("ours", "bare"))
    return (
        f"bare Starlette route                 {most:8.0f} requests/s and core\n"
        f"authenticated constant, all duties   {least:8.0f} requests/s and core   {most / least:.2f} × its CPU time"
    )


def _per_core(pid: int, url: str, headers: Mapping[str, str]) -> float:
    before = node.cpu_seconds(pid)
    done = load.run(url, headers, clients=CLIENTS, warm=0.5, seconds=SECONDS)
    return done.rate * (SECONDS + 0.5) / (node.cpu_seconds(pid) - before)


@contextmanager
def bare() -> Iterator[tuple[int, int]]:
    """The floor; its port and process."""
    from blocking import free_port, until_listening

    port = free_port()
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("bare_route.py")), "--port", str(port)]
    ) as process:
        try:
            until_listening(port)
            yield port, process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    print(asyncio.run(run({}, 0)))
