"""What the shipped RBAC lets each process do, asked of a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from component.admission.stage import REPOSITORY, Stage

pytestmark = pytest.mark.component

PLACE = "rights"  # the manifest's accounts in a namespace of their own: the stage's have other rights
ACCOUNTS = ("goldcrest-api", "goldcrest-operator", "goldcrest-delegation", "goldcrest-admission")


@pytest.fixture(scope="module")
def rights(stage: Stage) -> Iterator[Stage]:
    """The manifest's roles, bound to accounts in another namespace."""
    stage.namespace(PLACE)
    base = "/apis/rbac.authorization.k8s.io/v1"
    made = []
    for item in yaml.safe_load_all((REPOSITORY / "dev" / "manifests" / "rbac.yaml").read_text()):
        subjects = item.get("subjects", [])
        if any(subject["kind"] != "ServiceAccount" for subject in subjects):
            continue
        name = f"{PLACE}-{item['metadata']['name']}"
        item["metadata"] = {"name": name}
        if "roleRef" in item:
            item["roleRef"]["name"] = f"{PLACE}-{item['roleRef']['name']}"
            item["subjects"] = [{**subject, "namespace": PLACE} for subject in subjects]
        where = base if item["kind"].startswith("Cluster") else f"{base}/namespaces/{PLACE}"
        stage.must("POST", f"{where}/{item['kind'].lower()}s", item)
        made.append(f"{where}/{item['kind'].lower()}s/{name}")
    yield stage
    for path in made:
        stage.must("DELETE", path)


def may(stage: Stage, account: str, verb: str, resource: str, *, namespace: str = "team", name: str = "") -> bool:
    """``resource`` as ``jobs/status.hpc.goldcrest.dev``."""
    plural, _, group = resource.partition(".")
    plural, _, subresource = plural.partition("/")
    asked = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace,
        "name": name,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{PLACE}:{account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{PLACE}", "system:authenticated"],
            "resourceAttributes": asked,
        },
    }
    answer = stage.must("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
IN_ITS_OWN = f" in {PLACE}"

# Everything that an account may beyond what every service account may; the table of docs/delegation.md says why.
EXACTLY: dict[str, set[str]] = {
    "goldcrest-api": {
        "get,list,watch,create,patch jobs.hpc.goldcrest.dev",
        "get,list,watch,create,patch tasks.hpc.goldcrest.dev",
        "get taskresults.hpc.goldcrest.dev",
        "get,list,watch systems.hpc.goldcrest.dev",
        "create namespaces",  # the optional role; the policy goldcrest-namespace-made bounds it
    },
    "goldcrest-operator": {
        "get,list,watch,patch,delete jobs.hpc.goldcrest.dev",
        "patch jobs/status.hpc.goldcrest.dev",
        "get,list,watch,delete tasks.hpc.goldcrest.dev",
        "patch tasks/status.hpc.goldcrest.dev",
        "create,delete taskresults.hpc.goldcrest.dev",
        "get,list,watch systems.hpc.goldcrest.dev",
        "patch systems/status.hpc.goldcrest.dev",
        "create,patch events",
        "list,watch namespaces",
        "list,watch customresourcedefinitions.apiextensions.k8s.io",
        "get,create,update,patch leases.coordination.k8s.io" + IN_ITS_OWN,
    },
    "goldcrest-delegation": {
        "get jobs.hpc.goldcrest.dev",
        "get tasks.hpc.goldcrest.dev",
        "get,list systems.hpc.goldcrest.dev",
        "create tokenreviews.authentication.k8s.io",
        "create subjectaccessreviews.authorization.k8s.io",
        "get leases.coordination.k8s.io" + IN_ITS_OWN,
    },
    "goldcrest-admission": {
        "list tasks.hpc.goldcrest.dev",
        "get,list systems.hpc.goldcrest.dev",
        "create subjectaccessreviews.authorization.k8s.io",
    },
}


def every_resource(stage: Stage) -> list[str]:
    """All that the API server serves, subresources too, as ``jobs/status.hpc.goldcrest.dev``."""
    groups = [(version, "") for version in stage.must("GET", "/api")["versions"]]
    paths = [(f"/api/{version}", group) for version, group in groups]
    for group in stage.must("GET", "/apis")["groups"]:
        paths.append((f"/apis/{group['preferredVersion']['groupVersion']}", f".{group['name']}"))
    return sorted({f"{item['name']}{group}" for path, group in paths for item in stage.must("GET", path)["resources"]})


def rights_of(stage: Stage, account: str, resources: list[str]) -> set[str]:
    """In some namespace, and what is more in its own."""
    found = set()
    for resource in resources:
        anywhere = [verb for verb in VERBS if may(stage, account, verb, resource)]
        if anywhere:
            found.add(f"{','.join(anywhere)} {resource}")
        at_home = [verb for verb in VERBS if may(stage, account, verb, resource, namespace=PLACE)]
        if at_home != anywhere:
            found.add(f"{','.join(at_home)} {resource}{IN_ITS_OWN}")
    return found


def test_exactly_these_rights(rights: Stage) -> None:
    """Of all resources that there are, with all verbs: what is listed, and nothing else; no Secrets for anybody."""
    resources = every_resource(rights)
    assert {"secrets", "pods/exec", "jobs/status.hpc.goldcrest.dev"} <= set(resources)
    of_everybody = rights_of(rights, "somebody", resources)
    for account in ACCOUNTS:
        assert rights_of(rights, account, resources) - of_everybody == EXACTLY[account], account
    # The cluster's id, by name.
    for account in ("goldcrest-api", "goldcrest-operator", "goldcrest-delegation"):
        assert may(rights, account, "get", "namespaces", namespace="", name="kube-system")
        assert not may(rights, account, "get", "namespaces", namespace="", name="team")


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_nobody_may(rights: Stage, account: str) -> None:
    """No process reads Secrets or ConfigMaps, makes tokens, changes rights or webhooks, acts as others, or uses an account."""
    for verb, resource in (
        ("get", "secrets"),
        ("list", "secrets"),
        ("get", "configmaps"),
        ("create", "serviceaccounts/token"),
        ("impersonate", "users"),
        ("create", "pods"),
        ("patch", "clusterroles.rbac.authorization.k8s.io"),
        ("bind", "clusterroles.rbac.authorization.k8s.io"),
        ("patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io"),
        ("delete", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
        ("use", "hpcaccounts.hpc.goldcrest.dev"),
        ("manage", "hpcaccounts.hpc.goldcrest.dev"),
    ):
        for namespace in ("team", PLACE):
            assert not may(rights, account, verb, resource, namespace=namespace), (verb, resource)


def test_reviews_and_leases(rights: Stage) -> None:
    """Only delegation asks who a token is; it reads Leases in Goldcrest's own namespace, and only the operator changes them."""
    assert [
        may(rights, account, "create", "tokenreviews.authentication.k8s.io", namespace="") for account in ACCOUNTS
    ] == [
        False,
        False,
        True,
        False,
    ]
    lease = "leases.coordination.k8s.io"
    assert may(rights, "goldcrest-delegation", "get", lease, namespace=PLACE)
    assert not may(rights, "goldcrest-delegation", "get", lease, namespace="kube-system")
    assert not may(rights, "goldcrest-delegation", "update", lease, namespace=PLACE)
    assert may(rights, "goldcrest-operator", "update", lease, namespace=PLACE)
    assert not may(rights, "goldcrest-operator", "update", lease, namespace="kube-system")
