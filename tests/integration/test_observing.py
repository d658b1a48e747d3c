"""Metrics, one trace through all parts, and who used what, on the whole bed."""

from __future__ import annotations

import json
import secrets
import subprocess
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bed import Bed
from component.observing.documented import REPOSITORY, documented
from goldcrest.wellknown import ANNOTATION_TRACEPARENT
from goldcrest_bed.traces import Span, tree
from trace_view import settled

pytestmark = pytest.mark.integration


def page(bed: Bed, process: str) -> str:
    with urllib.request.urlopen(bed.facts["goldcrest"]["metrics"][process], timeout=10) as answer:
        return str(answer.read().decode())


def ancestors(span: Span, spans: list[Span]) -> list[str]:
    """Service and name of what is above a span, nearest first."""
    above = {other.id: other for other in spans}
    found = []
    while span.parent in above:
        span = above[span.parent]
        found.append(f"{span.service} {span.name}")
    return found


def only(spans: list[Span], service: str, name: str) -> Span:
    found = [span for span in spans if (span.service, span.name) == (service, name)]
    assert found, f"no span {name} of {service}:\n{tree(spans)}"
    return found[0]


@pytest.mark.parametrize("process", ["api", "operator", "delegation", "admission"])
def test_pages_are_as_listed(bed: Bed, process: str) -> None:
    """Every process serves what docs/observing.md lists of it, and nothing else."""
    families = {family.name: family.type for family in text_string_to_metric_families(page(bed, process))}
    served = {name: kind for name, kind in families.items() if not name.startswith("process_")}
    listed = {
        metric.name.removesuffix("_total"): metric.type for metric in documented().values() if metric.process == process
    }
    assert served == listed
    assert "process_cpu_seconds" in families


def test_one_submission_in_one_tree(bed: Bed) -> None:
    """Gateway, delegation, OPA, Kubernetes, admission, the Job, the operator and the filter: each where it belongs."""
    trace_id = secrets.token_hex(16)
    caller = secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace_id}-{caller}-01"}
    answer = bed.upload(b"#!/bin/sh\nhostname\n", headers=headers)
    assert answer.status == 201, answer
    spans = settled(trace_id, wanted="Job")
    print(tree(spans))
    first = only(spans, "goldcrest-api", "POST /compute/jobs/upload")
    assert first.parent == caller
    job = only(spans, "goldcrest-operator", "Job")
    assert ancestors(job, spans) == ["goldcrest-api POST /compute/jobs/upload"]
    submit = [span for span in spans if (span.service, span.name) == ("ssh-filter", "ssh-filter slurm.submit")]
    assert len(submit) == 1
    assert ancestors(submit[0], spans) == [
        "goldcrest-operator slurm.submit",
        "goldcrest-operator Submit",
        "goldcrest-operator Job",
        "goldcrest-api POST /compute/jobs/upload",
    ]
    below = {span.name for span in spans if span.parent == submit[0].id}
    assert below == {"verify", "run"}
    assert "goldcrest-operator certificate" in ancestors(_signed(spans, "slurm.submit"), spans)
    assert ancestors(only(spans, "goldcrest-delegation", "grant"), spans)[0] == "goldcrest-api grant"
    review = only(spans, "goldcrest-admission", "admission mutate")
    assert ancestors(review, spans)[-1] == "goldcrest-api POST /compute/jobs/upload"
    assert "goldcrest-admission admission mutate" in ancestors(only(spans, "goldcrest-admission", "OPA"), spans)
    assert {span.name for span in spans if span.parent == job.id} >= {
        "Submit",
        "Persist",
        "Release",
        "queued",
        "running",
    }
    assert not any(span.name == "slurm.queue" for span in spans)  # what is asked for all Jobs is of none
    known = {span.id for span in spans} | {caller}
    assert [span.name for span in spans if span.parent not in known] == []
    whole = json.dumps([span.dump() for span in spans])
    assert "hostname" not in whole
    assert "/home/" not in whole


def _signed(spans: list[Span], operation: str) -> Span:
    signed = [span for span in spans if (span.service, span.name) == ("goldcrest-delegation", "certificate")]
    return next(span for span in signed if span.attributes["goldcrest.operation"] == operation)


def test_a_job_of_kubectl_begins_its_trace_at_admission(bed: Bed) -> None:
    """One root, and everything is below it."""
    name = bed.name("traced")
    done = bed.apply_job(name)
    assert done.returncode == 0, done.stderr
    job = bed.job_finished(name)
    spans = settled(job["metadata"]["annotations"][ANNOTATION_TRACEPARENT].split("-")[1], wanted="Job")
    roots = [span for span in spans if not span.parent]
    assert [(span.service, span.name) for span in roots] == [("goldcrest-admission", "admission mutate")], tree(spans)
    known = {span.id for span in spans}
    assert [span.name for span in spans if span.parent and span.parent not in known] == []


def test_usage(bed: Bed) -> None:
    """What the bed's own audit log says of a route that was used."""
    assert bed.call("GET", "/utilities/stat?targetPath=/home/alice").status == 200
    program = REPOSITORY / ".venv" / "bin" / "goldcrest-delegation"
    log = Path(bed.facts["goldcrest"]["audit"])
    argv = [str(program), "usage", "--file", str(log), "--by", "requester,system,route", "--since", "1h", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert any(
        (row["requester"], row["system"], row["route"]) == ("alice", bed.system, "GET /utilities/stat") for row in rows
    ), rows
