"""Commands as they are measured and traced, through the real ssh-filter."""

from __future__ import annotations

import os
from contextlib import aclosing

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from component.ssh.login_node import SYSTEM, RealFilter, spec_of
from goldcrest.authority import ByToken
from goldcrest.commands import ReadFile, StatFile
from goldcrest.errors import CommandFailed
from goldcrest.measures import Measures
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.telemetry import Trace
from goldcrest.tracing import record_to

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root"),
]


async def test_spans_and_counts(authority, start_node, tmp_path):
    """The filter's own times become its spans, below the command; outcomes are counted by code; a stream too."""
    tmp_path.chmod(0o755)
    node = await start_node(RealFilter(authority, tmp_path))
    (tmp_path / "file").write_bytes(b"x" * 1000)
    trace, exporter, measures = Trace.new(), InMemorySpanExporter(), Measures("api")
    where = {"system": SYSTEM, "spec": spec_of(node), "user": "root", "basis": ByToken("t"), "trace": trace}
    pool = SshPool(authority, SshSettings(), measures)
    stop = record_to("api", exporter)
    try:
        await pool.run(StatFile(str(tmp_path / "file")), **where)
        with pytest.raises(CommandFailed):
            await pool.run(StatFile(str(tmp_path / "none")), **where)
        async with aclosing(pool.stream(ReadFile(str(tmp_path / "file"), offset=0, length=1000), **where)) as pieces:
            assert b"".join([piece async for piece in pieces]) == b"x" * 1000
    finally:
        stop()
        page = measures.page().decode()
        await pool.close()
    spans = exporter.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans}
    names = [span.name for span in spans]
    assert names.count("fs.stat") == 2
    assert names.count("fs.read") == 1
    assert names.count("login") == 1
    for operation, count in (("fs.stat", 2), ("fs.read", 1)):
        of_filter = [span for span in spans if span.name == f"ssh-filter {operation}"]
        assert len(of_filter) == count
        for span in of_filter:
            assert span.resource.attributes["service.name"] == "ssh-filter"
            command = by_id[span.parent.span_id]
            assert command.name == operation
            assert command.start_time <= span.start_time <= span.end_time <= command.end_time
            parts = {part.name for part in spans if part.parent.span_id == span.context.span_id}
            assert parts == {"verify", "run"}
    failed = [span for span in spans if "error.type" in span.attributes]
    assert [(span.name, span.attributes["error.type"]) for span in failed] == [("fs.stat", "CommandFailed")]
    assert not any(str(tmp_path) in span.to_json() for span in spans)
    for line in (
        f'goldcrest_api_ssh_commands_total{{operation="fs.stat",outcome="ok",system="{SYSTEM}"}} 1.0',
        f'goldcrest_api_ssh_commands_total{{operation="fs.stat",outcome="CommandFailed",system="{SYSTEM}"}} 1.0',
        f'goldcrest_api_ssh_commands_total{{operation="fs.read",outcome="ok",system="{SYSTEM}"}} 1.0',
        f'goldcrest_api_ssh_connections_opened_total{{system="{SYSTEM}"}} 1.0',
        'goldcrest_api_ssh_filter_seconds_count{part="verify"} 3.0',
        "goldcrest_api_ssh_connections 1.0",
    ):
        assert line in page


async def test_login_that_fails(authority, make_pool, start_node, tmp_path):
    """Is counted by its cause."""
    from goldcrest.errors import SystemUnreachable

    tmp_path.chmod(0o755)
    node = await start_node(RealFilter(authority, tmp_path))
    spec, measures = spec_of(node), Measures("api")
    await node.stop()
    pool = SshPool(authority, SshSettings(), measures)
    with pytest.raises(SystemUnreachable):
        await pool.run(
            StatFile("/x"), system=SYSTEM, spec=spec, user="root", basis=ByToken("t"), trace=Trace.new(), seconds=3
        )
    await pool.close()
    assert f'ssh_logins_failed_total{{reason="HostDown",system="{SYSTEM}"}} 1.0' in measures.page().decode()
