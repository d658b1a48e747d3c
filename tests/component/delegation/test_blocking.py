from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import JOB, Stage
from component.delegation.callers import PUBLIC_KEY, TRACE, another_delegation, authority, of
from goldcrest.authority import Authority, ByResource, ByToken
from goldcrest.errors import Denied
from goldcrest.wellknown import namespace_of_user, rest_name

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
