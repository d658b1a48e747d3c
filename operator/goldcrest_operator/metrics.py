"""What the operator measures, for Prometheus; the list is in docs/observing.md."""

from __future__ import annotations

from typing import Final

from goldcrest.identity import RefusalCode
from goldcrest.measures import SLOW_SECONDS, Codes, Measures

CODES: Final = Codes(RefusalCode)


class Metrics:
    """One for the process; names begin with ``goldcrest_operator_``."""

    def __init__(self) -> None:
        self.measures = measures = Measures("operator")
        self.steps = measures.counter("steps", "Steps carried out, by kind.", ["step"])
        self.step_seconds = measures.histogram("step_seconds", "Seconds of a step.", ["step"], bounds=SLOW_SECONDS)
        self.failures = measures.counter("failures", "Errors while reconciling, by code.", ["code"])
        self.submitted = measures.counter("jobs_submitted", "Jobs whose id was stored, by system.", ["system"])
        self.finished = measures.counter("jobs_finished", "Jobs that ended, by phase.", ["phase"])
        self.queue_length = measures.gauge("queue_length", "Resources that wait for a worker.")
        self.queue_oldest = measures.gauge("queue_oldest_seconds", "Seconds that the first of them has waited.")
        self.busy_workers = measures.gauge("busy_workers", "Workers at work.")
        self.longest_work = measures.gauge(
            "queue_longest_work_seconds", "Seconds of the work that has taken longest so far."
        )
        self.queue_adds = measures.counter("queue_adds", "Resources put into the queue.")
        self.queue_retries = measures.counter("queue_retries", "Resources put back after a failure.")
        self.queue_waits = measures.histogram(
            "queue_wait_seconds", "Seconds in the queue before a worker came.", bounds=SLOW_SECONDS
        )
        self.queue_work = measures.histogram(
            "queue_work_seconds", "Seconds of a worker on one resource.", bounds=SLOW_SECONDS
        )
        self.known_jobs = measures.gauge("jobs", "Jobs known.")
        self.followed_jobs = measures.gauge("jobs_followed", "Submitted Jobs that have not ended.")
        self.queries = measures.counter("queue_queries", "Queries of a scheduler's queue.", ["system", "outcome"])
        self.query_seconds = measures.histogram(
            "queue_query_seconds", "Seconds of a query.", ["system"], bounds=SLOW_SECONDS
        )
        self.task_queries = measures.counter(
            "task_queries",
            "Queries of Tasks: asked of the scheduler, or shared with another Task's.",
            ["system", "how"],
        )
        self.known_tasks = measures.gauge("tasks", "Tasks known.")
        self.lease_held = measures.gauge("lease_held", "1 while this is the active operator.")
        self.watch_age = measures.gauge("watch_age_seconds", "Seconds since the watch brought anything.")
        self.system_ready = measures.gauge("system_ready", "1 while a login host of the system answers.", ["system"])

    def text(self) -> bytes:
        """All of them, in Prometheus' text form."""
        return self.measures.page()
