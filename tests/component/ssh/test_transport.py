"""The SSH client while connections are cut, floods come, doors are shut, and sshd is restarted."""

from __future__ import annotations

import asyncio
import collections
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import accumulate

import asyncssh
import pytest

from component.ssh.login_node import SYSTEM, LoginNode, Request, ScriptedFilter, spec_of
from goldcrest.authority import ByToken
from goldcrest.commands import MakeDirectory, Payload, ReadFile, StatFile, WhoAmI, WriteFile
from goldcrest.errors import AnswerLost, GoldcrestError, HostKeyChanged, SystemUnreachable, TooLarge
from goldcrest.ssh import SshPool
from goldcrest.ssh.frames import Frame, FrameType
from goldcrest.ssh.hello import Hello
from goldcrest.ssh.hostkeys import fingerprint
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.component

TRACE = Trace.new()
IDEMPOTENT = ReadFile("/scratch/file", length=64)
NOT_IDEMPOTENT = MakeDirectory("/scratch/new")
CONTENT = b"of a file"


def to(*nodes: LoginNode, user: str = "alice", **changes):
    """Keyword arguments that say where to run a command."""
    return {
        "system": SYSTEM,
        "spec": spec_of(*nodes, **changes),
        "user": user,
        "basis": ByToken("token"),
        "trace": TRACE,
    }


def answer_frames(request: Request) -> list[bytes]:
    """A whole answer, frame by frame: two pieces of data (for a file's content only) and the end."""
    data = [CONTENT[:4], CONTENT[4:]] if request.command["op"] == "fs.read" else []
    frames = [Frame(request.id, FrameType.DATA, piece) for piece in data]
    return [frame.encode() for frame in (*frames, Frame(request.id, FrameType.ANSWER, b'{"size":9}'))]


async def answer(request: Request) -> None:
    for frame in answer_frames(request):
        request._filter.process.stdout.write(frame)


async def whoever(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """A filter that answers everything, as the user who logged in."""
    await ScriptedFilter(answer, user=process.get_extra_info("username"))(process)


async def until(holds: Callable[[], bool]) -> None:
    """Look every now and then, for a minute at most."""
    for _ in range(1200):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come about within a minute")


async def until_answered(pool: SshPool, where) -> None:
    """Ask every now and then until it works, for ten seconds at most."""
    for _ in range(200):
        if (await outcome(pool, NOT_IDEMPOTENT, where))[0] == "answered":
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not work again within ten seconds")


# Cuts.


class CutAt:
    """A filter that sends so many bytes of its first answer and then is cut off."""

    def __init__(self, cut: Callable[[Request], None]) -> None:
        self._cut = cut
        self.point = 0
        self.armed = False
        self.run = 0  # times that the command arrived

    async def __call__(self, request: Request) -> None:
        self.run += 1
        whole = b"".join(answer_frames(request))
        if not self.armed:
            request._filter.process.stdout.write(whole)
            return
        self.armed = False
        request._filter.process.stdout.write(whole[: self.point])
        self._cut(request)

    def at(self, point: int) -> None:
        self.point, self.armed, self.run = point, True, 0


def lengths(command) -> list[int]:
    """Of the frames of an answer to this command."""

    class Recorded:
        id = 1
        command: dict[str, str]

    Recorded.command = {"op": command.op}
    return [len(frame) for frame in answer_frames(Recorded)]  # type: ignore[arg-type]


async def outcome(pool: SshPool, command, where) -> tuple[str, bytes]:
    try:
        return "answered", (await pool.run(command, seconds=20, **where)).data
    except GoldcrestError as error:
        return type(error).__name__, b""


async def check_cuts(pool: SshPool, cutting: CutAt, command, where, points) -> None:
    """An idempotent command is answered in full whatever is cut, after one more try; any other is never run twice, and its caller is
    told that nobody knows."""
    whole = sum(lengths(command))
    for point in points:
        cutting.at(point)
        what, data = await outcome(pool, command, where)
        if command.idempotent:
            assert (what, data) == ("answered", CONTENT), f"cut after {point} of {whole} bytes"
            assert cutting.run == (1 if point == whole else 2), f"cut after {point} of {whole} bytes"
        else:
            assert what == ("answered" if point == whole else "AnswerLost"), f"cut after {point} of {whole} bytes"
            assert cutting.run == 1, f"cut after {point} of {whole} bytes"


@pytest.mark.parametrize("command", [IDEMPOTENT, NOT_IDEMPOTENT], ids=lambda command: command.op)
async def test_answer_cut_after_every_byte(start_node, make_pool, command):
    """The channel ends after each byte of the answer, between frames and inside them."""
    cutting = CutAt(lambda request: request._filter.process.exit(1))
    node = await start_node(ScriptedFilter(cutting))
    points = range(sum(lengths(command)) + 1)
    await check_cuts(make_pool(), cutting, command, to(node), points)
    assert node.logins == 1  # a connection outlives its channels


@pytest.mark.parametrize("command", [IDEMPOTENT, NOT_IDEMPOTENT], ids=lambda command: command.op)
async def test_connection_cut_around_every_frame(start_node, make_pool, command):
    """The whole connection is cut at each boundary of a frame, a byte before it and a byte behind it."""
    cutting = CutAt(lambda _: node.cut())
    node = await start_node(ScriptedFilter(cutting))
    ends = [0, *accumulate(lengths(command))]
    points = sorted({point for end in ends for point in (end - 1, end, end + 1) if 0 <= point < ends[-1]})
    await check_cuts(make_pool(), cutting, command, to(node), points)


@pytest.mark.parametrize("command", [IDEMPOTENT, NOT_IDEMPOTENT], ids=lambda command: command.op)
async def test_request_cut_after_every_byte(start_node, make_pool, command):
    """The node takes so many bytes of what is sent and ends: what is not idempotent runs at most once, and is never
    reported as done or as not done."""
    script = ScriptedFilter(answer)
    take: int | None = None
    taken = 0

    async def cutting(process: asyncssh.SSHServerProcess[bytes]) -> None:
        nonlocal take, taken
        if take is None:
            await script(process)
            return
        most, take = take, None
        process.stdout.write(_hello(script))
        taken = len(await process.stdin.read(most)) if most else 0
        process.exit(1)

    node = await start_node(cutting)
    pool = make_pool()
    # Its length is that of certificate and head: about 700 bytes, the same within a few.
    for point in (*range(24), *range(24, 900, 12)):
        script.seen.clear()
        take = point
        await _new_channel(pool)
        what, data = await outcome(pool, command, to(node))
        assert taken <= point
        if command.idempotent:
            assert (what, data) == ("answered", CONTENT), f"cut after {point} bytes"
        elif what == "answered":  # the channel had ended before it was sent: a fresh start, which is no repetition
            assert script.seen == ["fs.mkdir"], f"cut after {point} bytes"
        else:
            assert (what, script.seen) == ("AnswerLost", []), f"cut after {point} bytes"
            take = None


def _hello(script: ScriptedFilter) -> bytes:
    return Hello("0.0.test", "0" * 32, SYSTEM, "alice", frozenset(script.operations), script.limits).encode()


async def _new_channel(pool: SshPool) -> None:
    """The next command opens a channel, on the same connection."""
    for connection in pool._connections._open.values():
        for channel in list(connection._shared):
            channel.retire()
    await asyncio.sleep(0)


@pytest.mark.parametrize("cut", ["channel", "connection"])
async def test_upload_cut_after_every_frame(start_node, make_pool, cut):
    """A payload of several frames, cut as each of them arrives but the last: repeated whole, written once."""
    content = random.Random(5).randbytes(3 * 256 * 1024 + 5)
    for cut_at in (1, 2, 3):
        frames = 0
        armed = True
        script = ScriptedFilter(answer)
        node = await start_node(script)

        def cutting(
            frame: Frame, node: LoginNode = node, script: ScriptedFilter = script, cut_at: int = cut_at
        ) -> None:
            nonlocal frames, armed
            frames += 1
            if armed and frames == cut_at:
                armed = False
                node.cut() if cut == "connection" else script.runs[-1].process.exit(1)

        script.on_frame = cutting
        command = WriteFile("/scratch/x", Payload.of(content))
        try:
            await make_pool().run(command, payload=content, **to(node))
            assert script.seen == ["fs.write"], f"cut at frame {cut_at}"
        except AnswerLost:  # all of it had been handed to the network
            assert len(script.seen) <= 1, f"cut at frame {cut_at}"


# What a hostile user can make their filter send.


def frame(request_id: int, kind: int, body: bytes = b"") -> bytes:
    return (5 + len(body)).to_bytes(4, "big") + request_id.to_bytes(4, "big") + bytes([kind]) + body


GARBAGE: dict[str, Callable[[int], bytes]] = {
    "no frame": lambda _: b"\xff" * 64,
    "a frame of nothing": lambda _: bytes(4),
    "a type that is none": lambda number: frame(number, 99),
    "a request": lambda number: frame(number, 1, b"x"),
    "a cancel": lambda number: frame(number, 3),
    "an answer to nobody": lambda number: frame(number + 1, 17, b"{}"),
    "no JSON": lambda number: frame(number, 17, b"{"),
    "a list": lambda number: frame(number, 17, b"[]"),
    "nested too deeply": lambda number: frame(number, 17, b"[" * 200_000),
    "no UTF-8": lambda number: frame(number, 17, b'{"a":"\xff"}'),
    "an error that is a number": lambda number: frame(number, 19, b"1"),
    "a refusal of nothing": lambda number: frame(number, 18),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage(start_node, make_pool, name):
    """It ends the channel, means that nobody knows, and the next command has another channel."""

    async def rubbish(request: Request) -> None:
        request._filter.process.stdout.write(GARBAGE[name](request.id))

    script = ScriptedFilter(rubbish)
    node = await start_node(script)
    pool = make_pool()
    with pytest.raises(AnswerLost, match="may have taken effect"):
        await pool.run(NOT_IDEMPOTENT, seconds=20, **to(node))
    with pytest.raises(SystemUnreachable):
        await pool.run(StatFile("/x"), seconds=20, **to(node))
    assert script.seen == ["fs.mkdir", "fs.stat", "fs.stat"]
    script.on_request = answer
    await pool.run(NOT_IDEMPOTENT, **to(node))


async def test_random_bytes(start_node, make_pool):
    """Whatever comes, the caller has one of our errors or an answer, in time."""
    chance = random.Random(18)

    async def rubbish(request: Request) -> None:
        request._filter.process.stdout.write(chance.randbytes(chance.randrange(1, 200)))
        request._filter.process.exit(0)

    node = await start_node(ScriptedFilter(rubbish))
    pool = make_pool()
    for _ in range(40):
        assert (await outcome(pool, NOT_IDEMPOTENT, to(node)))[0] == "AnswerLost"


async def test_answer_that_comes_too_late(start_node, make_pool):
    """It is for nobody any more, and the next command gets its own."""
    late = asyncio.Event()

    async def slowly(request: Request) -> None:
        await late.wait()
        request.answer(which="late")

    script = ScriptedFilter(slowly)
    node = await start_node(script)
    pool = make_pool(channels=1)
    with pytest.raises(AnswerLost, match="no answer within"):
        await pool.run(NOT_IDEMPOTENT, seconds=0.3, **to(node))

    async def next_one(request: Request) -> None:
        late.set()
        await asyncio.sleep(0.05)
        request.answer(which="next")

    script.on_request = next_one
    assert (await pool.run(NOT_IDEMPOTENT, **to(node))).result == {"which": "next"}
    assert pool.snapshot().in_flight == 0


@pytest.mark.parametrize(
    "piece", [bytes(256 * 1024), b"x", b""], ids=["large pieces", "pieces of a byte", "pieces of nothing"]
)
async def test_flood(start_node, make_pool, piece):
    """A filter that sends without an end, deaf to being told to stop, is cut off; what it sent is not kept. What would be ten
    gigabytes is cut off after some megabytes, so memory is bounded by that."""
    block = frame(1, 2, piece) * (1 if len(piece) > 1000 else 4096)
    sent = 0

    async def pour(request: Request) -> None:
        nonlocal sent
        stdout = request._filter.process.stdout
        assert request.id == 1
        while sent < 10 * 2**30:
            stdout.write(block)
            sent += len(block)
            await stdout.drain()

    node = await start_node(ScriptedFilter(pour))
    pool = make_pool(answer_bytes=4 * 2**20)
    tracemalloc.start()
    try:
        with pytest.raises((TooLarge, SystemUnreachable)):
            await pool.run(StatFile("/x"), seconds=3, **to(node))
        await until(lambda: not node.channels_now)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent < 512 * 2**20
    assert peak < 48 * 2**20
    assert pool.snapshot().in_flight == 0


async def test_stream_longer_than_asked_for(start_node, make_pool):
    """A reader never gets more bytes than it asked for."""

    async def too_much(request: Request) -> None:
        for _ in range(20):
            request.data(bytes(10))
        request.answer(size=200, fileSize=200)

    node = await start_node(ScriptedFilter(too_much))
    pool = make_pool()
    received = 0
    with pytest.raises(SystemUnreachable, match="more than it was asked for"):
        async with aclosing(pool.stream(ReadFile("/x", length=64), **to(node))) as pieces:
            async for piece in pieces:
                received += len(piece)
    assert received <= 64
    with pytest.raises(TooLarge):
        await pool.run(ReadFile("/x", length=64), **to(node))


@pytest.mark.parametrize("kind", [FrameType.DATA, FrameType.CREDIT, FrameType.ANSWER], ids=lambda kind: kind.name)
async def test_frames_of_nothing_end_a_stream(start_node, make_pool, kind):
    """They would count against no bound of a slow reader: the channel ends, and the reader does not take a part for the whole."""
    sent = 0

    async def pour(request: Request) -> None:
        nonlocal sent
        stdout = request._filter.process.stdout
        request.data(b"first")
        while True:
            stdout.write(frame(0 if kind is FrameType.ANSWER else request.id, kind) * 1000)
            sent += 1000
            await stdout.drain()

    node = await start_node(ScriptedFilter(pour))
    with pytest.raises(SystemUnreachable, match="after 5 bytes"):
        async with aclosing(make_pool().stream(IDEMPOTENT, seconds=20, **to(node))) as pieces:
            assert await anext(pieces) == b"first"
            await anext(pieces)
    assert sent < 2_000_000


# A door that is shut: MaxStartups and PerSourcePenalties.


@asynccontextmanager
async def doorkeeper(port: int, *, most: int, words: bytes) -> AsyncIterator[Doorkeeper]:
    """Before an sshd: lets so many at once in, and shuts the door on others with these words, as sshd itself does."""
    keeper = Doorkeeper(port, most, words)
    server = await asyncio.start_server(keeper.serve, "127.0.0.1", 0)
    keeper.port = server.sockets[0].getsockname()[1]
    yield keeper
    server.close()
    for task in keeper.tasks:
        task.cancel()
    await asyncio.gather(*keeper.tasks, return_exceptions=True)


class Doorkeeper:
    """Counts who is let in and who is not."""

    def __init__(self, sshd: int, most: int, words: bytes) -> None:
        self._sshd = sshd
        self._words = words
        self.most = most
        self.now = 0
        self.refused = 0
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        if self.now >= self.most:
            self.refused += 1
            writer.write(self._words)
            writer.close()
            return
        self.now += 1
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._sshd)
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        finally:
            self.now -= 1


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def through(keeper: Doorkeeper, node: LoginNode):
    return {"address": "127.0.0.1", "port": keeper.port, "hostKeys": [node.public_host_key]}


# What sshd 9.2 says at MaxStartups, and 10.0 then and to an address with penalties (component/plain_node/test_newer_sshd.py).
SHUT = {"MaxStartups": b"Exceeded MaxStartups\r\n", "PerSourcePenalties": b"Not allowed at this time\r\n"}


@pytest.mark.parametrize("words", SHUT.values(), ids=SHUT)
async def test_shut_door_is_not_knocked_at_again_and_again(start_node, make_pool, words):
    """While sshd drops our connections, it is left alone for longer and longer, each caller is told why at once, and work goes
    on when it lets us in."""
    node = await start_node(ScriptedFilter(answer))
    async with doorkeeper(node.port, most=0, words=words) as keeper:
        pool = make_pool(backoff_first_seconds=0.2, backoff_most_seconds=2)
        where = to(node, hosts=[through(keeper, node)])
        failed = 0
        deadline = asyncio.get_running_loop().time() + 2
        while asyncio.get_running_loop().time() < deadline:
            with pytest.raises(SystemUnreachable, match=r"no login host of system.*before its first line.*MaxStartups"):
                await pool.run(NOT_IDEMPOTENT, **where)
            failed += 1
            await asyncio.sleep(0.01)
        assert keeper.refused <= 5 < failed
        keeper.most = 10
        await until_answered(pool, where)


async def test_shut_door_sends_to_the_next_host(start_node, make_pool):
    """Another login host does the work meanwhile."""
    node, other = await start_node(ScriptedFilter(answer)), await start_node(ScriptedFilter(answer))
    async with doorkeeper(node.port, most=0, words=SHUT["MaxStartups"]) as keeper:
        hosts = [through(keeper, node), spec_of(other).dump()["hosts"][0]]
        done = await make_pool().run(NOT_IDEMPOTENT, **to(hosts=hosts))
        assert done.host.endswith(f":{other.port}")


async def test_shut_door_leaves_those_inside_alone(start_node, make_pool):
    """Who has a session goes on with it while the host turns newcomers away."""
    node = await start_node(whoever)
    async with doorkeeper(node.port, most=1, words=SHUT["PerSourcePenalties"]) as keeper:
        pool = make_pool(backoff_first_seconds=30)
        where = {"hosts": [through(keeper, node)]}
        await pool.run(WhoAmI(), **to(node, **where))
        for _ in range(2):
            with pytest.raises(SystemUnreachable, match="before its first line"):
                await pool.run(WhoAmI(), **to(node, user="bob", **where))
            assert (await pool.run(WhoAmI(), **to(node, **where))).result["size"] == 9
        assert (keeper.refused, node.logins) == (1, 1)


async def test_crowd_stays_below_max_startups(start_node, make_pool):
    """Many users at once open no more connections at once than sshd lets wait for their login: nobody is dropped."""
    node = await start_node(whoever)
    logging_in = most = 0
    begin, done = LoginNode.begun, LoginNode.done

    def begun(_node: LoginNode) -> None:
        nonlocal logging_in, most
        logging_in += 1
        most = max(most, logging_in)

    def ended(_node: LoginNode) -> None:
        nonlocal logging_in
        logging_in -= 1

    LoginNode.begun, LoginNode.done = begun, ended  # type: ignore[method-assign]
    try:
        pool = make_pool(handshakes_per_host=4, connect_seconds=60, command_seconds=120)
        await asyncio.gather(*(pool.run(WhoAmI(), **to(node, user=f"u{number}")) for number in range(30)))
    finally:
        LoginNode.begun, LoginNode.done = begin, done  # type: ignore[method-assign]
    assert 1 < most <= 4
    assert pool.snapshot().connections == 30


async def test_more_users_at_once_than_connections(start_node, make_pool):
    """Each waits for a connection and gets its answer; idle ones make room, and the limit is kept."""
    node = await start_node(whoever)
    pool = make_pool(connections_per_host=5, handshakes_per_host=4, connect_seconds=60, command_seconds=120)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, pool.snapshot().connections)
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(pool.run(WhoAmI(), **to(node, user=f"u{number}")) for number in range(40)))
    watching.cancel()
    assert node.logins == 40
    assert most <= 5


async def test_nobody_logs_in_for_callers_that_went_away(start_node, make_pool):
    """Those who wait behind others and give up cost no login."""
    node = await start_node(whoever)
    pool = make_pool(handshakes_per_host=1, connect_seconds=60)
    tasks = [asyncio.create_task(pool.run(WhoAmI(), **to(node, user=f"u{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks[1:]:
        task.cancel()
    await tasks[0]
    await pool.run(WhoAmI(), **to(node, user="last"))
    assert node.logins == 2


# sshd restarted.


async def test_sshd_restarted_under_load(authority, make_pool):
    """All connections are cut three times while users work: what is idempotent is repeated, nothing else runs twice, and whoever
    cannot be served is told so at once."""
    ran: collections.Counter[str] = collections.Counter()

    async def work(request: Request) -> None:
        ran[request.command["args"].get("path", "")] += 1
        await asyncio.sleep(0.005)
        request.answer()

    script = ScriptedFilter(work)
    node = await LoginNode(authority, script).start()
    pool = make_pool(backoff_most_seconds=0.2)
    where = to(node)
    results: collections.Counter[tuple[str, str]] = collections.Counter()
    stop = asyncio.Event()

    async def user(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            path = f"/scratch/{number}/{turn}"
            command = StatFile(path) if number % 2 else MakeDirectory(path)
            what, _ = await outcome(pool, command, where)
            results[command.op, what] += 1
            if command.op == "fs.mkdir":
                assert ran[path] <= 1
                assert what != "answered" or ran[path] == 1
            await asyncio.sleep(0.002)

    users = [asyncio.create_task(user(number)) for number in range(16)]
    answered = 0

    async def more_is_answered() -> None:
        nonlocal answered
        await until(lambda: min(results["fs.stat", "answered"], results["fs.mkdir", "answered"]) > answered + 5)
        answered = max(results["fs.stat", "answered"], results["fs.mkdir", "answered"])

    for _ in range(3):
        await more_is_answered()
        port = node.port
        await node.stop()
        await asyncio.sleep(0.1)
        node = await LoginNode(authority, script, host_key=node.host_key).start(port)
    await more_is_answered()
    stop.set()
    await asyncio.wait_for(asyncio.gather(*users), 30)
    await until_answered(pool, where)
    await node.stop()
    assert {what for _, what in results} <= {
        "answered",
        "SystemUnreachable",
        "ConnectionRefused",
        "LoginDenied",
        "AnswerLost",
    }
    assert results["fs.stat", "AnswerLost"] == 0


async def test_sshd_restarted_with_another_host_key(authority, make_pool):
    """A host that comes back with another key after a cut is refused, as at the first time; the command is not signed."""
    node = await LoginNode(authority, ScriptedFilter(answer)).start()
    where = to(node)
    pool = make_pool()
    await pool.run(NOT_IDEMPOTENT, **where)
    signed, port = authority.commands, node.port
    await node.stop()
    other = await LoginNode(authority, ScriptedFilter(answer)).start(port)
    try:
        for _ in range(200):
            what, _ = await outcome(pool, NOT_IDEMPOTENT, where)
            if what not in ("SystemUnreachable", "ConnectionRefused", "LoginDenied"):  # the cut is noticed first
                break
            await asyncio.sleep(0.05)
        with pytest.raises(HostKeyChanged) as changed:
            await pool.run(NOT_IDEMPOTENT, **where)
        assert fingerprint(node.host_key) in changed.value.message
        assert fingerprint(other.host_key) in changed.value.message
        assert other.logins == 0
        assert authority.commands == signed
    finally:
        await other.stop()


# Algorithms.


async def test_aes_gcm_is_chosen(start_node, make_pool):
    """The fastest cipher of both sides, and no compression."""
    node = await start_node(ScriptedFilter(answer))
    await make_pool().run(NOT_IDEMPOTENT, **to(node))
    (connection,) = node.connections
    assert connection.get_extra_info("recv_cipher") == "aes128-gcm@openssh.com"
    assert connection.get_extra_info("send_compression") == "none"


@pytest.mark.parametrize(
    "weak",
    [
        {"encryption_algs": ["aes128-cbc", "3des-cbc"]},
        {"kex_algs": ["diffie-hellman-group14-sha1"]},
        {"encryption_algs": ["aes128-ctr"], "mac_algs": ["hmac-sha1", "hmac-md5"]},
    ],
    ids=["cipher", "key exchange", "MAC"],
)
async def test_weak_algorithms_are_not_talked(authority, make_pool, weak):
    """A host that offers nothing better is not logged in to, and the message says why."""
    node = LoginNode(authority, ScriptedFilter(answer), options=weak)
    await node.start()
    try:
        with pytest.raises(SystemUnreachable, match="no algorithm or type of host key in common"):
            await make_pool().run(NOT_IDEMPOTENT, **to(node))
        assert node.logins == 0
    finally:
        await node.stop()
