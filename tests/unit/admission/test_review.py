from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldcrest.errors import Denied, InvalidInput, PolicyUnavailable
from goldcrest_admission.review import parse_review, pointer, refused

pytestmark = pytest.mark.unit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
REQUEST: dict[str, Any] = {
    "uid": "u",
    "operation": "CREATE",
    "kind": {"group": "hpc.goldcrest.dev", "version": "v1alpha1", "kind": "Job"},
    "resource": {"group": "hpc.goldcrest.dev", "version": "v1alpha1", "resource": "jobs"},
    "namespace": "team",
    "userInfo": {"username": "alice", "groups": ["g"]},
    "object": {"metadata": {"name": "n"}, "spec": {}},
    "oldObject": None,
}


def body(request: object) -> bytes:
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def test_a_review() -> None:
    """What the API server sends is read."""
    review = parse_review(body(REQUEST))
    assert (review.username, review.groups, review.namespace, review.name) == ("alice", ("g",), "team", "n")
    assert review.resource == "jobs.hpc.goldcrest.dev"


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes(data: bytes) -> None:
    """Bytes that are no review are refused, never a crash."""
    with pytest.raises(InvalidInput):
        parse_review(data)


@given(name=st.sampled_from(sorted(REQUEST)), value=JSON)
@settings(max_examples=300, deadline=None)
def test_any_one_field(name: str, value: object) -> None:
    """Whatever one field holds, the review is read or refused."""
    try:
        review = parse_review(body({**REQUEST, name: value}))
    except InvalidInput:
        return
    assert isinstance(review.username, str)
    assert isinstance(review.spec if isinstance(review.new.get("spec", {}), dict) else {}, dict)


@pytest.mark.parametrize(
    ("error", "code"), [(Denied("no"), 403), (InvalidInput("no"), 422), (PolicyUnavailable("no"), 503)]
)
def test_refusals(error: Any, code: int) -> None:
    """kubectl shows the sentence; the code tells whether to try again."""
    response = refused("u", error)["response"]
    assert (response["allowed"], response["status"]["code"], response["status"]["message"]) == (False, code, "no")


def test_pointers() -> None:
    """The slash in an annotation's name does not split the path."""
    assert pointer("metadata", "annotations", "a/b~c") == "/metadata/annotations/a~1b~0c"
