"""What is measured, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """One registry for the process; names begin with ``goldcrest_operator_``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "goldcrest_operator_"
        self.steps = Counter(prefix + "steps", "Steps carried out, by kind.", ["step"], registry=self.registry)
        self.step_seconds = Histogram(
            prefix + "step_seconds", "Seconds of a step.", ["step"], buckets=_SECONDS, registry=self.registry
        )
        self.failures = Counter(
            prefix + "failures", "Errors while reconciling, by code.", ["code"], registry=self.registry
        )
        self.finished = Counter(
            prefix + "jobs_finished", "Jobs that ended, by phase.", ["phase"], registry=self.registry
        )
        self.queue_length = Gauge(prefix + "queue_length", "Resources that wait for a worker.", registry=self.registry)
        self.busy_workers = Gauge(prefix + "busy_workers", "Workers at work.", registry=self.registry)
        self.known_jobs = Gauge(prefix + "jobs", "Jobs known.", registry=self.registry)
        self.followed_jobs = Gauge(
            prefix + "jobs_followed", "Submitted Jobs that have not ended.", registry=self.registry
        )
        self.queries = Counter(
            prefix + "queue_queries", "Queries of a scheduler's queue.", ["system", "outcome"], registry=self.registry
        )
        self.query_seconds = Histogram(
            prefix + "queue_query_seconds", "Seconds of a query.", ["system"], buckets=_SECONDS, registry=self.registry
        )
        self.task_queries = Counter(
            prefix + "task_queries",
            "Queries of Tasks: asked of the scheduler, or shared with another Task's.",
            ["system", "how"],
            registry=self.registry,
        )
        self.known_tasks = Gauge(prefix + "tasks", "Tasks known.", registry=self.registry)
        self.lease_held = Gauge(prefix + "lease_held", "1 while this is the active operator.", registry=self.registry)
        self.watch_age = Gauge(
            prefix + "watch_age_seconds", "Seconds since the watch brought anything.", registry=self.registry
        )
        self.system_ready = Gauge(
            prefix + "system_ready", "1 while a login host of the system answers.", ["system"], registry=self.registry
        )

    def text(self) -> bytes:
        """All of them, in Prometheus' text form."""
        return generate_latest(self.registry)
