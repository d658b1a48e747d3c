"""/utilities/quota through the gateway, the real ssh-filter and a command of a site's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import Gateway, Reply, running_gateway
from component.api.node_with_programs import real_node

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root"),
]

# Says who runs it and with what; fails as it is told by a file beside it.
TOOL = """#!/bin/sh
mode=$(cat "$(dirname "$0")/../mode" 2>/dev/null)
case $mode in
    fails) echo "quota-tool: the server is away" >&2; exit 3;;
    late) exit 124;;
    hangs) sleep 60;;
    *) echo "$(id -un) uses 10 GB of 50 GB, $# arguments";;
esac
"""


@asynccontextmanager
async def _site(
    folder: Path, *, policy: Mapping[str, Any], spec: Mapping[str, Any]
) -> AsyncIterator[tuple[Gateway, Path]]:
    async with real_node({"quota-tool": TOOL}, policy={"commandSeconds": 2, **policy}) as node:
        system = {**node.system, "spec": {**node.system["spec"], **spec}}
        async with running_gateway(folder, systems=(system,), remote=node.pool) as gateway:
            yield gateway, node.folder


async def _ask(gateway: Gateway) -> Reply:
    return await gateway.request("GET", "/utilities/quota", user="root")


async def test_quota_in_the_words_of_the_site(tmp_path: Path) -> None:
    """As the user, without arguments; its failures and its time-outs are told."""
    async with _site(tmp_path, policy={"quotaCommand": "quota-tool"}, spec={"quotaCommand": "quota-tool"}) as (
        gateway,
        folder,
    ):
        reply = await _ask(gateway)
        assert reply.status == 200, reply
        assert reply.json() == {"description": "Quota information", "output": "root uses 10 GB of 50 GB, 0 arguments\n"}
        (folder / "mode").write_text("fails")
        reply = await _ask(gateway)
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "CommandFailed")
        assert reply.json()["error"] == reply.headers["X-Error"] == "quota-tool: the server is away"
        for mode in ("late", "hangs"):
            (folder / "mode").write_text(mode)
            reply = await _ask(gateway)
            assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "TimedOut"), (mode, reply)
            assert reply.headers["X-Timeout"] == "Command has finished with timeout signal"


@pytest.mark.parametrize(
    ("policy", "spec", "code", "words"),
    [
        ({"quotaCommand": "quota-tool"}, {}, "NoQuotaCommand", "has no command for quotas"),
        ({}, {"quotaCommand": "quota-tool"}, "WrongState", "the command for quotas is none here, not quota-tool"),
        ({"quotaCommand": "quota-tool"}, {"quotaCommand": "id"}, "WrongState", "is quota-tool here, not id"),
    ],
    ids=["system", "node", "another"],
)
async def test_system_and_node_must_agree(
    tmp_path: Path, policy: dict[str, str], spec: dict[str, str], code: str, words: str
) -> None:
    """What runs is the node's decision, and shown is what the System says."""
    async with _site(tmp_path, policy=policy, spec=spec) as (gateway, _):
        reply = await _ask(gateway)
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, code), reply
        assert words in reply.json()["error"]
