"""The registry of each process, made of the same parts as the process makes it of; the bed's own pages are compared in tests/integration."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from goldcrest.authority import Authority
from goldcrest.kube import Kube
from goldcrest.measures import Measures
from goldcrest.policy import Policy
from goldcrest.reflector import Reflector
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.wellknown import Kind
from goldcrest_admission.metrics import Metrics as AdmissionMetrics
from goldcrest_api.job_cache import JobCache
from goldcrest_api.metrics import Metrics as ApiMetrics
from goldcrest_delegation.metrics import Metrics as DelegationMetrics
from goldcrest_operator.metrics import Metrics as OperatorMetrics
from goldcrest_operator.store import Store
from goldcrest_operator.tracker import Tracker
from goldcrest_operator.tracking.lanes import TrackerTimes
from goldcrest_operator.unclaimed import Unclaimed

PROCESSES = ("api", "operator", "delegation", "admission")


@asynccontextmanager
async def registries() -> AsyncIterator[dict[str, Measures]]:
    """By process."""
    api, operator = ApiMetrics(), OperatorMetrics()
    delegation, admission = DelegationMetrics(), AdmissionMetrics()
    jobs = JobCache()
    api.watch([Reflector(_NO_KUBE, Kind.JOB, jobs)], {Kind.JOB: lambda: len(jobs)})
    Tracker(
        store=Store(cluster_id="c"),
        scheduler=None,  # type: ignore[arg-type]
        changed=lambda _: None,
        refresh=None,  # type: ignore[arg-type]
        active=lambda: False,
        times=TrackerTimes(),
        metrics=operator,
    )
    Unclaimed(
        store=Store(cluster_id="c"), prefix="c", after_seconds=60, tell=lambda _system, _words: None, metrics=operator
    )
    async with contextlib.AsyncExitStack() as stack:
        for measures in (api.measures, operator.measures):
            authority = Authority(url="unix:/nowhere", ca_file=None, token_file=Path("/nowhere"), measures=measures)
            stack.push_async_callback(authority.close)
            stack.push_async_callback(SshPool(authority, SshSettings(), measures).close)
        for measures in (delegation.measures, admission.measures):
            stack.push_async_callback(Policy(url="unix:/nowhere", measures=measures).close)
        parts = (api.measures, operator.measures, delegation.measures, admission.measures)
        yield dict(zip(PROCESSES, parts, strict=True))


_NO_KUBE: Kube = None  # type: ignore[assignment]
