"""What delegation measures and traces, over its own page, with hostile callers."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from component.admission.stage import Stage, free_port
from component.delegation.callers import PUBLIC_KEY, SID, another_delegation, authority
from goldcrest.authority import Authority, ByToken
from goldcrest.commands import Cancel, StatFile
from goldcrest.commands.base import Command
from goldcrest.errors import GoldcrestError, Unauthenticated
from goldcrest.telemetry import Trace
from goldcrest_bed.trace_receiver import Receiver
from goldcrest_bed.traces import Span

pytestmark = pytest.mark.component


@dataclass(frozen=True)
class Replica:
    """One with a page and a receiver of spans."""

    socket: Path
    page: str
    receiver: Receiver

    def series(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        with urllib.request.urlopen(self.page, timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.series().get((f"goldcrest_delegation_{name}", frozenset(labels.items())), 0.0)

    async def trace(self, trace: Trace, *, least: int) -> list[Span]:
        for _ in range(400):
            if len(self.receiver.trace(trace.trace_id)) >= least:
                break
            await asyncio.sleep(0.05)
        return self.receiver.trace(trace.trace_id)


@pytest.fixture(scope="module")
def replica(stage: Stage) -> Iterator[Replica]:
    receiver, port = Receiver(0), free_port()
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    with another_delegation(stage, METRICS_PORT=str(port), TRACING__ENDPOINT=receiver.url) as socket:
        yield Replica(socket, f"http://127.0.0.1:{port}/metrics", receiver)
    receiver.shutdown()
    thread.join()
    receiver.server_close()


async def ask(client: Authority, command: Command, token: str, **more: str) -> None:
    values = {"system": "cluster", "user": "alice", "trace": Trace.new().header} | more
    await client.command_certificate(command, public_key=PUBLIC_KEY, sid=SID, basis=ByToken(token), **values)


async def test_certificates(stage: Stage, replica: Replica) -> None:
    """Signed and refused ones are told apart, by operation and reason; OPA's decisions and the calls are counted."""
    token = stage.issuer.token("alice")
    async with authority(stage, "goldcrest-api", socket=replica.socket) as gateway:
        await ask(gateway, StatFile("/scratch/alice"), token)
        with pytest.raises(GoldcrestError):
            await ask(gateway, Cancel("goldcrest:00000000:" + "0" * 32, ()), token)
        with pytest.raises(Unauthenticated):
            await ask(gateway, StatFile("/scratch/alice"), stage.issuer.token("alice", exp=1))
    stat = {"system": "cluster", "operation": "fs.stat", "outcome": "signed"}
    assert replica.value("certificates_total", **stat) == 1
    refused = {"system": "other", "operation": "slurm.cancel", "outcome": "PolicyDenied"}
    assert replica.value("certificates_total", **refused) == 1
    expired = {"system": "other", "operation": "fs.stat", "outcome": "TokenExpired"}
    assert replica.value("certificates_total", **expired) == 1
    assert replica.value("opa_decisions_total", decision="signing", outcome="allowed") == 1
    assert replica.value("requests_total", call="certificates", code="200") == 3
    assert replica.value("certificate_batch_count") == 3


async def test_hostile_callers_add_no_labels(stage: Stage, replica: Replica) -> None:
    """Systems, users, routes, operations and paths that there are not: after the first round no series are new."""
    token = stage.issuer.token("alice")

    async def round_of(number: int) -> None:
        async with authority(stage, "goldcrest-api", socket=replica.socket) as gateway:
            for system in (f"nowhere-{number}", f"a{number}" * 8):
                for user in ("alice", f"user{number}"):
                    with pytest.raises(GoldcrestError):
                        await ask(gateway, StatFile(f"/{number}"), token, system=system, user=user)
            with pytest.raises(GoldcrestError):
                await ask(gateway, StatFile(f"/{number}"), f"token-{number}")
            with pytest.raises(GoldcrestError):
                await gateway.grant(
                    token=token,
                    route=f"POST /r{number}",
                    kind="Job",
                    namespace=f"n{number}",
                    name=f"x{number}",
                    spec={"system": f"s{number}", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}},
                    trace=Trace.new().header,
                )
            for call in ("POST", f"M{number}"):
                with pytest.raises(GoldcrestError):
                    await gateway._call(call, f"/v1/odd{number}", b"{}")
            with pytest.raises(GoldcrestError):
                await gateway._post("/v1/certificates", {"requests": [{"op": f"odd{number}"}] * 99})
            await gateway._post("/v1/certificates", {"requests": [{"op": f"odd{number}", "id": number}]})

    await round_of(0)
    before = set(replica.series())
    for number in (1, 2):
        await round_of(number)
    assert set(replica.series()) == before
    systems = {value for _, labels in before for name, value in labels if name == "system"}
    assert systems <= {"cluster", "other"}


async def test_strangers(replica: Replica, stage: Stage) -> None:
    """Callers that are not ours are counted by cause."""
    (stage.folder / "token-stranger").write_text("nonsense")
    async with authority(stage, "stranger", socket=replica.socket) as stranger:
        with pytest.raises(GoldcrestError):
            await ask(stranger, StatFile("/x"), "token")
    assert replica.value("callers_refused_total", cause="Unauthenticated") == 1


async def test_spans(stage: Stage, replica: Replica) -> None:
    """Below the caller's span, with what was done when; a refusal says its code and nothing that the caller named; no mark, no spans."""
    token, trace, refused = stage.issuer.token("alice"), Trace.new(), Trace.new()
    quiet = Trace.new(sampled=False)
    async with authority(stage, "goldcrest-api", socket=replica.socket) as gateway:
        await ask(gateway, StatFile("/scratch/alice/secret-name"), token, trace=quiet.header)
        await ask(gateway, StatFile("/scratch/alice/secret-name"), token, trace=trace.header)
        with pytest.raises(GoldcrestError):
            await ask(gateway, StatFile("/secret-name"), token, user="bob", trace=refused.header)
    spans = await replica.trace(trace, least=5)
    whole = next(span for span in spans if span.name == "certificate")
    assert (whole.parent, whole.service) == (trace.span_id, "goldcrest-delegation")
    inside = sorted((span for span in spans if span.parent == whole.id), key=lambda span: span.began)
    assert [span.name for span in inside] == ["evidence", "OPA", "sign", "audit"]
    assert all(whole.began <= span.began <= span.ended <= whole.ended for span in inside)
    told = await replica.trace(refused, least=5)
    assert next(span.error for span in told if span.name == "certificate") == "PolicyDenied"
    assert "secret-name" not in str([*spans, *told])
    assert replica.receiver.trace(quiet.trace_id) == []
