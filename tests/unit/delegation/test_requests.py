from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldcrest.errors import InvalidInput
from goldcrest_delegation.requests import certificate_request

pytestmark = pytest.mark.unit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
GOOD: dict[str, Any] = {
    "id": 0,
    "publicKey": "A" * 43 + "=",
    "kind": "command",
    "system": "cluster",
    "user": "alice",
    "op": "fs.stat",
    "args": {"path": "/scratch", "dereference": False},
    "payload": {},
    "sid": "0" * 32,
    "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    "token": "a.b.c",
}


def test_a_good_request() -> None:
    """What is read is what will be signed."""
    request = certificate_request(GOOD)
    body = request.body()
    assert {name: body[name] for name in ("kind", "system", "user", "op", "args", "payload", "sid")} == {
        name: GOOD[name] for name in ("kind", "system", "user", "op", "args", "payload", "sid")
    }


@pytest.mark.parametrize("route", ["GET /utilities/view", "DELETE /compute/jobs/{jobid}", ""])
def test_the_route_of_a_token(route: str) -> None:
    """It is what the gateway says; none is not known."""
    assert certificate_request({**GOOD, "route": route}).route == route
    assert certificate_request(GOOD).route == ""


@pytest.mark.parametrize(
    "route", ["GET", "get /x", "GET /x y", "GET /x\n", "GET /" + "x" * 300, 5, None, ["GET /x"], "* /x"]
)
def test_what_is_no_route(route: object) -> None:
    """It could mislead who reads the log, or match a pattern that it should not."""
    with pytest.raises(InvalidInput, match="route"):
        certificate_request({**GOOD, "route": route})


def test_a_resource_has_no_route() -> None:
    """What the operator asks is not served on any."""
    resource = {"kind": "Job", "namespace": "n", "name": "x", "uid": "0"}
    value = {name: content for name, content in GOOD.items() if name != "token"}
    assert certificate_request({**value, "resource": resource}).route == ""
    with pytest.raises(InvalidInput, match="route goes with a token"):
        certificate_request({**value, "resource": resource, "route": "GET /x"})


def test_a_whole_traceparent() -> None:
    """The trace may be given as the header; the key id gets its trace id."""
    header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert certificate_request({**GOOD, "trace": header}).trace == "4bf92f3577b34da6a3ce929d0e0e4736"


WRITE = {**GOOD, "op": "fs.write", "args": {"path": "/x", "mode": 0, "overwrite": False}}


def test_a_streamed_payload() -> None:
    """Of an upload that is sent on as it comes the most bytes are signed."""
    assert certificate_request({**WRITE, "payload": {"stream": 5}}).body()["payload"] == {"stream": 5}


@pytest.mark.parametrize(
    "payload",
    [{"stream": -1}, {"stream": True}, {"stream": "5"}, {"stream": 2**53}, {"stream": 5, "size": 5}, {"stream": None}],
)
def test_payloads_that_are_none(payload: dict[str, Any]) -> None:
    """Refused; as is a payload of unknown digest of what is not written as it comes."""
    with pytest.raises(InvalidInput, match="payload"):
        certificate_request({**WRITE, "payload": payload})


@given(value=JSON)
@settings(max_examples=200, deadline=None)
def test_anything(value: object) -> None:
    """Whatever is sent is read or refused; nothing else happens."""
    with pytest.raises(InvalidInput):
        certificate_request(value)


@given(name=st.sampled_from(sorted(GOOD)), value=JSON)
@settings(max_examples=400, deadline=None)
def test_any_one_field(name: str, value: object) -> None:
    """Whatever one field holds, the request is read or refused."""
    try:
        request = certificate_request({**GOOD, name: value})
    except InvalidInput:
        return
    assert request.user.isascii()
    assert "/" not in request.user + request.system


@pytest.mark.parametrize(
    "resource",
    [
        {"kind": "Job", "namespace": "a/../b", "name": "n", "uid": "0"},
        {"kind": "Job", "namespace": "n", "name": "../../secrets", "uid": "0"},
        {"kind": "Job", "namespace": "n", "name": "n?watch=1", "uid": "0"},
        {"kind": "Job", "namespace": "", "name": "n", "uid": "0"},
        {"kind": "Secret", "namespace": "n", "name": "n", "uid": "0"},
        {"kind": "Job", "namespace": "n", "name": "n", "uid": "0", "more": 1},
        {"kind": "Job", "namespace": "n", "name": "n"},
    ],
)
def test_resources_lead_to_one_url(resource: dict[str, Any]) -> None:
    """No name of a resource leads delegation to another URL of the API server."""
    request = {name: value for name, value in GOOD.items() if name != "token"}
    with pytest.raises(InvalidInput):
        certificate_request({**request, "resource": resource})
