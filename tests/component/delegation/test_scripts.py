"""What is signed for a script in a ConfigMap: the bytes that admission stamped, as long as they are there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from component.admission.stage import ACCOUNTS, SYSTEM, Stage, job, service_account
from component.delegation.callers import of
from component.delegation.test_operator import certificate
from goldcrest.authorised import authorised_commands
from goldcrest.commands import Command, Find, Payload, Submit
from goldcrest.commands.slurm import submit_payload
from goldcrest.errors import Denied
from goldcrest.grants import spec_digest
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec

pytestmark = pytest.mark.component

SCRIPT = b"#!/bin/bash\nhostname\n"
OTHER = b"#!/bin/bash\nid\n"
READ = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
CONFIG_MAP = "/api/v1/namespaces/team/configmaps"


@pytest.fixture
def made(stage: Stage) -> dict[str, Any]:
    for account in ACCOUNTS[1:]:
        stage.bind(service_account(account), READ, name=f"{account}-reads", namespace="team")
    stage.bind("alice", READ, name="alice-reads", namespace="team")
    stage.call("root", "DELETE", f"{CONFIG_MAP}/build")
    stage.must("POST", CONFIG_MAP, {"metadata": {"name": "build"}, "data": {"run.sh": SCRIPT.decode()}})
    answer = stage.create_job("alice", job(script={"configMap": {"name": "build", "key": "run.sh"}}), namespace="team")
    assert answer.status == 201, answer
    return answer.body


def commands(stage: Stage, raw: dict[str, Any]) -> dict[type[Command], Command]:
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    system = parse_model(SystemSpec, SYSTEM["spec"], what="spec")
    made = authorised_commands(JobResource.of(raw), system, cluster_id=cluster_id, script=SCRIPT)
    return {type(command): command for command in made}


async def test_the_stamped_bytes_are_signed_and_no_others(stage: Stage, made: dict[str, Any]) -> None:
    """An operator that was taken over cannot have other bytes signed, whatever the ConfigMap holds by then."""
    submit = commands(stage, made)[Submit]
    assert isinstance(submit, Submit)
    await certificate(stage, submit, of(made))
    forged = replace(submit, content=Payload.of(submit_payload({}, OTHER)))
    with pytest.raises(Denied, match=r"slurm\.submit"):
        await certificate(stage, forged, of(made))
    stage.must("PUT", f"{CONFIG_MAP}/build", {"metadata": {"name": "build"}, "data": {"run.sh": OTHER.decode()}})
    assert made["spec"]["scriptSha256"] == hashlib.sha256(SCRIPT).hexdigest()
    for command in (forged, submit):
        with pytest.raises(Denied, match=r"slurm\.submit"):
            await certificate(stage, command, of(made))
    lines = [line for line in stage.audit() if line["name"] == made["metadata"]["name"]]
    assert [(line["operation"], line["outcome"]) for line in lines] == [
        ("slurm.submit", "signed"),
        *[("slurm.submit", "refused")] * 3,
    ]


async def test_nothing_else_needs_the_script(stage: Stage, made: dict[str, Any]) -> None:
    """A ConfigMap that is gone keeps nobody from looking for, or ending, what was submitted before."""
    stage.must("DELETE", f"{CONFIG_MAP}/build")
    found = commands(stage, made)
    await certificate(stage, found[Find], of(made))
    with pytest.raises(Denied):
        await certificate(stage, found[Submit], of(made))


async def test_the_stamp_counts_for_these_bytes_only(stage: Stage, made: dict[str, Any]) -> None:
    """A stamp that is copied to another digest while the webhooks are away: nothing is signed for that Job, not even a look."""
    copy = {
        "apiVersion": made["apiVersion"],
        "kind": "Job",
        "metadata": {
            "name": made["metadata"]["name"] + "-copy",
            "annotations": made["metadata"]["annotations"],
            "finalizers": made["metadata"]["finalizers"],
        },
        "spec": {**made["spec"], "scriptSha256": hashlib.sha256(OTHER).hexdigest()},
    }
    assert spec_digest(copy["spec"]) == spec_digest(
        made["spec"]
    )  # it leaves the digest out: so the stamp has to name it
    with stage.without_webhooks():
        answer = stage.create_job("alice", copy, namespace="team")
    assert answer.status == 201, answer
    with pytest.raises(Denied, match="the stamp is for another scriptSha256"):
        await certificate(stage, commands(stage, answer.body)[Find], of(answer.body))
