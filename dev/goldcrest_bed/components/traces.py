"""The bed's receiver of spans, in place of an OpenTelemetry collector."""

from __future__ import annotations

from goldcrest_bed.component import Command, HostProcess, http_ready
from goldcrest_bed.context import Bed
from goldcrest_bed.paths import DEV, REPOSITORY

NAME = "traces"


def endpoint(bed: Bed) -> str:
    """Where spans are sent, and asked for."""
    return f"http://127.0.0.1:{bed.config.port('traces')}"


def traces(bed: Bed) -> HostProcess:
    """The component."""
    folder = DEV / "goldcrest_bed"
    program = str(REPOSITORY / ".venv" / "bin" / "python")
    port = str(bed.config.port("traces"))
    return HostProcess(
        name=NAME,
        paths=bed.paths,
        report=bed.report,
        command=lambda: Command([program, "-m", "goldcrest_bed.trace_receiver", port], env={"PYTHONPATH": str(DEV)}),
        ready=http_ready(endpoint(bed) + "/"),
        inputs=[folder / "trace_receiver.py", folder / "traces.py"],
        facts_of=lambda: {"traces": {"endpoint": endpoint(bed)}},
    )
