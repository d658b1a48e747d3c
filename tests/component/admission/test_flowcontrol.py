"""The API server's own fairness: Goldcrest's requests wait with nobody else's, and the gateway's not with the operator's."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from component.admission.binaries import binary
from component.admission.stage import API, MANIFESTS, Stage, service_account, until

pytestmark = pytest.mark.component

BASE = "/apis/flowcontrol.apiserver.k8s.io/v1"


@pytest.fixture(scope="module")
def levels(stage: Stage) -> dict[str, str]:
    """uid of each priority level by its name, with the manifest applied as an administrator applies it."""
    command = [str(binary("kubectl")), f"--kubeconfig={stage.kubeconfig('root')}", "apply", "--validate=strict"]
    done = subprocess.run(
        [*command, f"--filename={MANIFESTS / 'flowcontrol.yaml'}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    items = stage.must("GET", f"{BASE}/prioritylevelconfigurations")["items"]
    found = {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}
    gateway = service_account("goldcrest-api")
    until(lambda: level_of(stage, gateway, f"{API}/systems") == found["goldcrest-gateway"], "they are in force")
    return found


def level_of(stage: Stage, user: str, path: str) -> str:
    """uid of the level in which the API server served this request."""
    return stage.call(user, "GET", path).headers["x-kubernetes-pf-prioritylevel-uid"]


@pytest.mark.parametrize(
    ("account", "level"),
    [
        ("goldcrest-api", "goldcrest-gateway"),
        ("goldcrest-operator", "goldcrest-operator"),
        ("goldcrest-delegation", "goldcrest-operator"),
        ("goldcrest-admission", "goldcrest-operator"),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        f"{API}/jobs",
        f"{API}/namespaces/team/jobs/x",
        "/apis/coordination.k8s.io/v1/namespaces/goldcrest/leases/goldcrest-operator-default",
        "/version",
    ],
)
def test_whose_requests_wait_where(stage: Stage, levels: dict[str, str], account: str, level: str, path: str) -> None:
    """Every request of each process, to resources of all kinds and to none."""
    assert level_of(stage, service_account(account), path) == levels[level]


@pytest.mark.parametrize("user", ["alice", "gitops"])
def test_nobody_else(stage: Stage, levels: dict[str, str], user: str) -> None:
    """People and their controllers have the levels that they had."""
    assert level_of(stage, user, f"{API}/namespaces/team/jobs") == levels["global-default"]


def test_shares(stage: Stage, levels: dict[str, str]) -> None:
    """Taken up by the API server without a complaint, and not so large that others starve."""
    schemas = stage.must("GET", f"{BASE}/flowschemas")["items"]
    ours = {item["metadata"]["name"]: item for item in schemas if item["metadata"]["name"].startswith("goldcrest")}
    assert set(ours) == {"goldcrest-operator", "goldcrest-gateway"}
    for schema in ours.values():
        (dangling,) = (c for c in schema["status"]["conditions"] if c["type"] == "Dangling")
        assert dangling["status"] == "False"
    items = stage.must("GET", f"{BASE}/prioritylevelconfigurations")["items"]
    shares = {
        item["metadata"]["name"]: item["spec"]["limited"]["nominalConcurrencyShares"]
        for item in items
        if item["spec"]["type"] == "Limited"
    }
    assert shares["goldcrest-operator"] + shares["goldcrest-gateway"] < sum(shares.values()) / 4


def test_accounts_are_those_of_rbac() -> None:
    """A service account that is renamed in one place is missed in no other."""
    documents = list(yaml.safe_load_all((MANIFESTS / "flowcontrol.yaml").read_text()))
    subjects = {
        (subject["serviceAccount"]["namespace"], subject["serviceAccount"]["name"])
        for document in documents
        if document["kind"] == "FlowSchema"
        for rule in document["spec"]["rules"]
        for subject in rule["subjects"]
    }
    bound = {
        (subject["namespace"], subject["name"])
        for document in yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text())
        if document["kind"] == "ClusterRoleBinding"
        for subject in document["subjects"]
        if subject["kind"] == "ServiceAccount"
    }
    assert subjects == bound
