"""The beginning of every request: token, machine, and in which order things are checked."""

from __future__ import annotations

import pytest

from component.api.gateway import Gateway
from goldcrest.errors import InsufficientAuthentication, Unavailable
from goldcrest_api.dialects.firecrest_v1 import DIALECT
from goldcrest_api.mounts import Mounts

pytestmark = pytest.mark.component

ROUTES = [
    ("POST", "/compute/jobs/upload"),
    ("POST", "/compute/jobs/path"),
    ("DELETE", "/compute/jobs/1"),
    ("GET", "/compute/status"),
    ("GET", "/tasks"),
    ("GET", "/tasks/00000000000000000000000000000000"),
    ("GET", "/status/systems"),
    ("GET", "/status/systems/cluster"),
    ("GET", "/status/parameters"),
    ("GET", "/utilities/view"),
    ("GET", "/utilities/status"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_a_token(gateway: Gateway, method: str, path: str) -> None:
    """Every route: 401 before anything else is looked at, the machine included."""
    reply = await gateway.request(method, path, user=None, machine="nowhere")
    assert reply.status == 401
    assert reply.text == '{"description":"No Auth Header given"}\n'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("Bearer bad-TokenExpired", "JWT token has expired"),
        ("Bearer bad-InvalidSignature", "JWT token has invalid signature"),
        ("Bearer bad-InvalidAudience", "Invalid audience in JWT token"),
        ("Bearer bad-InvalidAlgorithm", "JWT token has invalid signature algorithm"),
        ("Bearer bad-InvalidToken", "Bad header or JWT, general exception raised"),
        ("Bearer bad-scope-firecrest", "Scope 'firecrest' wasn't found in JWT"),
        ("bearer token-alice", "Bad header or JWT, general exception raised"),
        ("Bearer ", "Bad header or JWT, general exception raised"),
    ],
)
async def test_token_that_is_not_accepted(gateway: Gateway, value: str, reason: str) -> None:
    """The texts of the contract; lower-case "bearer" is none of its forms."""
    reply = await gateway.request("GET", "/tasks", user=None, headers={"Authorization": value})
    assert (reply.status, reply.json()) == (401, {"description": reason})


async def test_challenges(gateway: Gateway) -> None:
    """For programs: nothing but the scheme without a token, else what is wrong (RFC 6750)."""
    reply = await gateway.request("GET", "/tasks", user=None)
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    reply = await gateway.request("GET", "/tasks", user=None, headers={"Authorization": "Bearer bad-TokenExpired"})
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token", error_description="not valid"'


@pytest.mark.parametrize("door", ["node", "delegation"])
async def test_better_sign_in_is_wanted(gateway: Gateway, door: str) -> None:
    """Policy refuses a certificate or a grant for want of one: 401 in its words, and RFC 9470's challenge for programs."""
    error = InsufficientAuthentication("sign in with a second factor", challenge={"acr_values": "2", "max_age": "300"})
    (gateway.node if door == "node" else gateway.delegation).refusal = error
    reply = await gateway.upload()
    assert (reply.status, reply.json()) == (401, {"description": "sign in with a second factor"})
    assert reply.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_user_authentication", error_description="sign in with a second factor", '
        'acr_values="2", max_age="300"'
    )


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_token_without_a_user(gateway: Gateway, prefix: str) -> None:
    """Contract 3.2: 400 on every route of two services, 401 in the general text on all others; nothing is done on any."""
    sentence = "Error creating certificate: 'preferred_username'"
    seen: set[tuple[str, int]] = set()
    for route in Mounts([DIALECT]).routes():
        path = route.path.removeprefix("/v1").replace("{", "").replace("}", "")
        if path in ("/", "/tasks/tasklist", "/tasks/taskslist"):
            continue  # nobody's: 400 without a look at the token
        for method in route.methods or ():
            headers = {"Authorization": "Bearer bad-NoUser"}
            reply = await gateway.request(method, prefix + path, user=None, machine="nowhere", headers=headers)
            service = path.split("/")[1]
            seen.add((service, reply.status))
            assert reply.headers["X-Goldcrest-Code"] == "NoUser", (method, path, reply)
            assert reply.headers.get("X-Error") == (sentence if service == "utilities" else None), (method, path, reply)
            assert ("WWW-Authenticate" in reply.headers) == (reply.status == 401)
            body = reply.json()
            if service == "utilities":
                assert (body.pop("error"), body["description"][:9], body["description"][-10:]) == (
                    sentence,
                    "Error on ",
                    " operation",
                )
            elif service != "compute":
                assert body == {"description": "Bad header or JWT, general exception raised"}, path
            elif path in ("/compute/partitions", "/compute/reservations"):
                assert body == {"description": "Failed to retrieve account information"}
            elif not path.endswith("/output"):  # no route of the contract
                assert body == {"description": "Failed to retrieve jobs information"}
            assert list(body) == ["description"]
    assert seen == {
        *(("compute", 400), ("utilities", 400)),
        *((service, 401) for service in ("tasks", "events", "status", "reservations")),
    }
    assert (gateway.node.asked, gateway.delegation.granted, gateway.delegation.acted) == ([], [], [])
    assert gateway.kubernetes.tasks() == []


async def test_bare_token(gateway: Gateway) -> None:
    """Accepted without "Bearer "."""
    reply = await gateway.request("GET", "/tasks", user=None, headers={"Authorization": "token-alice"})
    assert reply.status == 200


async def test_keys_of_the_issuer_cannot_be_had(gateway: Gateway) -> None:
    """Not the caller's fault: come back."""
    gateway.tokens.unavailable = Unavailable("the issuer does not answer")
    reply = await gateway.request("GET", "/tasks")
    assert reply.status == 503
    assert reply.headers["Retry-After"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/compute/jobs/upload", {"description": "No machine name given"}),
        ("POST", "/compute/jobs/path", {"description": "Failed to submit job", "error": "No machine name given"}),
        ("DELETE", "/compute/jobs/1;2", {"description": "No machine name given"}),
        ("GET", "/utilities/view", {"description": "No machine name given"}),
    ],
)
async def test_without_a_machine(gateway: Gateway, method: str, path: str, body: dict[str, str]) -> None:
    """400, before fields are looked at."""
    reply = await gateway.request(method, path, machine=None)
    assert (reply.status, reply.json()) == (400, body)


@pytest.mark.parametrize(
    ("method", "path", "description", "error"),
    [
        ("POST", "/compute/jobs/upload", "Failed to submit job file", "Machine does not exists"),
        ("POST", "/compute/jobs/path", "Failed to submit job", "Machine does not exists"),
        ("DELETE", "/compute/jobs/1;2", "Failed to delete job", "Machine does not exists"),
        ("GET", "/utilities/view", "Error on fsize operation", "Machine does not exist"),
    ],
)
async def test_unknown_machine(gateway: Gateway, method: str, path: str, description: str, error: str) -> None:
    """400 with both spellings of the header (D6), before fields are looked at."""
    reply = await gateway.request(method, path, machine="nowhere")
    assert (reply.status, reply.json()) == (400, {"description": description, "error": error})
    assert reply.headers["X-Machine-Does-Not-Exist"] == "Machine does not exist"
    assert reply.headers["X-Machine-Does-Not-Exists"] == "Machine does not exists"
