"""The SSH client against login nodes that misbehave."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import aclosing

import asyncssh
import pytest

from component.ssh.login_node import SYSTEM, LoginNode, Request, ScriptedFilter, TinyAuthority, probe, spec_of, until
from goldcrest.authority import ByToken
from goldcrest.commands import MakeDirectory, Payload, ReadFile, Release, StatFile, WhoAmI, WriteFile
from goldcrest.errors import (
    AnswerLost,
    CommandFailed,
    CommandRefused,
    ConnectionRefused,
    Denied,
    HostKeyChanged,
    InvalidInput,
    LoginDenied,
    SystemUnreachable,
    TooLarge,
)
from goldcrest.ssh import SshPool
from goldcrest.ssh.hostkeys import fingerprint
from goldcrest.ssh.login import LoginRefused
from goldcrest.ssh.requests import ChannelLost
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.component

TRACE = Trace.new()
NOT_IDEMPOTENT = MakeDirectory("/scratch/new")
IDEMPOTENT = StatFile("/scratch/file")


def to(*nodes: LoginNode, user: str = "alice", token: str = "token", **changes):
    """Keyword arguments that say where to run a command."""
    return {
        "system": SYSTEM,
        "spec": spec_of(*nodes, **changes),
        "user": user,
        "basis": ByToken(token),
        "trace": TRACE,
    }


async def answer(request: Request) -> None:
    request.answer(op=request.command["op"])


async def keep_silent(request: Request) -> None:
    pass


@pytest.fixture
async def dead_node(authority):
    """A host whose port nobody listens on."""
    node = await LoginNode(authority, ScriptedFilter(answer)).start()
    await node.stop()
    return node


async def warm(pool: SshPool, script: ScriptedFilter, where: dict[str, object]) -> None:
    """Open connection and channel: what follows has its time for itself."""
    before, script.on_request = script.on_request, answer
    await pool.run(IDEMPOTENT, **where)
    script.on_request = before
    script.seen.clear()


# The hello.


async def test_finds_the_hello_behind_noise(start_node, make_pool):
    """What start-up files print, up to 64 KiB and even resembling the marker, is skipped."""
    noise = b"Welcome!\n GOLDCREST-FILTER no\nGOLDCREST-FILTE\n" + b"x" * 100 + b"\n" * 60000
    node = await start_node(ScriptedFilter(answer, noise=noise))
    assert (await make_pool().run(IDEMPOTENT, **to(node))).result == {"op": "fs.stat"}


async def test_too_much_noise_is_explained(start_node, make_pool):
    """More than 64 KiB before the hello is given up with a message that names the start-up files."""
    node = await start_node(ScriptedFilter(answer, noise=b"motd\n" * 14000))
    with pytest.raises(SystemUnreachable, match=r"64 KiB.*start-up files"):
        await make_pool().run(IDEMPOTENT, **to(node))


async def test_no_hello_is_explained(start_node, make_pool):
    """A start-up file that waits for input is named as the likely cause, after the time for the hello."""

    async def ask(process):
        process.stdout.write(b"Accept the terms of use? [y/n] ")
        await process.stdin.read()

    node = await start_node(ask)
    with pytest.raises(SystemUnreachable, match=r"within 0\.2 s.*\.bashrc"):
        await make_pool(hello_seconds=0.2).run(IDEMPOTENT, **to(node))


async def test_a_channel_that_comes_too_late_is_closed(start_node, make_pool):
    """sshd opens it after everybody has given up; it has a place there that nobody would give back."""
    node = await start_node(ScriptedFilter(answer))
    pool = make_pool(hello_seconds=0.2)
    await pool.run(IDEMPOTENT, **to(node))
    (connection,) = pool._connections._open.values()
    asked, go_on = asyncio.Event(), asyncio.Event()
    open_ = asyncssh.SSHClientChannel._open

    async def slow(self, *args, **options):
        packet = await open_(self, *args, **options)
        asked.set()
        await go_on.wait()
        return packet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncssh.SSHClientChannel, "_open", slow)
        with pytest.raises(LoginRefused, match="did not answer within"):
            await connection._open_channel()
    assert asked.is_set()
    go_on.set()
    await until(lambda: node.channels_now == 1)
    assert node.channels == 1  # it never started a filter there
    await pool.run(IDEMPOTENT, **to(node))
    assert len(connection._ssh._channels) == 1


@pytest.mark.parametrize(
    ("filter_options", "message"),
    [
        ({"system": "other"}, "belongs to system 'other', not to 'testsystem'"),
        ({"user": "bob"}, "runs as 'bob'"),
        ({"protocol": (2,)}, "speaks protocol 2, not 1"),
    ],
)
async def test_a_foreign_filter_is_not_talked_to(start_node, make_pool, authority, filter_options, message):
    """Another system, another user or another protocol in the hello: no command is signed."""
    node = await start_node(ScriptedFilter(answer, **filter_options))
    with pytest.raises(SystemUnreachable, match=message):
        await make_pool().run(IDEMPOTENT, **to(node))
    assert authority.commands == 0


async def test_a_disabled_operation_is_not_signed(start_node, make_pool, authority):
    """What the node's policy file has not enabled is refused before a certificate is made."""
    node = await start_node(ScriptedFilter(answer, operations=("sys.whoami",)))
    with pytest.raises(CommandRefused, match=r"fs\.stat is not enabled") as refused:
        await make_pool().run(IDEMPOTENT, **to(node))
    assert refused.value.reason == "operation"
    assert authority.commands == 0


async def test_a_payload_above_the_nodes_limit_is_not_sent(start_node, make_pool, authority):
    """A payload that the node would not take is refused here, in words."""
    node = await start_node(ScriptedFilter(answer, payload=1000))
    content = bytes(1001)
    with pytest.raises(TooLarge, match="1001 bytes are more than"):
        await make_pool().run(WriteFile("/x", Payload.of(content)), payload=content, **to(node))
    assert authority.commands == 0


async def test_a_payload_of_another_size_is_a_mistake(start_node, make_pool):
    """A payload that is not the signed one is found before anything is sent."""
    node = await start_node(ScriptedFilter(answer))
    with pytest.raises(InvalidInput, match="has 2 bytes, not 3"):
        await make_pool().run(WriteFile("/x", Payload.of(b"abc")), payload=b"ab", **to(node))


# Cuts.


@pytest.mark.parametrize("cut", ["connection", "channel", "garbage", "answer"])
async def test_a_cut_is_repeated_only_where_that_is_safe(start_node, make_pool, authority, cut):
    """An answer lost in any way: an idempotent command is repeated once, any other is AnswerLost."""
    broken: list[str] = []

    async def break_first(request: Request) -> None:
        op = request.command["op"]
        if op in broken:
            request.answer(op=op)
            return
        broken.append(op)
        run = request._filter
        match cut:
            case "connection":
                node.cut()
            case "channel":
                run.process.exit(1)
            case "garbage":
                run.process.stdout.write(b"\xff\xff\xff\xffrubbish")
            case "answer":
                run.process.stdout.write((12).to_bytes(4, "big") + request.id.to_bytes(4, "big") + b"\x11no json")

    script = ScriptedFilter(break_first)
    node = await start_node(script)
    pool = make_pool()
    assert (await pool.run(IDEMPOTENT, **to(node))).result == {"op": "fs.stat"}
    assert script.seen == ["fs.stat", "fs.stat"]
    with pytest.raises(AnswerLost, match="may have taken effect"):
        await pool.run(NOT_IDEMPOTENT, **to(node))
    assert script.seen == ["fs.stat", "fs.stat", "fs.mkdir"]
    assert (await pool.run(IDEMPOTENT, **to(node))).result == {"op": "fs.stat"}
    assert authority.sessions == (3 if cut == "connection" else 1)


async def test_an_idempotent_command_is_repeated_once_only(start_node, make_pool):
    """A node that always cuts is unreachable, not tried for ever."""

    async def always_cut(request: Request) -> None:
        node.cut()

    script = ScriptedFilter(always_cut)
    node = await start_node(script)
    with pytest.raises(SystemUnreachable, match=r"fs\.stat as alice on 127") as lost:
        await make_pool().run(IDEMPOTENT, **to(node))
    assert not isinstance(lost.value, AnswerLost)
    assert script.seen == ["fs.stat"] * 2


async def test_a_cut_before_sending_loses_nothing(start_node, make_pool, authority):
    """The connection breaks while the certificate is made: the command is sent once, on a new one, signed anew."""
    script = ScriptedFilter(answer)
    node = await start_node(script)
    pool = make_pool()
    await pool.run(IDEMPOTENT, **to(node))

    async def cut_once(command) -> None:
        authority.before_command = None
        node.cut()
        await asyncio.sleep(0.05)

    authority.before_command = cut_once
    assert (await pool.run(NOT_IDEMPOTENT, **to(node))).result == {"op": "fs.mkdir"}
    assert script.seen.count("fs.mkdir") == 1
    assert authority.commands == 3


async def test_a_cut_in_the_middle_of_a_payload_loses_nothing(start_node, make_pool):
    """Before all of the payload was sent the node cannot have acted, so even a write is repeated."""
    content = os.urandom(8 * 1024 * 1024)
    script = ScriptedFilter(answer)
    node = await start_node(script)
    frames = 0

    def cut_third_frame(frame) -> None:
        nonlocal frames
        frames += 1
        if frames == 3:
            node.cut()

    script.on_frame = cut_third_frame
    answer_ = await make_pool().run(WriteFile("/x", Payload.of(content)), payload=content, **to(node))
    assert answer_.result == {"op": "fs.write"}
    assert script.seen == ["fs.write"]


@pytest.mark.parametrize(("command", "error"), [(IDEMPOTENT, SystemUnreachable), (NOT_IDEMPOTENT, AnswerLost)])
async def test_no_answer_in_time(start_node, make_pool, command, error):
    """After the caller's time the node is told to stop, and the error says whether the command may have had effect."""
    script = ScriptedFilter(keep_silent)
    node = await start_node(script)
    pool = make_pool()
    await warm(pool, script, to(node))
    with pytest.raises(SystemUnreachable, match=r"no answer within 0\.3 s") as caught:
        await pool.run(command, seconds=0.3, **to(node))
    assert type(caught.value) is error
    await until(lambda: script.cancelled)
    assert script.cancelled == [2]
    script.on_request = answer
    assert (await pool.run(IDEMPOTENT, **to(node))).result == {"op": "fs.stat"}
    assert node.channels == 1


async def test_a_channel_that_fell_silent_is_replaced(start_node, make_pool, monkeypatch):
    """A filter that does not even confirm that it stopped gets no more commands: the next one has a new channel, and the old one ends."""
    monkeypatch.setattr("goldcrest.ssh.channel._SILENT_SECONDS", 0.2)
    script = ScriptedFilter(keep_silent)
    node = await start_node(script)
    pool = make_pool(channels=1)
    await warm(pool, script, to(node))
    with pytest.raises(SystemUnreachable):
        await pool.run(IDEMPOTENT, seconds=0.3, **to(node))
    await until(lambda: node.channels_now == 0)
    script.on_request = answer
    assert (await pool.run(IDEMPOTENT, **to(node))).result == {"op": "fs.stat"}
    assert (node.channels, node.channels_now, node.logins) == (2, 1, 1)


async def test_a_slow_command_does_not_cost_its_channel(start_node, make_pool, monkeypatch):
    """While answers to others come, a command that was given up is waited for where it runs."""
    monkeypatch.setattr("goldcrest.ssh.channel._SILENT_SECONDS", 0.2)
    script = ScriptedFilter(keep_silent)
    node = await start_node(script)
    pool = make_pool(channels=1)
    with pytest.raises(SystemUnreachable):
        await pool.run(IDEMPOTENT, seconds=0.3, **to(node))
    script.on_request = answer
    for _ in range(2):
        assert (await pool.run(IDEMPOTENT, **to(node))).result == {"op": "fs.stat"}
        await asyncio.sleep(0.4)
    assert node.channels == 1


async def test_a_caller_that_goes_away_stops_its_command(start_node, make_pool):
    """A cancelled caller has its request cancelled on the node; others on the channel notice nothing."""
    script = ScriptedFilter(keep_silent)
    node = await start_node(script)
    pool = make_pool()
    task = asyncio.create_task(pool.run(IDEMPOTENT, **to(node)))
    await until(lambda: script.seen == ["fs.stat"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    script.on_request = answer
    await pool.run(IDEMPOTENT, **to(node))
    assert script.cancelled == [1]


async def test_closing_the_pool_ends_what_is_under_way(start_node, make_pool):
    """A stopping process does not leave callers waiting."""
    script = ScriptedFilter(keep_silent)
    node = await start_node(script)
    pool = make_pool()
    tasks = [asyncio.create_task(pool.run(command, **to(node))) for command in (IDEMPOTENT, NOT_IDEMPOTENT)]
    await until(lambda: len(script.seen) == 2)
    await pool.close()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(result) for result in results] == [SystemUnreachable, AnswerLost]
    assert pool.snapshot().connections == 0


async def test_a_network_that_swallows_everything_is_noticed(start_node, make_pool):
    """A link that goes silent without closing is found by asking, long before the command's own time is over."""
    node = await start_node(ScriptedFilter(keep_silent))
    link = await Link.to(node.port)
    pool = make_pool(keepalive_seconds=0.2, keepalive_misses=2, connect_seconds=0.5)
    host = {"address": "127.0.0.1", "port": link.port, "hostKeys": [node.public_host_key]}
    started = time.monotonic()
    task = asyncio.create_task(pool.run(IDEMPOTENT, seconds=60, **to(node, hosts=[host])))
    await asyncio.sleep(0.3)
    link.frozen = True
    with pytest.raises(SystemUnreachable, match="did not answer within"):
        await task
    assert time.monotonic() - started < 20
    await link.close()


class Link:
    """A TCP connection through here, which can be frozen."""

    def __init__(self) -> None:
        self.frozen = False
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def to(cls, port: int) -> Link:
        link = cls()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            for source, sink in ((reader, far_writer), (far_reader, writer)):
                task = asyncio.create_task(link.copy(source, sink))
                link._tasks.add(task)

        link._server = await asyncio.start_server(connected, "127.0.0.1", 0)
        link.port = link._server.sockets[0].getsockname()[1]
        return link

    async def copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if not self.frozen:
                    sink.write(data)
        finally:
            sink.close()

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


# Refusals and failures.


@pytest.mark.parametrize("reason", ["session-id", "replay", "expired", "busy"])
async def test_a_stale_certificate_is_renewed_once(start_node, make_pool, authority, reason):
    """Refusals that a new certificate can mend are mended, once, also for commands that are not idempotent."""
    refusals = 1

    async def refuse(request: Request) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            request.refuse(reason)
        else:
            request.answer()

    node = await start_node(ScriptedFilter(refuse))
    pool = make_pool()
    await pool.run(NOT_IDEMPOTENT, **to(node))
    assert authority.commands == 2
    refusals = 2
    with pytest.raises(CommandRefused) as refused:
        await pool.run(NOT_IDEMPOTENT, **to(node))
    assert refused.value.reason == reason
    assert authority.commands == 4


async def test_refusals_of_one_do_not_cost_others_their_channel(start_node, make_pool):
    """The filter ends after ten refusals; long before that the client goes on with a new channel."""

    async def refuse(request: Request) -> None:
        if request.command["op"] == "fs.mkdir":
            request.refuse("arguments", "not here")
        else:
            request.answer()

    node = await start_node(ScriptedFilter(refuse))
    pool = make_pool(channels=1)
    for _ in range(12):
        with pytest.raises(CommandRefused, match="not here"):
            await pool.run(NOT_IDEMPOTENT, **to(node))
    await pool.run(IDEMPOTENT, **to(node))
    assert node.channels == 3


async def test_failures_carry_what_the_node_said(start_node, make_pool):
    """Kind, name and path of an ERROR frame reach the caller."""

    async def fail(request: Request) -> None:
        request.fail(kind="os", errno=13, name="EACCES", message="Permission denied", path="/scratch/file")

    node = await start_node(ScriptedFilter(fail))
    with pytest.raises(CommandFailed, match="/scratch/file: Permission denied") as failed:
        await make_pool().run(IDEMPOTENT, **to(node))
    assert (failed.value.kind, failed.value.errno_name, failed.value.path) == ("os", "EACCES", "/scratch/file")


async def test_a_result_longer_than_a_frame(start_node, make_pool):
    """A long result, whose beginning comes as data, is put together."""

    async def long(request: Request) -> None:
        body = b'{"stdout": "' + b"q" * 3_000_000 + b'"}'
        for start in range(0, 2_900_000, 250_000):
            request.data(body[start : start + 250_000])
        request._filter.process.stdout.write(
            (5 + len(body) - 3_000_000).to_bytes(4, "big") + request.id.to_bytes(4, "big") + b"\x11" + body[3_000_000:]
        )

    node = await start_node(ScriptedFilter(long))
    result = (await make_pool().run(IDEMPOTENT, **to(node))).result
    assert len(result["stdout"]) == 3_000_000


async def test_an_answer_above_the_limit_is_stopped(start_node, make_pool):
    """More data than the settings allow is an error, and the node is told to stop."""

    async def pour(request: Request) -> None:
        for _ in range(10):
            request.data(bytes(1000))

    script = ScriptedFilter(pour)
    node = await start_node(script)
    with pytest.raises(TooLarge, match="more than 2048 bytes"):
        await make_pool(answer_bytes=2048).run(ReadFile("/x"), **to(node))
    await asyncio.sleep(0.05)
    assert script.cancelled == [1]


# Streams.


async def test_a_stream_cut_before_its_first_byte_is_repeated(start_node, make_pool):
    """Nothing was handed on yet, so the reader notices nothing."""
    cuts = 1

    async def read(request: Request) -> None:
        nonlocal cuts
        cuts -= 1
        if cuts >= 0:
            node.cut()
            return
        request.data(b"first ")
        request.data(b"second")
        request.answer(size=12, fileSize=12)

    node = await start_node(ScriptedFilter(read))
    async with aclosing(make_pool().stream(ReadFile("/x"), **to(node))) as pieces:
        assert b"".join([piece async for piece in pieces]) == b"first second"


async def test_a_stream_cut_later_is_an_error(start_node, make_pool):
    """A reader never takes a part for the whole."""

    async def read(request: Request) -> None:
        request.data(b"first ")
        await asyncio.sleep(0.1)
        node.cut()

    node = await start_node(ScriptedFilter(read))
    received = b""
    with pytest.raises(SystemUnreachable, match="after 6 bytes"):
        async with aclosing(make_pool().stream(ReadFile("/x"), **to(node))) as pieces:
            async for piece in pieces:
                received += piece
    assert received == b"first "


async def test_a_stream_that_stops_coming_ends(start_node, make_pool):
    """Silence of the node counts; the reader's own slowness does not."""

    async def read(request: Request) -> None:
        request.data(b"first ")

    node = await start_node(ScriptedFilter(read))
    with pytest.raises(SystemUnreachable, match=r"nothing came for 1 s, after 6 bytes"):
        async with aclosing(make_pool().stream(ReadFile("/x"), seconds=1, **to(node))) as pieces:
            async for _ in pieces:
                await asyncio.sleep(1.2)


async def test_a_reader_that_leaves_stops_the_node(start_node, make_pool):
    """Closing the iterator cancels the request and frees its channel."""
    script = ScriptedFilter(keep_silent)

    async def read(request: Request) -> None:
        request.data(b"first ")

    script.on_request = read
    node = await start_node(script)
    pool = make_pool(streams=1)
    for number in range(3):
        async with aclosing(pool.stream(ReadFile("/x"), seconds=2, **to(node))) as pieces:
            assert await anext(pieces) == b"first "
            assert pool.snapshot().streams == 1
        assert pool.snapshot().streams == 0
        await asyncio.sleep(0.05)
        assert len(script.cancelled) == number + 1
    assert node.most_channels == 2


async def test_more_streams_than_channels_wait(start_node, make_pool):
    """Downloads beyond the limit wait for a channel and then run."""

    async def read(request: Request) -> None:
        await asyncio.sleep(0.05)
        request.data(b"bytes")
        request.answer(size=5, fileSize=5)

    node = await start_node(ScriptedFilter(read))
    pool = make_pool(streams=2)

    async def download() -> bytes:
        async with aclosing(pool.stream(ReadFile("/x"), **to(node))) as pieces:
            return b"".join([piece async for piece in pieces])

    assert await asyncio.gather(*(download() for _ in range(8))) == [b"bytes"] * 8
    assert node.most_channels <= 3


# Sharing.


async def test_one_channel_until_requests_queue(start_node, make_pool):
    """One command after the other needs one channel; the second is opened under load only."""

    async def slowly(request: Request) -> None:
        await asyncio.sleep(0.01)
        request.answer()

    node = await start_node(ScriptedFilter(slowly))
    pool = make_pool()
    for _ in range(5):
        await pool.run(IDEMPOTENT, **to(node))
    assert node.channels == 1
    await asyncio.gather(*(pool.run(IDEMPOTENT, **to(node)) for _ in range(50)))
    assert node.channels == 2


async def test_a_channel_that_is_being_counted_is_not_opened_again(start_node, make_pool):
    """In the moment between a channel's hello and its place among the others, whoever needs one does not open a third."""
    node = await start_node(ScriptedFilter(answer))
    pool = make_pool()
    await pool.run(IDEMPOTENT, **to(node))
    (connection,) = pool._connections._open.values()
    opening = connection._open_shared()
    while not opening.done():  # noqa: ASYNC110  (the very next moment is wanted)
        await asyncio.sleep(0)
    assert connection._open_shared() is opening
    await asyncio.sleep(0)
    assert (connection.channel_count, node.channels) == (2, 2)


@pytest.mark.timeout(30)  # what it is about keeps the whole loop busy: no time-out of asyncio would come
@pytest.mark.parametrize("opens", [True, False])
async def test_who_comes_while_the_only_channel_is_being_counted(start_node, make_pool, monkeypatch, opens):
    """The filter was killed; a request that comes in the moment between the next one's hello, or its failure, and its place does not spin."""
    script = ScriptedFilter(answer)
    node = await start_node(script)
    pool = make_pool()
    await warm(pool, script, to(node))
    (connection,) = pool._connections._open.values()
    script.runs[0].process.exit(1)
    await until(lambda: connection.channel_count == 0)
    open_channel, others = connection._open_channel, []

    async def opened():
        channel = await open_channel() if opens or others else None
        if not others:
            others.append(
                asyncio.create_task(pool.run(IDEMPOTENT, **to(node)))
            )  # its turn is before that of our callback
        if channel is None:
            raise ChannelLost("it was lost at once")
        return channel

    monkeypatch.setattr(connection, "_open_channel", opened)
    assert (await pool.run(IDEMPOTENT, **to(node))).result["op"] == "fs.stat"
    assert (await others[0]).result["op"] == "fs.stat"


async def test_one_submission_has_one_channel(start_node, make_pool):
    """What names the same token goes where it went before, however busy that is; both channels have their share."""
    sids: dict[str, set[str]] = {}
    used: set[str] = set()

    async def slowly(request: Request) -> None:
        await asyncio.sleep(0.01)
        used.add(request.command["sid"])
        if request.command["op"] == "slurm.release":
            sids.setdefault(request.command["args"]["token"], set()).add(request.command["sid"])
        request.answer()

    node = await start_node(ScriptedFilter(slowly, operations=("fs.stat", "slurm.release")))
    pool = make_pool()
    while len(used) < 2:
        await asyncio.gather(*(pool.run(IDEMPOTENT, **to(node)) for _ in range(50)))
    releases = [Release(f"goldcrest:01234567:{number:032x}", "1") for number in range(24)]
    for _ in range(2):
        await asyncio.gather(*(pool.run(release, **to(node)) for release in releases))
    assert [len(one) for one in sids.values()] == [1] * 24
    assert len(set.union(*sids.values())) == 2


async def test_the_nodes_limit_of_commands_is_kept(start_node, make_pool):
    """No more commands at once than the hello allows; the others wait and none is refused."""
    running = most = 0

    async def slowly(request: Request) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        request.answer()

    node = await start_node(ScriptedFilter(slowly, commands=3))
    pool = make_pool(channels=1)
    await asyncio.gather(*(pool.run(IDEMPOTENT, **to(node)) for _ in range(30)))
    assert most == 3


async def test_waiting_requests_are_served_although_others_go_away(start_node, make_pool):
    """A full channel with a long line: half of the waiting callers give up, the other half is answered."""

    async def slowly(request: Request) -> None:
        await asyncio.sleep(0.02)
        request.answer()

    node = await start_node(ScriptedFilter(slowly, commands=2))
    pool = make_pool(channels=1)
    tasks = [asyncio.create_task(pool.run(IDEMPOTENT, **to(node))) for _ in range(60)]
    await asyncio.sleep(0.2)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert all(not isinstance(result, BaseException) for result in results[1::2])
    assert pool.snapshot().in_flight == 0


async def test_opening_is_shared_but_not_its_refusal(start_node, make_pool, authority):
    """Many first requests make one login; when the authority refuses the one that began, the others go on."""
    node = await start_node(ScriptedFilter(answer))
    authority.refuse_sessions_of[ByToken("bad")] = Denied("not you")
    pool = make_pool()
    results = await asyncio.gather(
        pool.run(IDEMPOTENT, **to(node, token="bad")),
        *(pool.run(IDEMPOTENT, **to(node, token="good")) for _ in range(20)),
        return_exceptions=True,
    )
    assert isinstance(results[0], Denied)
    assert all(result.result == {"op": "fs.stat"} for result in results[1:])
    assert authority.sessions == 2
    assert pool.snapshot().connections == 1


async def test_users_do_not_share_connections(authority, make_pool, start_node):
    """Each user has a connection of their own, and the trace is shown with each certificate."""

    async def as_whoever(process):
        await ScriptedFilter(answer, user=process.get_extra_info("username"))(process)

    node = await start_node(as_whoever)
    pool = make_pool()
    for user in ("alice", "bob", "alice"):
        await pool.run(WhoAmI(), **to(node, user=user))
    assert pool.snapshot().connections == 2
    assert set(authority.traces) == {TRACE.header}


async def test_the_connection_unused_longest_makes_room(authority, make_pool, start_node):
    """At the limit of connections, an idle one is closed for a new one."""

    async def as_whoever(process):
        await ScriptedFilter(answer, user=process.get_extra_info("username"))(process)

    node = await start_node(as_whoever)
    pool = make_pool(connections=2)
    for user in ("alice", "bob", "alice", "carol"):
        await pool.run(WhoAmI(), **to(node, user=user))
    assert pool.snapshot().connections == 2
    sessions = authority.sessions
    await pool.run(WhoAmI(), **to(node, user="alice"))
    assert authority.sessions == sessions  # bob's was closed


async def test_a_full_pool_says_so(make_pool, start_node):
    """When all connections stay in use, the next user is told, after waiting for one as long as for a host."""

    async def as_whoever(process):
        await ScriptedFilter(keep_silent, user=process.get_extra_info("username"))(process)

    node = await start_node(as_whoever)
    pool = make_pool(connections=1, connect_seconds=1)
    busy = asyncio.create_task(pool.run(WhoAmI(), **to(node, user="alice")))
    await until(lambda: pool.snapshot().in_flight)
    with pytest.raises(SystemUnreachable, match="all 1 SSH connections are in use"):
        await pool.run(WhoAmI(), seconds=5, **to(node, user="bob"))
    busy.cancel()


async def test_idle_connections_are_closed(start_node, make_pool, monkeypatch, authority):
    """After the idle time the login node is left in peace, and the next command opens a new connection."""
    monkeypatch.setattr("goldcrest.ssh.connections._SWEEP_SECONDS", 0.05)
    node = await start_node(ScriptedFilter(answer))
    pool = make_pool(idle_seconds=0.2)
    await pool.run(IDEMPOTENT, **to(node))
    await until(lambda: pool.snapshot().connections == 0)
    await until(lambda: not node.connections)
    await pool.run(IDEMPOTENT, **to(node))
    assert authority.sessions == 2


async def test_old_connections_are_replaced_without_losing_anything(start_node, make_pool, monkeypatch, authority):
    """A connection past its age takes no new commands; what runs on it is finished."""
    monkeypatch.setattr("goldcrest.ssh.connections._SWEEP_SECONDS", 0.05)

    async def slowly(request: Request) -> None:
        await asyncio.sleep(0.6)
        request.answer()

    node = await start_node(ScriptedFilter(slowly))
    pool = make_pool(age_seconds=0.2)
    first = asyncio.create_task(pool.run(NOT_IDEMPOTENT, **to(node)))
    await asyncio.sleep(0.4)
    await asyncio.gather(first, pool.run(NOT_IDEMPOTENT, **to(node)))
    assert authority.sessions == 2


# Hosts.


async def test_the_next_host_is_used_when_the_first_is_dead(start_node, make_pool, dead_node):
    """Failover is immediate, and the dead host is not tried for each command."""
    node = await start_node(ScriptedFilter(answer))
    pool = make_pool(backoff_first_seconds=30)
    for _ in range(3):
        assert (await pool.run(IDEMPOTENT, **to(dead_node, node))).host == f"127.0.0.1:{node.port}"
    assert pool.snapshot().resting_hosts == 1


async def test_the_preferred_host_is_used_again_when_it_is_back(start_node, make_pool, authority, dead_node):
    """A host that came back is noticed beside the requests, and none of them waits for it."""
    second = await start_node(ScriptedFilter(answer))
    pool = make_pool(backoff_first_seconds=0.1)
    where = to(dead_node, second)
    assert (await pool.run(IDEMPOTENT, **where)).host.endswith(f":{second.port}")
    first = await LoginNode(authority, ScriptedFilter(answer), host_key=dead_node.host_key).start(dead_node.port)
    try:
        deadline = time.monotonic() + 5
        while not (await pool.run(IDEMPOTENT, **where)).host.endswith(f":{first.port}"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    finally:
        await first.stop()
    assert (await pool.run(IDEMPOTENT, **where)).host.endswith(f":{second.port}")


async def test_a_host_that_does_not_answer_is_given_up(start_node, make_pool):
    """A host that accepts connections and says nothing costs the connect time once; the next host does the work."""
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: writers.append(writer), "127.0.0.1", 0)
    node = await start_node(ScriptedFilter(answer))
    where = to(node)
    port = silent.sockets[0].getsockname()[1]
    hosts = [{"address": "127.0.0.1", "port": port, "hostKeys": [node.public_host_key]}]
    where["spec"] = spec_of(node, hosts=hosts + spec_of(node).dump()["hosts"])
    pool = make_pool(connect_seconds=0.5)
    started = time.monotonic()
    await pool.run(IDEMPOTENT, **where)
    assert 0.4 < time.monotonic() - started < 5
    for writer in writers:
        writer.close()
    silent.close()


async def test_all_hosts_dead(make_pool, dead_node, start_node, authority):
    """The message names each host with its reason; while they rest, it comes at once and says when they are tried again."""
    other = await LoginNode(authority, ScriptedFilter(answer)).start()
    await other.stop()
    pool = make_pool(backoff_first_seconds=30)
    for again in ("cannot be reached", "tried again in"):
        with pytest.raises(SystemUnreachable, match=again) as caught:
            await pool.run(NOT_IDEMPOTENT, **to(dead_node, other))
        assert f"127.0.0.1:{dead_node.port} cannot be reached" in caught.value.message
        assert f"127.0.0.1:{other.port} cannot be reached" in caught.value.message
        assert type(caught.value) is ConnectionRefused
    assert authority.commands == 0


async def test_a_changed_host_key_is_refused(start_node, make_pool, authority):
    """Another key than the pinned one: nobody logs in, and the message shows both fingerprints."""
    script = ScriptedFilter(answer)
    node = await start_node(script)
    pinned = asyncssh.generate_private_key("ssh-ed25519")
    where = to(node)
    host = {
        "address": "127.0.0.1",
        "port": node.port,
        "hostKeys": [" ".join(pinned.export_public_key().decode().split()[:2])],
    }
    where["spec"] = spec_of(node, hosts=[host])
    with pytest.raises(HostKeyChanged) as changed:
        await make_pool().run(IDEMPOTENT, **where)
    assert fingerprint(pinned) in changed.value.message
    assert fingerprint(node.host_key) in changed.value.message
    assert node.logins == 0
    assert authority.commands == 0
    with pytest.raises(HostKeyChanged):
        await probe(where["spec"])


async def test_a_changed_host_key_stays_one_while_the_host_rests(start_node, make_pool):
    """The error keeps its kind while the host is left alone, and another host with the right key does the work."""
    node, good = await start_node(ScriptedFilter(answer)), await start_node(ScriptedFilter(answer))
    wrong = {**spec_of(good).dump()["hosts"][0], "port": node.port}
    pool = make_pool(backoff_first_seconds=30)
    for _ in range(2):
        with pytest.raises(HostKeyChanged):
            await pool.run(IDEMPOTENT, **to(node, hosts=[wrong]))
    both = to(node, hosts=[wrong, spec_of(good).dump()["hosts"][0]])
    assert (await pool.run(IDEMPOTENT, **both)).host == f"127.0.0.1:{good.port}"


async def test_new_pins_count_at_once(start_node, make_pool, authority):
    """When the System's pins change, a connection that was opened under the old ones is not used any more."""
    node = await start_node(ScriptedFilter(answer))
    pool = make_pool()
    await pool.run(IDEMPOTENT, **to(node))
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2]
    changed = to(node, hosts=[{"address": "127.0.0.1", "port": node.port, "hostKeys": [" ".join(other)]}])
    with pytest.raises(HostKeyChanged):
        await pool.run(IDEMPOTENT, **changed)


async def test_a_host_certificate_of_a_pinned_authority(authority, make_pool):
    """A host without pinned keys is accepted by its certificate, and only with one of the right CA."""
    host_authority = asyncssh.generate_private_key("ssh-ed25519")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    certificate = host_authority.generate_host_certificate(host_key, "host", principals=["127.0.0.1"])
    node = LoginNode(authority, ScriptedFilter(answer), host_key=(host_key, certificate))
    await node.start()

    def trusting(key: asyncssh.SSHKey):
        line = " ".join(key.export_public_key().decode().split()[:2])
        return to(hosts=[{"address": "127.0.0.1", "port": node.port}], hostCertificateAuthorities=[line])

    try:
        pool = make_pool()
        assert (await pool.run(IDEMPOTENT, **trusting(host_authority))).result == {"op": "fs.stat"}
        await probe(trusting(host_authority)["spec"])
        with pytest.raises(HostKeyChanged, match="a certificate of"):
            await pool.run(IDEMPOTENT, **trusting(asyncssh.generate_private_key("ssh-ed25519")))
    finally:
        await node.stop()


async def test_a_host_without_pins_is_not_connected_to(start_node, make_pool):
    """Nothing pinned: nothing trusted, and the message says what to set."""
    node = await start_node(ScriptedFilter(answer))
    where = to(node, hosts=[{"address": "127.0.0.1", "port": node.port}])
    with pytest.raises(InvalidInput, match="hostKeys or hostCertificateAuthorities"):
        await make_pool().run(IDEMPOTENT, **where)
    assert not node.connections


async def test_a_refused_login_is_explained(make_pool, dead_node):
    """An sshd that does not trust our CA, or a locked account: who was refused where, and that it is not the host's fault; also while it is
    not tried again. Beside a host that is away nobody knows whether that one would let them in."""
    other = TinyAuthority()
    node = await LoginNode(other, ScriptedFilter(answer)).start()
    try:
        pool = make_pool(backoff_first_seconds=30)
        for again in ("refused the login of alice", "tried again in"):
            with pytest.raises(LoginDenied, match=again) as caught:
                await pool.run(IDEMPOTENT, **to(node))
            assert caught.value.retryable
        assert pool.snapshot().resting_hosts == 0
        with pytest.raises(SystemUnreachable, match=r"cannot be reached.*refused the login of alice") as caught:
            await pool.run(IDEMPOTENT, **to(dead_node, node))
        assert type(caught.value) is SystemUnreachable
    finally:
        await node.stop()


# The probe.


async def test_probe_of_a_good_host(start_node, authority):
    """The probe compares the key, and never logs in."""
    node = await start_node(ScriptedFilter(answer))
    await probe(spec_of(node))
    assert node.logins == 0
    assert authority.sessions == 0


async def test_probe_of_dead_hosts(dead_node):
    """The probe says why a host cannot be reached."""
    with pytest.raises(SystemUnreachable, match=f"127.0.0.1:{dead_node.port} cannot be reached"):
        await probe(spec_of(dead_node), seconds=2)
