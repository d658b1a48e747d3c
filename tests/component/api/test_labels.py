"""Labels that callers give: they come back, can be asked for, and are within bounds."""

from __future__ import annotations

import json

import pytest

from component.api.gateway import Gateway

pytestmark = pytest.mark.component


async def made(gateway: Gateway, **labels: str) -> str:
    reply = await gateway.upload(fields={"labels": json.dumps(labels)})
    assert reply.status == 201, reply.text
    return str(reply.json()["task_id"])


async def test_labels_come_back(gateway: Gateway) -> None:
    """In the task, alone and in lists; as labels of the resource under a prefix, so that kubectl can select by them."""
    task_id = await made(gateway, project="x-1", run="7", empty="")
    assert (await gateway.task(task_id))["labels"] == {"project": "x-1", "run": "7", "empty": ""}
    (job,) = gateway.kubernetes.jobs()
    assert job["metadata"]["labels"] == {
        "hpc.goldcrest.dev/dialect": "firecrest-v1",
        "label.hpc.goldcrest.dev/project": "x-1",
        "label.hpc.goldcrest.dev/run": "7",
        "label.hpc.goldcrest.dev/empty": "",
    }
    gateway.node.files["/home/alice/run.sh"] = b"#!/bin/sh\n"
    reply = await gateway.request(
        "POST", "/compute/jobs/path", data={"targetPath": "/home/alice/run.sh", "labels": '{"by": "path"}'}
    )
    assert (await gateway.task(reply.json()["task_id"]))["labels"] == {"by": "path"}
    plain = (await gateway.upload()).json()["task_id"]
    assert "labels" not in await gateway.task(plain)  # the record of the contract


async def test_labels_can_be_asked_for(gateway: Gateway) -> None:
    """All that are named must be there, with their values where these are given; with ids too."""
    one = await made(gateway, project="x", run="1")
    two = await made(gateway, project="x", run="2")
    other = await made(gateway, project="y")

    async def found(query: str) -> set[str]:
        reply = await gateway.request("GET", f"/tasks?{query}")
        assert reply.status == 200, reply.text
        return set(reply.json()["tasks"])

    assert await found("labels=project=x") == {one, two}
    assert await found("labels=project=x,run=2") == {two}
    assert await found("labels=project") == {one, two, other}
    assert await found("labels=run,%20project=x") == {one, two}
    assert await found("labels=project=z") == set()
    assert await found(f"labels=project=x&tasks={one},{other}") == {one}


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        ("x", "'labels' is no JSON object"),
        ("[1]", "'labels' is no JSON object"),
        ("[" * 100_000, "'labels' is no JSON object"),
        ('{"a b": "1"}', "'a b' is no name of a label: "),
        ('{"": "1"}', "'' is no name of a label: "),
        (f'{{"{"a" * 64}": "1"}}', "is no name of a label: "),
        ('{"hpc.goldcrest.dev/shard": "1"}', "'hpc.goldcrest.dev/shard' is no name of a label: "),
        ('{"a": "ü"}', "the value of the label a is none: "),
        ('{"a": 1}', "the value of the label a is none: "),
        (f'{{"a": "{"b" * 64}"}}', "the value of the label a is none: "),
        (json.dumps({f"n{i}": "" for i in range(33)}), "'labels' has 33 labels; 32 are allowed"),
    ],
)
async def test_labels_that_cannot_be(gateway: Gateway, labels: str, error: str) -> None:
    """400 with a sentence; no Job is made."""
    reply = await gateway.upload(fields={"labels": labels})
    assert reply.status == 400
    assert reply.json()["description"] == "Failed to submit job file"
    assert error in reply.json()["error"]
    assert gateway.kubernetes.jobs() == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "'' is no name of a label: "),
        ("a=b,,", "'' is no name of a label: "),
        ("a=b=c", "the value of the label a is none: "),
        ("a!=b", "'a!' is no name of a label: "),
        ("a=1,a=2", "'labels' asks for a twice"),
        (",".join(f"n{i}" for i in range(33)), "'labels' asks for 33 labels; 32 are allowed"),
    ],
)
async def test_questions_that_cannot_be(gateway: Gateway, query: str, error: str) -> None:
    """400 with a sentence."""
    reply = await gateway.request("GET", "/tasks", params={"labels": query})
    assert reply.status == 400
    assert reply.json()["description"] == "Failed to retrieve tasks information"
    assert reply.json()["error"].startswith(error)
