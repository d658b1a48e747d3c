"""One command as it is measured and traced: how long it took, how it ended, and what the filter says of its part."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from goldcrest.commands.base import Command
from goldcrest.ssh.channel import Progress
from goldcrest.ssh.measures import SshMeasures
from goldcrest.telemetry import Trace
from goldcrest.tracing import SERVER, Span, record, span


class followed:  # noqa: N801  used as a function
    """Context manager around one command.

    Args:
        current: whether logs and further spans inside are of it; false in generators, which others resume.
    """

    __slots__ = ("_began", "_measures", "_op", "_span", "_system")

    def __init__(
        self, command: Command, measures: SshMeasures, *, system: str, user: str, trace: Trace, current: bool = True
    ) -> None:
        self._op = command.op
        self._system = system
        self._measures = measures
        self._span: Span = span(command.op, trace, current=current, operation=command.op, system=system, user=user)
        self._began = 0.0

    @property
    def trace(self) -> Trace:
        """What further work belongs to."""
        return self._span.trace

    def filter_took(self, progress: Progress) -> None:
        """Make the filter's own spans of what it said. It has another clock: they are put into the middle of the time that we waited."""
        took = progress.took
        if took is None:
            return
        self._measures.filter_took(verify=took.verify, run=took.run)
        if not self._span.recorded:
            return
        ended = time.time()
        spare = max(0.0, ended - progress.sent_at - took.verify - took.run)
        began = progress.sent_at + spare / 2
        verified = began + took.verify
        whole = record(
            f"ssh-filter {self._op}",
            self.trace,
            began=began,
            ended=verified + took.run,
            of_filter=True,
            kind=SERVER,
            operation=self._op,
            system=self._system,
        )
        record("verify", whole, began=began, ended=verified, of_filter=True)
        record("run", whole, began=verified, ended=verified + took.run, of_filter=True)

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._span.__exit__(kind, error, traceback)
        self._measures.command(self._system, self._op, error, time.perf_counter() - self._began)
