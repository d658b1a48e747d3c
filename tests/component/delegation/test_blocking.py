from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import JOB, Stage
from component.delegation.callers import PUBLIC_KEY, TRACE, another_delegation, authority, of
from goldcrest.authority import Authority, ByResource, ByToken
from goldcrest.blocked import BlockList
from goldcrest.errors import Blocked, Denied
from goldcrest.wellknown import namespace_of_user, rest_name
from goldcrest_delegation.blocking import OPA_SECONDS

pytestmark = pytest.mark.component


async def session(client: Authority, basis: ByToken | ByResource, user: str = "alice") -> bytes:
    return await client.session_certificate(
        public_key=PUBLIC_KEY, system="cluster", user=user, basis=basis, trace=TRACE
    )


async def grant(stage: Stage, client: Authority) -> str:
    spec: dict[str, Any] = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}}
    return await client.grant(
        token=stage.issuer.token("alice"),
        kind="Job",
        namespace=namespace_of_user("alice"),
        name=rest_name(secrets.token_hex(16)),
        spec=spec,
        trace=TRACE,
    )


async def test_signing_stops(stage: Stage, tmp_path: Path) -> None:
    """A line in the block file stops certificates and grants with the next request, for REST and for resources, and the audit
    log says so; a broken file unblocks nobody; when the line is gone, signing goes on. OPA allows all the while."""
    blocked = tmp_path / "blocked"
    blocked.touch(mode=0o600)
    made = stage.create_job("alice", JOB, namespace="team").body
    token = ByToken(stage.issuer.token("alice"))
    with another_delegation(stage, BLOCK_FILE=str(blocked)) as path:
        async with (
            authority(stage, "goldcrest-api", socket=path) as gateway,
            authority(stage, "goldcrest-operator", holder="operator-0", socket=path) as operator,
        ):

            async def refused(message: str) -> None:
                with pytest.raises(Denied, match=message):
                    await session(gateway, token)
                with pytest.raises(Denied, match=message):
                    await grant(stage, gateway)
                with pytest.raises(Denied, match=message):
                    await session(operator, of(made))
                assert {line["code"] for line in stage.audit()[-3:]} == {"Blocked"}

            async def allowed() -> None:
                assert await session(gateway, token)
                assert await grant(stage, gateway)
                assert await session(operator, of(made))

            await allowed()
            blocked.write_text("user: alice\n")
            await refused("Unix user alice is blocked by the site")
            blocked.write_text("usr alice\n")
            await refused("Unix user alice is blocked")
            blocked.write_text("requester: alice\n")
            await refused("alice is blocked by the site")
            blocked.write_text("user: bob\n")
            await allowed()
        wrong = [json.loads(line) for line in stage.log(path.stem).splitlines() if "delegation.blocklist.wrong" in line]
        assert wrong[0]["level"] == "error"
        assert wrong[0]["message"].endswith("line 1: neither `user: <name>` nor `requester: <name>`")


async def test_the_observer_is_a_user_too(stage: Stage, tmp_path: Path) -> None:
    """Blocking the observer's account stops its queries."""
    blocked = tmp_path / "blocked"
    blocked.touch(mode=0o600)
    blocked.write_text("user: watcher\n")
    system = of(stage.must("GET", "/apis/hpc.goldcrest.dev/v1alpha1/systems/cluster"))
    with another_delegation(stage, BLOCK_FILE=str(blocked)) as path:
        async with authority(stage, "goldcrest-operator", holder="operator-0", socket=path) as operator:
            with pytest.raises(Denied, match="Unix user watcher is blocked"):
                await session(operator, system, "watcher")


async def test_the_list_is_served(stage: Stage, tmp_path: Path) -> None:
    """Gateway and operator read the file's lines and the names in OPA's data as one list; a change of the file is there with the
    next look. Whoever is neither is refused, and that is logged."""
    blocked = tmp_path / "blocked"
    blocked.touch(mode=0o600)
    blocked.write_text("user: mallory\nrequester: system:serviceaccount:ci:bot\n")
    opa = {"blocked-user"}
    with another_delegation(stage, BLOCK_FILE=str(blocked)) as path:
        for account in ("goldcrest-api", "goldcrest-operator"):
            async with authority(stage, account, socket=path) as caller:
                listed = await caller.blocked()
                assert listed.users == {"mallory"} | opa
                assert listed.requesters == {"system:serviceaccount:ci:bot"} | opa
        blocked.write_text("user: carol\n")
        async with authority(stage, "goldcrest-api", socket=path) as caller:
            assert await caller.blocked() == BlockList(frozenset({"carol"} | opa), frozenset(opa))
        async with authority(stage, "goldcrest-admission", socket=path) as stranger:
            with pytest.raises(Denied, match="goldcrest-admission is not served by delegation"):
                await stranger.blocked()
        refused = [json.loads(line) for line in stage.log(path.stem).splitlines() if "caller.refused" in line]
        assert (refused[-1]["path"], refused[-1]["code"]) == ("/v1/blocked", "PolicyDenied")


async def test_the_names_in_opa_count_as_the_lines(stage: Stage) -> None:
    """A name in OPA's data is refused with the same code as a line of the file, also in the seconds in which delegation does not
    know it yet and OPA's own rule refuses: to the operator that is no refusal for good."""
    made = stage.create_job("alice", JOB, namespace="team").body
    async with (
        authority(stage, "goldcrest-api") as gateway,
        authority(stage, "goldcrest-operator", holder="operator-0") as operator,
    ):
        await gateway.blocked()  # delegation remembers OPA's list as of now
        with stage.blocked_in_opa("alice"):
            for _ in range(2):
                with pytest.raises(Blocked, match="alice is blocked by the site"):
                    await session(gateway, ByToken(stage.issuer.token("alice")))
                with pytest.raises(Blocked, match="alice is blocked by the site"):
                    await session(operator, of(made))
                assert {line["code"] for line in stage.audit()[-2:]} == {"Blocked"}
            assert (await gateway.blocked()).users == {"alice"}


async def test_opa_away(stage: Stage, tmp_path: Path) -> None:
    """While OPA is away, its last list is served beside the file as it is."""
    blocked = tmp_path / "blocked"
    blocked.touch(mode=0o600)
    with another_delegation(stage, BLOCK_FILE=str(blocked)) as path:
        async with authority(stage, "goldcrest-api", socket=path) as gateway:
            assert (await gateway.blocked()).users == {"blocked-user"}
            stage.stop_process("opa")
            try:
                await asyncio.sleep(OPA_SECONDS + 0.1)
                blocked.write_text("user: mallory\n")
                assert (await gateway.blocked()).users == {"blocked-user", "mallory"}
            finally:
                stage.start_opa()
        assert "delegation.blocklist.opa_silent" in stage.log(path.stem)
