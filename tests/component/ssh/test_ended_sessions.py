"""Sessions that are ended because their user was blocked: what whoever uses them sees."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from component.ssh.login_node import (
    SYSTEM,
    Behaviour,
    LoginNode,
    RealFilter,
    Request,
    ScriptedFilter,
    TinyAuthority,
    spec_of,
    until,
)
from goldcrest.authority import ByToken
from goldcrest.blocked import BlockFollower, BlockList
from goldcrest.commands import MakeDirectory, ReadFile, StatFile, WhoAmI
from goldcrest.errors import AnswerLost, Blocked, Denied
from goldcrest.ssh import SshPool
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.component

REASON = "the site blocked this user"
StartNode = Callable[[Behaviour], Awaitable[LoginNode]]


def to(node: LoginNode, *, user: str = "alice") -> dict[str, Any]:
    return {"system": SYSTEM, "spec": spec_of(node), "user": user, "basis": ByToken(user), "trace": Trace.new()}


def block(authority: TinyAuthority, user: str = "alice") -> None:
    """From now on the authority signs no session for this user."""
    authority.refuse_sessions_of[ByToken(user)] = Blocked(f"Unix user {user} is blocked by the site")


async def answer(request: Request) -> None:
    request.answer(op=request.command["op"])


async def gone(node: LoginNode) -> None:
    await until(lambda: not node.connections)


async def test_idle_sessions_end(authority: TinyAuthority, start_node: StartNode, make_pool: Any) -> None:
    """The sshd sees the connection end, and the next command the authority's refusal; other users keep theirs."""
    node, other = await start_node(ScriptedFilter(answer)), await start_node(ScriptedFilter(answer, user="bob"))
    pool: SshPool = make_pool()
    await pool.run(WhoAmI(), **to(node))
    await pool.run(WhoAmI(), **to(other, user="bob"))
    block(authority)
    assert pool.end_sessions({"alice"}, reason=REASON) == 1
    await gone(node)
    assert len(other.connections) == 1
    with pytest.raises(Denied, match="alice is blocked"):
        await pool.run(WhoAmI(), **to(node))
    assert (await pool.run(WhoAmI(), **to(other, user="bob"))).result
    assert (authority.sessions, other.logins) == (3, 1)


async def test_a_stream_ends_with_the_reason(start_node: StartNode, make_pool: Any) -> None:
    """A download under way ends at once, and its reader is told why and that it is no whole."""
    pool: SshPool = make_pool()

    async def read(request: Request) -> None:
        request.data(b"first ")

    node = await start_node(ScriptedFilter(read))
    with pytest.raises(Blocked, match="the site blocked this user; 6 bytes had come"):
        async with aclosing(pool.stream(ReadFile("/x"), seconds=5, **to(node))) as pieces:
            async for _ in pieces:
                assert pool.end_sessions({"alice"}, reason=REASON) == 1
    await gone(node)


async def test_a_request_that_waits_for_the_filter(
    authority: TinyAuthority, start_node: StartNode, make_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter was killed and the next one is not there yet: who waits for it learns the refusal, and is not cancelled with its opening."""
    script = ScriptedFilter(answer)
    node = await start_node(script)
    pool: SshPool = make_pool()
    await pool.run(WhoAmI(), **to(node))
    (connection,) = pool._connections._open.values()
    script.runs[0].process.exit(1)
    await until(lambda: not connection.channel_count)
    opening = asyncio.Event()

    async def for_ever() -> Any:
        opening.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(connection, "_open_channel", for_ever)
    waiting = asyncio.create_task(pool.run(WhoAmI(), **to(node)))
    await opening.wait()
    block(authority)
    pool.end_sessions({"alice"}, reason=REASON)
    with pytest.raises(Denied, match="alice is blocked"):
        await waiting


async def test_a_request_under_way(authority: TinyAuthority, start_node: StartNode, make_pool: Any) -> None:
    """One that may be repeated is asked for anew and gets the authority's refusal; one that may have taken effect says that."""
    pool: SshPool = make_pool()

    async def end(request: Request) -> None:
        pool.end_sessions({"alice"}, reason=REASON)

    node = await start_node(ScriptedFilter(end))
    authority.before_command = None
    for command, error, words in (
        (MakeDirectory("/scratch/new"), AnswerLost, f"{REASON}. It had been sent, so it may have taken effect"),
        (StatFile("/scratch/file"), Blocked, "Unix user alice is blocked by the site"),
    ):
        authority.refuse_sessions_of.clear()

        async def blocked_meanwhile(_: object) -> None:
            block(authority)

        authority.before_command = blocked_meanwhile
        with pytest.raises(error, match=words):
            await pool.run(command, **to(node))
    await gone(node)


async def test_a_session_that_is_being_opened(authority: TinyAuthority, start_node: StartNode, make_pool: Any) -> None:
    """A login on a certificate of before the block is ended as soon as it is there; the command is asked for anew."""
    pool: SshPool = make_pool()
    script = ScriptedFilter(answer)

    async def slow(process: Any) -> None:
        block(authority)
        assert pool.end_sessions({"alice"}, reason=REASON) == 1
        await script(process)

    node = await start_node(slow)
    with pytest.raises(Blocked, match="alice is blocked"):
        await pool.run(WhoAmI(), **to(node))
    await gone(node)
    assert script.seen == []


async def test_containment_gets_a_session(authority: TinyAuthority, start_node: StartNode, make_pool: Any) -> None:
    """Where the authority signs on, as it does for holding a blocked user's job, a new session is opened and used."""
    node = await start_node(ScriptedFilter(answer))
    pool: SshPool = make_pool()
    await pool.run(WhoAmI(), **to(node))
    pool.end_sessions({"alice"}, reason=REASON)
    await gone(node)
    assert (await pool.run(WhoAmI(), **to(node))).result
    assert authority.sessions == node.logins == 2


@pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root")
async def test_the_list_ends_real_filters(
    authority: TinyAuthority, start_node: StartNode, make_pool: Any, tmp_path: Path
) -> None:
    """With the real ssh-filter: a look at the list that names the user ends the session and what runs in it."""
    tmp_path.chmod(0o755)  # noqa: ASYNC240
    node = await start_node(RealFilter(authority, tmp_path))
    pool: SshPool = make_pool()

    class Listed:
        async def blocked(self) -> BlockList:
            return BlockList(frozenset({"root"}))

    await pool.run(WhoAmI(), **to(node, user="root"))
    assert node.channels_now == 1
    follower = BlockFollower(Listed(), seconds=1, seen=[lambda _, now: pool.end_sessions(now.users, reason=REASON)])
    await follower.look()
    await gone(node)
    async with asyncio.timeout(5):
        while node.channels_now:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
