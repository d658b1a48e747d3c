from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from goldcrest.errors import Denied, DeniedForNow, GoldcrestError, InvalidInput, PolicyUnavailable
from goldcrest.policy import Policy, PolicyReadiness, Question, Subject, Trigger
from goldcrest.policy.question import Door
from goldcrest.telemetry import configure_logging

pytestmark = pytest.mark.unit

QUESTION = Question(
    trigger=Trigger.REQUEST,
    subject=Subject(via=Door.TOKEN, username="alice"),
    system="cluster",
    run_as="alice",
    operation="fs.stat",
)


@asynccontextmanager
async def policy(
    folder: Path, answer: Callable[[dict[str, Any]], object], *, healthy: bool = False
) -> AsyncIterator[Policy]:
    """A client of a server that answers what it is told: text is sent as it is."""

    async def decide(request: web.Request) -> web.Response:
        content = answer((await request.json())["input"])
        if isinstance(content, Exception):
            await asyncio.sleep(5)
        text = content if isinstance(content, str) else json.dumps(content)
        return web.Response(text=text, content_type="application/json")

    async def health(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/v1/data/{path:.*}", decide)
    if healthy:
        app.router.add_get("/health", health)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "opa.sock")).start()
    client = Policy(url=f"unix:{folder / 'opa.sock'}", seconds=0.5)
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


@pytest.mark.parametrize("allow", [False, None, 1, "true", "yes", [True], {"allow": True}])
async def test_only_true_allows(tmp_path: Path, allow: object) -> None:
    """Nothing but a literal true allows."""
    async with policy(tmp_path, lambda _: {"result": {"allow": allow, "reason": "because"}}) as client:
        decision = await client.decide("x", QUESTION)
    assert (decision.allow, decision.reason) == (False, "because")


async def test_allowed(tmp_path: Path) -> None:
    """A clear yes carries the id of OPA's decision log."""
    answer = {"decision_id": "4ca6", "result": {"allow": True, "reason": "allowed"}}
    async with policy(tmp_path, lambda _: answer) as client:
        decision = await client.decide("x", QUESTION)
    assert (decision.allow, decision.id) == (True, "4ca6")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"result": True},
        {"result": [True]},
        [],
        "not json",
        "",
        '{"result":',
        '"' + "x" * 2_000_000 + '"',
        ValueError(),
    ],
)
async def test_garbage_is_no_answer(tmp_path: Path, answer: object) -> None:
    """An undefined decision, garbage, too much of it or silence: denied for now, to be tried again."""
    async with policy(tmp_path, lambda _: answer) as client:
        with pytest.raises(PolicyUnavailable) as caught:
            await client.decide("x", QUESTION)
        with pytest.raises(PolicyUnavailable):
            await client.decide_many("x", [QUESTION] * 2)
    assert caught.value.retryable


async def test_a_batch(tmp_path: Path) -> None:
    """Answers are matched by id; a missing, doubled or strange one denies that question and no other."""

    def answer(asked: dict[str, Any]) -> object:
        ids = [question["id"] for question in asked["questions"]]
        yes = [{"id": name, "allow": True, "reason": "allowed"} for name in ids]
        return {
            "result": {"answers": [yes[3], yes[0], yes[2], yes[2], {"id": 1, "allow": True}, "odd", {"allow": True}]}
        }

    async with policy(tmp_path, answer) as client:
        decisions = await client.decide_many("x", [QUESTION] * 4)
    assert [decision.allow for decision in decisions] == [True, False, False, True]
    assert decisions[1].reason == "policy gave no answer to this question"
    assert decisions[2].reason == "policy gave 2 answers to this question"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"allow": False, "reason": "later", "retry": True}, DeniedForNow),
        ({"allow": False, "reason": "never"}, Denied),
        ({"allow": False, "reason": "never", "retry": "true"}, Denied),
        ({"allow": "true", "reason": "odd", "retry": 1}, Denied),
    ],
)
async def test_what_passes_by_itself(tmp_path: Path, answer: dict[str, Any], error: type[GoldcrestError]) -> None:
    """Only a literal retry makes a no one that is asked again; it never makes a yes."""
    async with policy(tmp_path, lambda _: {"result": answer}) as client:
        decision = await client.decide("x", QUESTION)
    refusal = decision.refusal(QUESTION)
    assert (decision.allow, type(refusal), refusal.message) == (False, error, answer["reason"])
    assert refusal.retryable is (error is DeniedForNow)


async def test_a_broken_glass_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who, what, why and by which decision; a refusal with those words is none."""
    configure_logging("test", level="INFO")
    glass = {"allow": True, "reason": "allowed by break-glass", "breakGlass": "ticket 4711"}
    async with policy(tmp_path, lambda _: {"decision_id": "4ca6", "result": glass}) as client:
        decision = await client.decide("x", QUESTION)
    assert decision.allow
    assert decision.break_glass == "ticket 4711"
    [line] = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "break_glass" in line["event"]]
    assert (line["level"], line["reason"], line["requester"], line["operation"], line["decision"]) == (
        *("warning", "ticket 4711", "alice", "fs.stat", "4ca6"),
    )
    async with policy(tmp_path, lambda _: {"result": {**glass, "allow": False}}) as client:
        await client.decide("x", QUESTION)
    assert "break_glass" not in capsys.readouterr().out


async def test_site_data(tmp_path: Path) -> None:
    """Ready only when the site's data has no problems at the start; what becomes wrong later is logged, and no outage of all."""
    problems: list[str] = ["data.goldcrest.limits: wrong"]
    async with policy(tmp_path, lambda _: {"result": problems}, healthy=True) as client:
        readiness = PolicyReadiness(client)
        assert await readiness.fault() == "the site's policy data is wrong: data.goldcrest.limits: wrong"
        problems.clear()
        assert await readiness.fault() == ""
        problems.append("data.goldcrest.limits: wrong again")
        assert await readiness.fault() == ""
    async with policy(tmp_path, lambda _: {}, healthy=True) as client:
        assert "load all of policies/" in await PolicyReadiness(client).fault()
    async with policy(tmp_path, lambda _: {"result": []}) as client:
        assert await PolicyReadiness(client).fault() == "OPA does not answer"


async def test_nobody_there(tmp_path: Path) -> None:
    """A socket that is not there is an unavailable policy, not a crash."""
    client = Policy(url=f"unix:{tmp_path / 'none.sock'}")
    try:
        with pytest.raises(PolicyUnavailable, match="OPA does not answer"):
            await client.decide("x", QUESTION)
        assert not await client.answers()
    finally:
        await client.close()


@pytest.mark.parametrize("url", ["http://opa:8181", "opa", ""])
async def test_unprotected_urls(url: str) -> None:
    """OPA is asked over TLS or a unix socket only."""
    with pytest.raises(InvalidInput, match="https:// or unix:"):
        Policy(url=url)


async def test_the_names_that_are_blocked(tmp_path: Path) -> None:
    """OPA's list is read whole."""
    async with policy(tmp_path, lambda _: {"result": {"names": ["mallory", "eve"]}}) as client:
        assert await client.blocked() == {"mallory", "eve"}


@pytest.mark.parametrize(
    "answer", [{}, {"result": {}}, {"result": {"names": "mallory"}}, {"result": {"names": [1]}}, "<html>"]
)
async def test_no_block_list(tmp_path: Path, answer: object) -> None:
    """Anything else is no answer, and never an empty list."""
    async with policy(tmp_path, lambda _: answer) as client:
        with pytest.raises(PolicyUnavailable):
            await client.blocked()
