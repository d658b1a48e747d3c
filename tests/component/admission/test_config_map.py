"""Scripts in ConfigMaps, and dependencies by name, at a real API server."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from component.admission.binaries import binary
from component.admission.stage import ACCOUNTS, API, Stage, job, service_account

pytestmark = pytest.mark.component

SCRIPT = "#!/bin/bash\n#SBATCH --time=5\nhostname\n"
DIGEST = hashlib.sha256(SCRIPT.encode()).hexdigest()
READ = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]


@pytest.fixture(scope="module")
def place(stage: Stage) -> str:
    """A namespace where alice may use her account and read ConfigMaps, and Goldcrest may read them too."""
    stage.namespace("scripts")
    stage.may("alice", "scripts", accounts=["cluster:alice"])
    stage.bind("alice", READ, name="alice-reads", namespace="scripts")
    for account in ACCOUNTS[1:]:
        stage.bind(service_account(account), READ, name=f"{account}-reads", namespace="scripts")
    make(stage, "scripts", data={"run.sh": SCRIPT, "empty.sh": " \n", "taken.sh": "#!/bin/sh\n#SBATCH --hold\n"})
    return "scripts"


def make(stage: Stage, namespace: str, name: str = "build", **content: Any) -> None:
    stage.must("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}, **content})


def of_config_map(key: str = "run.sh", name: str = "build", **spec: Any) -> dict[str, Any]:
    return job(script={"configMap": {"name": name, "key": key}}, **spec)


@pytest.fixture
def made(stage: Stage, place: str) -> dict[str, Any]:
    answer = stage.create_job("alice", of_config_map(timeLimit="10"), namespace=place)
    assert answer.status == 201, answer
    return answer.body


def test_the_digest_is_stamped_and_frozen(stage: Stage, place: str, made: dict[str, Any]) -> None:
    """The Job says which bytes it means; nobody changes that later, nor leaves it out."""
    assert made["spec"]["scriptSha256"] == DIGEST
    for value in ("0" * 64, None):
        answer = stage.patch_job("alice", place, made["metadata"]["name"], {"spec": {"scriptSha256": value}})
        assert answer.status == 422
        assert "scriptSha256: field is immutable" in answer.message


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"name": "missing"}, 422, "there is no ConfigMap missing in namespace scripts"),
        ({"key": "missing"}, 422, "the ConfigMap build in namespace scripts has no key missing"),
        ({"key": "empty.sh"}, 422, "spec.script is empty"),
        ({"key": "taken.sh"}, 422, "line 2 of the script: --hold"),
        ({"scriptSha256": "0" * 64}, 403, "spec.scriptSha256 is not the SHA-256 of the script"),
    ],
)
def test_what_is_refused(stage: Stage, place: str, change: dict[str, str], status: int, message: str) -> None:
    """A sentence that says what to change, before anything is stored."""
    answer = stage.create_job("alice", of_config_map(**change), namespace=place)
    assert answer.status == status, answer
    assert message in answer.message


def test_only_what_its_maker_may_read(stage: Stage, place: str) -> None:
    """Else a job's output would show a ConfigMap that its maker may not see; Goldcrest's own right does not count."""
    stage.may("bob", place, accounts=["cluster:bob"])
    answer = stage.create_job("bob", of_config_map(runAs="bob"), namespace=place)
    assert answer.status == 403
    assert "bob may not get configmaps 'build' in namespace scripts" in answer.message
    refused = [line for line in stage.log("admission").splitlines() if "admission.refused" in line]
    assert any("may not get configmaps" in line and "bob" in line for line in refused)


def test_only_where_goldcrest_may_read(stage: Stage) -> None:
    """It has no right to ConfigMaps but where an administrator gave it, and says which role is missing."""
    stage.namespace("elsewhere")
    stage.may("alice", "elsewhere", accounts=["cluster:alice"])
    stage.bind("alice", READ, name="alice-reads", namespace="elsewhere")
    make(stage, "elsewhere", data={"run.sh": SCRIPT})
    answer = stage.create_job("alice", of_config_map(), namespace="elsewhere")
    assert answer.status == 403
    assert "must bind the ClusterRole goldcrest-script-reader" in answer.message


def test_bytes_that_are_no_text(stage: Stage, place: str) -> None:
    """binaryData is read as bytes."""
    make(stage, place, name="binary", binaryData={"run": "IyEvYmluL3NoCv8K"})
    answer = stage.create_job("alice", of_config_map("run", "binary"), namespace=place)
    assert answer.status == 201, answer
    assert answer.body["spec"]["scriptSha256"] == hashlib.sha256(b"#!/bin/sh\n\xff\n").hexdigest()


def test_the_maker_is_told_which_lines_do_not_count(stage: Stage, place: str, tmp_path: Path) -> None:
    """A field wins over the script's own line, also where the script is in a ConfigMap: kubectl prints it."""
    manifest = tmp_path / "job.json"
    manifest.write_text(json.dumps(of_config_map(timeLimit="10")))
    argv = [
        str(binary("kubectl")),
        "--kubeconfig",
        str(stage.kubeconfig("alice")),
        "create",
        "-n",
        place,
        "-f",
        str(manifest),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert (
        "Warning: line 2 of the script: --time is not used, because spec.timeLimit says something else" in done.stderr
    )


@pytest.mark.parametrize(
    ("dependency", "message"),
    [
        ({"type": "afterok", "name": "me"}, "a gjob cannot depend on itself"),
        ({"type": "afterok", "name": "a", "jobId": "7"}, "either a name (of a gjob) or a jobId"),
        ({"type": "afterok"}, "either a name (of a gjob) or a jobId"),
        ({"type": "singleton", "name": "a"}, "either a name (of a gjob) or a jobId"),
        ({"type": "afterok", "name": "NO_NAME"}, "spec.dependencies.0.name: 'NO_NAME' is not of its form"),
    ],
)
def test_dependencies_that_make_no_sense(stage: Stage, dependency: dict[str, str], message: str) -> None:
    """Refused at admission."""
    body = {**job(dependencies=[dependency]), "metadata": {"name": "me"}}
    answer = stage.create_job("alice", body, namespace="team")
    assert answer.status == 422, answer
    assert message in answer.message
    assert stage.call("root", "GET", f"{API}/namespaces/team/jobs/me").status == 404


def test_run_key_and_names_are_frozen(stage: Stage) -> None:
    """Neither is added, changed or taken away later."""
    spec = {"runKey": "k-1", "dependencies": [{"type": "afterany", "name": "other"}]}
    made = stage.create_job("alice", job(**spec), namespace="team")
    assert made.status == 201, made
    name = made.body["metadata"]["name"]
    for patch in ({"runKey": "k-2"}, {"runKey": None}, {"dependencies": []}):
        answer = stage.patch_job("alice", "team", name, {"spec": patch})
        assert answer.status == 422
        assert "field is immutable" in answer.message
