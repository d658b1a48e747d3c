"""How often clients may ask: of a user, a client, a route, alone and shared between replicas, and with the store away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from firecrest.v1 import Firecrest

from component.api.gateway import running_gateway
from component.api.neighbours import Person
from component.api.redis_server import RedisServer
from goldcrest_api.services import rates

pytestmark = pytest.mark.component


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.kill()


async def test_user_over_the_rate_is_told_when_to_come_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The third of two allowed: 429, when to come again, and the log says who and why; another user is not concerned."""
    async with running_gateway(tmp_path, change={"rates": {"user": "2/3second"}}) as gateway:
        first = await gateway.request("GET", "/tasks")
        assert first.status == 200
        assert (first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == ("2", "1")
        assert (await gateway.request("GET", "/status/systems")).headers["RateLimit-Remaining"] == "0"
        with caplog.at_level(logging.INFO, logger="goldcrest_api.access"):
            refused = await gateway.request("GET", "/tasks")
        assert refused.status == 429
        assert refused.json()["code"] == "RateLimited"
        assert "user alice may send 2 per 3 second" in refused.json()["error"]
        assert refused.headers["RateLimit-Remaining"] == "0"
        (record,) = (record for record in caplog.records if record.message == "request")
        fields = record.fields  # type: ignore[attr-defined]
        assert (fields["status"], fields["user"], fields["code"]) == (429, "alice", "RateLimited")
        assert (await gateway.request("GET", "/tasks", user="bob")).status == 200
        await asyncio.sleep(int(refused.headers["Retry-After"]))
        assert (await gateway.request("GET", "/tasks")).status == 200


async def test_route_has_a_rate_of_its_own(tmp_path: Path) -> None:
    """Also for a name with a star; other routes go on. The path's prefix makes no other route of it."""
    change = {"rates": {"routes": {"GET /tasks": "1/hour", "GET /status/*": "2/hour"}}}
    async with running_gateway(tmp_path, change=change) as gateway:
        assert (await gateway.request("GET", "/tasks")).status == 200
        refused = await gateway.request("GET", "/v1/tasks")
        assert refused.status == 429
        assert "on GET /tasks" in refused.json()["error"]
        statuses = [(await gateway.request("GET", f"/status/{name}")).status for name in ("systems", "parameters") * 2]
        assert statuses == [200, 200, 429, 429]
        assert (await gateway.request("GET", "/utilities/status")).status == 200


async def test_client_is_counted_over_its_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A portal with many users has one rate; another client is not concerned; who names none is known by the address."""
    async with running_gateway(tmp_path, change={"rates": {"client": "2/hour"}}) as gateway:

        async def verify(token: str) -> Person:
            user, _, client = token.removeprefix("token-").partition("@")
            return Person(user, client=client)

        monkeypatch.setattr(gateway.tokens, "verify", verify)
        for user, status in (("alice@portal", 200), ("bob@portal", 200), ("carol@portal", 429), ("carol@other", 200)):
            assert (await gateway.request("GET", "/tasks", user=user)).status == status, user
        statuses = [(await gateway.request("GET", "/tasks", user=user)).status for user in ("alice", "bob", "carol")]
        assert statuses == [200, 200, 429]


async def test_health_and_documentation_are_not_counted(tmp_path: Path) -> None:
    """The platform asks every few seconds."""
    async with running_gateway(tmp_path, change={"rates": {"user": "1/hour", "client": "1/hour"}}) as gateway:
        for path in ("/livez", "/readyz", "/docs", "/openapi.json"):
            for _ in range(3):
                reply = await gateway.request("GET", path, user=None)
                assert reply.status == 200
                assert "RateLimit-Limit" not in reply.headers


async def test_replicas_count_together(tmp_path: Path, store: RedisServer) -> None:
    """Two gateways and one store: what a user sent to one counts at the other."""
    change = {"rates": {"user": "4/hour", "store": store.url}}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        running_gateway(tmp_path / "one", change=change) as one,
        running_gateway(tmp_path / "two", change=change) as two,
    ):
        statuses = [(await gateway.request("GET", "/tasks")).status for gateway in (one, two) * 3]
        assert statuses == [200] * 4 + [429] * 2
        assert (await one.request("GET", "/readyz", user=None)).json()["rate_limits"] == "ok"


@pytest.mark.parametrize("how", ["killed", "hangs"])
async def test_store_that_fails_takes_nothing_down(
    tmp_path: Path, store: RedisServer, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each replica then counts for itself, says so once in the log and on /readyz, and comes back to the store by itself."""
    monkeypatch.setattr(rates, "ALONE_SECONDS", 0.5)
    change = {"rates": {"user": "3/hour", "store": store.url, "store_seconds": 0.2}}
    async with running_gateway(tmp_path, change=change) as gateway:
        assert (await gateway.request("GET", "/tasks")).status == 200
        if how == "killed":
            await store.kill()
        else:
            store.stop_answering()
        began = time.monotonic()
        statuses = [(await gateway.request("GET", "/tasks")).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]  # its own count begins
        assert time.monotonic() - began < 5
        silent = [record for record in caplog.records if record.message == "rates.store.silent"]
        assert len(silent) == 1
        ready = await gateway.request("GET", "/readyz", user=None)
        assert (ready.status, "each replica for itself" in ready.json()["rate_limits"]) == (200, True)
        if how == "killed":
            await store.start()
        else:
            store.answer_again()
        await asyncio.sleep(0.6)

        async def together() -> bool:
            await gateway.request("GET", "/tasks")
            return bool((await gateway.request("GET", "/readyz", user=None)).json()["rate_limits"] == "ok")

        await gateway.eventually(together)


async def test_pyfirecrest_waits_and_goes_on(tmp_path: Path) -> None:
    """The unmodified client understands Retry-After: to its caller the limit is a pause."""
    async with running_gateway(tmp_path, change={"rates": {"user": "1/2second"}}) as gateway:
        client = Firecrest(firecrest_url=gateway.url, authorization=_Token())
        began = time.monotonic()
        for _ in range(2):
            assert await asyncio.to_thread(client.all_systems)
        assert time.monotonic() - began >= 1


class _Token:
    def get_access_token(self) -> str:
        return "token-alice"
