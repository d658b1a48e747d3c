"""Pages of other origins (contract 2.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from component.api.gateway import Gateway, running_gateway

pytestmark = pytest.mark.component

ORIGIN = {"Origin": "https://portal.example"}


async def _preflight(gateway: Gateway, **headers: str):  # type: ignore[no-untyped-def]
    asked = {
        "Access-Control-Request-Method": "POST",
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    return await gateway.request("OPTIONS", "/compute/jobs/upload", user=None, machine=None, headers=ORIGIN | asked)


async def test_preflight(gateway: Gateway) -> None:
    """Any origin, the four methods and the headers of the contract, for an hour, without credentials; no token is needed."""
    reply = await _preflight(
        gateway, Access_Control_Request_Headers="authorization,x-machine-name,x-task-id,content-type,accept"
    )
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert set(reply.headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "POST", "PUT", "DELETE"}
    allowed = set(reply.headers["Access-Control-Allow-Headers"].split(", "))
    assert {"Accept", "X-Machine-Name", "X-Task-Id", "Authorization", "Content-Type"} <= allowed
    assert reply.headers["Access-Control-Max-Age"] == "3600"
    assert "Access-Control-Allow-Credentials" not in reply.headers
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_other_headers_and_methods_are_not_allowed(gateway: Gateway) -> None:
    """The browser then sends nothing."""
    assert (await _preflight(gateway, Access_Control_Request_Headers="x-other")).status == 400
    assert (await _preflight(gateway, Access_Control_Request_Method="PATCH")).status == 400


@pytest.mark.parametrize(("path", "status"), [("/tasks", 200), ("/no", 404), ("/utilities/stat", 400)])
async def test_answers_and_their_headers_may_be_read(gateway: Gateway, path: str, status: int) -> None:
    """Errors, too."""
    reply = await gateway.request("GET", path, headers=ORIGIN)
    assert reply.status == status
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    exposed = reply.headers["Access-Control-Expose-Headers"]
    assert {"X-Error", "Retry-After", "X-Request-ID"} <= set(exposed.split(", "))


async def test_site_names_its_origins(tmp_path: Path) -> None:
    """Others may not read answers."""
    async with running_gateway(tmp_path, change={"cors": {"origins": ["https://portal.example"]}}) as gateway:
        mine = await gateway.request("GET", "/tasks", headers=ORIGIN)
        assert mine.headers["Access-Control-Allow-Origin"] == "https://portal.example"
        other = await gateway.request("GET", "/tasks", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
