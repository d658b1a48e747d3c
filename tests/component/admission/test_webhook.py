"""A webhook that is configured for something else says so, instead of letting it through."""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from typing import Any

import pytest

from component.admission.stage import Stage

pytestmark = pytest.mark.component

REQUEST: dict[str, Any] = {
    "uid": "1",
    "operation": "UPDATE",
    "kind": {"group": "hpc.goldcrest.dev", "version": "v1alpha1", "kind": "Job"},
    "resource": {"group": "hpc.goldcrest.dev", "version": "v1alpha1", "resource": "jobs"},
    "namespace": "team",
    "userInfo": {"username": "alice", "groups": []},
}


def ask(stage: Stage, path: str, body: bytes) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(stage.tls.ca))
    with closing(
        http.client.HTTPSConnection("127.0.0.1", stage.webhook_port, context=context, timeout=10)
    ) as connection:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "CONNECT"}, "this webhook reviews CREATE, UPDATE and DELETE, not CONNECT: correct its"),
        (
            {"resource": {"group": "batch", "resource": "jobs"}},
            "this webhook reviews jobs.hpc.goldcrest.dev, tasks.hpc.goldcrest.dev, not jobs.batch",
        ),
        ({"operation": "DELETE"}, "alice may not manage hpcaccounts.hpc.goldcrest.dev 'None:None'"),
    ],
)
def test_what_it_does_not_know(stage: Stage, path: str, change: dict[str, Any], message: str) -> None:
    """Another operation, another resource, or a deletion that does not say of what: refused in words, and logged."""
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**REQUEST, **change}}
    status, body = ask(stage, path, json.dumps(review).encode())
    assert status == 200
    response = json.loads(body)["response"]
    assert response["allowed"] is False
    assert message in response["status"]["message"]
    assert message in json.loads(stage.log("admission").splitlines()[-1])["reason"]


def test_what_is_no_review(stage: Stage) -> None:
    """Bytes of another form are answered 400; the API server fails closed then."""
    assert ask(stage, "/mutate", b"{}") == (400, "the body is no AdmissionReview of admission.k8s.io/v1\n")
