"""A second dialect beside the first: it is a folder and a line, and neither is in the other's way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import APIRouter

from component.api.gateway import Gateway, running_gateway
from component.api.made_up import DIALECT as MADE_UP
from goldcrest.errors import InvalidInput
from goldcrest_api.dialects import firecrest_v1
from goldcrest_api.dialects.registered import DIALECTS
from goldcrest_api.mounts import Mounts

pytestmark = pytest.mark.component

BOTH = (*DIALECTS, MADE_UP)
SIZE = "/sizes/systems/cluster/size?path=/a"


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Two dialects, none of them at /."""
    async with running_gateway(tmp_path, dialects=BOTH) as running:
        running.node.files["/a"] = b"12345"
        yield running


async def test_second_dialect_works_beside_the_first(both: Gateway) -> None:
    """The same services, each in its own words."""
    reply = await both.request("GET", SIZE)
    assert (reply.status, reply.json()) == (200, {"bytes": 5, "user": "alice"})
    reply = await both.request("GET", "/v1/utilities/stat?targetPath=/a")
    assert (reply.status, reply.json()["output"]["size"]) == (200, 5)


async def test_each_answers_in_its_own_shape(both: Gateway) -> None:
    """Also what none of its routes answers: unknown routes and methods, a wrong token, a fault of our own. The codes are the same."""
    for path, method, status, code in (
        ("/systems/cluster/nothing", "GET", 404, "NotFound"),
        ("", "GET", 404, "NotFound"),
        ("/systems/cluster/size", "PUT", 405, "MethodNotAllowed"),
        ("/systems/other/size", "GET", 404, "NotFound"),
        ("/broken", "POST", 500, "InternalError"),
    ):
        reply = await both.request(method, MADE_UP.prefix + path)
        assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json"), reply
        assert reply.json()["type"] == f"urn:example:{code}"
        assert "internal detail" not in reply.text
        assert reply.headers["X-Goldcrest-Code"] == code
    assert (await both.request("GET", SIZE, user=None)).json()["type"] == "urn:example:TokenMissing"
    reply = await both.request("GET", "/v1/compute/nothing")
    assert (reply.status, reply.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "<h1>404 Not Found</h1>" in reply.text
    assert (await both.request("GET", "/v1/tasks", user=None)).json() == {"description": "No Auth Header given"}


async def test_rates_and_maintenance_hold_for_both(tmp_path: Path) -> None:
    """They are the gateway's, and are told in the words of the dialect that was asked."""
    file = tmp_path / "maintenance.toml"
    change = {"rates": {"user": "2/hour"}, "maintenance_file": file}
    async with running_gateway(tmp_path, dialects=BOTH, change=change) as gateway:
        gateway.node.files["/a"] = b""
        assert (await gateway.request("GET", SIZE)).status == 200
        assert (await gateway.request("GET", "/v1/tasks")).status == 200
        reply = await gateway.request("GET", SIZE)
        assert (reply.status, reply.json()["type"], reply.json()["retry"]) == (429, "urn:example:RateLimited", True)
        assert int(reply.headers["Retry-After"]) > 60
        assert (await gateway.request("GET", "/v1/tasks")).json()["description"] == "Too many requests"
        file.write_text('message = "Until noon."\n')

        async def closed() -> bool:
            return (await gateway.request("GET", SIZE)).status == 503

        await gateway.eventually(closed)
        reply = await gateway.request("GET", SIZE)
        assert (reply.json()["type"], reply.json()["detail"]) == ("urn:example:Maintenance", "Until noon.")
        assert (await gateway.request("GET", "/v1/tasks")).json() == {"message": "Until noon."}


async def test_with_two_none_is_at_the_root(both: Gateway) -> None:
    """No client could know which is meant; it is told where to look."""
    for path in ("/tasks", "/", "/systems/cluster/size"):
        reply = await both.request("GET", path)
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (404, "NotFound")
        assert "<p>the API is served at /v1, /sizes</p>" in reply.text


async def test_site_says_which_is_at_the_root(tmp_path: Path) -> None:
    """So that clients which have the bare address go on working."""
    async with running_gateway(tmp_path, dialects=BOTH, change={"root_dialect": "firecrest-v1"}) as gateway:
        gateway.node.files["/a"] = b"12345"
        for path in ("/tasks", "/v1/tasks", SIZE):
            assert (await gateway.request("GET", path)).status == 200
        assert (await gateway.request("GET", "/systems/cluster/size?path=/a")).status == 404


async def test_documentation_has_both(both: Gateway) -> None:
    """Each route once, at its prefix."""
    page = (await both.request("GET", "/openapi.json", user=None)).json()
    assert {"/v1/tasks", "/sizes/systems/{system}/size"} <= set(page["paths"])
    assert all(path.startswith(("/v1/", "/sizes/")) for path in page["paths"])
    assert "Sizes of files." in page["info"]["description"]


async def test_routes_of_others_have_names_of_their_own(both: Gateway) -> None:
    """What policy, rates and logs see: no rule for a route of the first dialect means one of the second."""
    await both.request("GET", SIZE)
    await both.request("GET", "/v1/utilities/stat?targetPath=/a")
    routes = set(both.node.routes)
    assert routes == {"GET /sizes/systems/{system}/size", "GET /utilities/stat"}


@pytest.mark.parametrize(
    ("second", "root", "message"),
    [
        (MADE_UP, "other", "no dialect is called other: there are firecrest-v1, sizes"),
        (replace(MADE_UP, prefix="/v1"), "", "cannot be at /v1"),
        (replace(MADE_UP, prefix="/docs"), "", "cannot be at /docs"),
        (replace(MADE_UP, prefix="/tasks"), "firecrest-v1", "cannot be at /tasks"),
        (replace(MADE_UP, prefix="v2/"), "", "is no prefix"),
        (replace(MADE_UP, name="firecrest-v1"), "", "is taken"),
    ],
)
def test_what_cannot_stand_side_by_side(second, root: str, message: str) -> None:  # type: ignore[no-untyped-def]
    """The gateway does not start, and says why."""
    with pytest.raises(InvalidInput, match=message):
        Mounts((*DIALECTS, second), root=root)


def test_prefix_comes_before_the_root() -> None:
    """A route of the root's dialect that would fit any path takes nothing from another dialect."""
    routes = APIRouter()
    routes.add_api_route("/{anything}/{more}", _nothing, methods=["GET"], response_model=None)
    greedy = replace(MADE_UP, name="greedy", prefix="/greedy", routes=lambda: routes)
    paths = [route.path for route in Mounts((greedy, firecrest_v1.DIALECT), root="greedy").routes()]
    assert paths.index("/v1/tasks") < paths.index("/{anything}/{more}")


async def _nothing() -> None:
    raise AssertionError("never called")
