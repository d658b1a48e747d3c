"""What watching costs on the hot path: the metrics of one ``GET /utilities/stat`` in each process, and the same request with and without spans."""

from __future__ import annotations

import asyncio
import statistics
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blocking import Chain, target_of, verdict
from goldcrest.authority import Authority
from goldcrest.measures import OK
from goldcrest.policy import Decision, Policy
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.telemetry import Trace
from goldcrest.tracing import span
from goldcrest.wellknown import OPA_SIGNING
from goldcrest_api.metrics import Metrics as ApiMetrics
from goldcrest_delegation.metrics import Metrics as DelegationMetrics

_TIMES = 20_000
_MOST_MICROSECONDS = 50
_CLIENTS = (1, 50)


async def run(facts: dict[str, Any], runs: int) -> str:
    """Measure; a round for each ten of ``runs``, two at least."""
    lines = [
        verdict(f"metrics of a request: {name}", await measure(), "µs", most=_MOST_MICROSECONDS)
        for name, measure in (("gateway", _gateway), ("delegation", _delegation))
    ]
    lines.append(f"{'a span that is not made (off, or not chosen)':<44}{_off():8.2f} µs")
    target = await target_of(facts)
    without = Chain("no spans", target.url, target.headers, target.pids, target.dedicated)
    headers = target.headers | {"traceparent": Trace.new().header}
    recorded = Chain("every request makes spans", target.url, headers, target.pids, target.dedicated)
    for _ in range(max(2, runs // 10)):
        for clients in _CLIENTS:
            for chain in (without, recorded):
                await asyncio.to_thread(chain.measure, clients)
    lines += ["", " " * 82 + "p50       rate   (× no spans)", *without.lines(without), *recorded.lines(without)]
    return "\n".join([*lines, without.cpu_line(), recorded.cpu_line()])


def _microseconds(what: Callable[[], None]) -> float:
    what()
    return statistics.median(timeit.repeat(what, timer=time.process_time, number=_TIMES, repeat=5)) / _TIMES * 1e6


async def _gateway() -> float:
    """All that a request counts, from its beginning in the middleware to the command on the node."""
    metrics = ApiMetrics()
    authority = Authority(url="unix:/nowhere", ca_file=None, token_file=Path("/nowhere"), measures=metrics.measures)
    pool = SshPool(authority, SshSettings(), metrics.measures)

    def one() -> None:
        metrics.begins()
        pool._measures.command("cluster", "fs.stat", None, 0.001)
        pool._measures.filter_took(verify=0.0002, run=0.0001)
        authority._calls.labels("certificates", OK).inc()
        authority._seconds.labels("certificates").observe(0.001)
        metrics.ends(method="GET", route="/utilities/stat", code=200, seconds=0.002, system="cluster", cause="")

    result = _microseconds(one)
    await pool.close()
    await authority.close()
    return result


async def _delegation() -> float:
    """All that a batch of one certificate counts; larger ones share most of it."""
    metrics = DelegationMetrics()
    policy, decision = Policy(url="unix:/nowhere", measures=metrics.measures), Decision(True, "")

    def one() -> None:
        with policy._seconds.labels("signing").time():
            policy._counted(OPA_SIGNING, decision)
        metrics.batch(1)
        metrics.certificate(system="cluster", operation="fs.stat", error=None)
        metrics.request("certificates", 200, 0.001)

    result = _microseconds(one)
    await policy.close()
    return result


def _off() -> float:
    trace = Trace.new(sampled=False)

    def one() -> None:
        with span("certificate", trace, operation="fs.stat"):
            pass

    return _microseconds(one)
