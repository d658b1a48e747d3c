"""A login node with OpenSSH 10 and Python 3.13 (Debian 13), by docs/node.md alone: sessions in processes of another program, PAM's service by
an option, and penalties for the address of who fails to log in, which is one address for all users of a gateway."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from component.plain_node.door import FILTER_PATH, Door, install_by_the_page, knock_at, make_account, prepare
from component.plain_node.machine import NEWER, Machine, fresh_machine, is_possible
from component.ssh_filter.knocking import Knocker
from goldcrest.commands import StatFile, WhoAmI
from goldcrest.errors import SystemUnreachable
from goldcrest.ssh.hostkeys import Endpoint
from goldcrest.ssh.login import check_host_key

pytestmark = pytest.mark.component

Accounts = Callable[..., str]
Doors = Callable[..., Door]
CONFIG = "/etc/ssh/sshd_goldcrest_config"
TURNED_AWAY = (
    b"Not allowed at this time\r\n"  # sshd's own words before its first line, for penalties and MaxStartups alike
)


@pytest.fixture(scope="module")
def node(keys: Path) -> Iterator[Machine]:
    """Such a node, after what the page has an administrator type; shared by the tests here, each makes accounts of its own."""
    if reason := is_possible():
        pytest.skip(reason)
    with fresh_machine(NEWER) as machine:
        prepare(machine, keys)
        make_account(machine, "alice")
        install_by_the_page(machine)
        yield machine


@contextmanager
def with_options(node: Machine, **options: str) -> Iterator[None]:
    """sshd started again with these options in place of the file's lines; what is open stays."""
    text = node.path(CONFIG).read_text()
    for name, value in options.items():
        text, count = re.subn(rf"(?m)^#?{name} .*$", f"{name} {value}", text)
        assert count == 1, name
    try:
        with node.changed(CONFIG, text):
            node.start_sshd()
            yield
    finally:
        node.start_sshd()


async def said_to(node: Machine, address: str) -> bytes:
    """What sshd says first to who comes from this address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, local_addr=(address, 0))
    try:
        async with asyncio.timeout(10):
            return await reader.readline()
    finally:
        writer.close()


async def hang(node: Machine) -> asyncio.StreamWriter:
    """A connection that sshd waits for to log in; whoever came before may still be leaving."""
    async with asyncio.timeout(10):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            if (await reader.readline()).startswith(b"SSH-2.0-"):
                return writer
            writer.close()


async def fail_to_log_in(knocker: Knocker, user: str, *, address: str) -> None:
    """Try to log in from this address as somebody whose account is closed, with a good certificate."""
    with pytest.raises((asyncssh.DisconnectError, ConnectionError)):
        async with knocker.connect(knocker.certificate(user=user), user=user, address=address):
            pass


async def test_the_page_leads_to_the_first_command(node: Machine, make_door: Doors) -> None:
    """From nothing to a command that delegation signed; the check has nothing to say of sshd, and the log has its line."""
    door = make_door(node)
    assert (await door.run(WhoAmI(), "alice"))["user"] == "alice"
    await door.write("/scratch/hello", b"hello", "alice")
    assert (await door.run(StatFile("/scratch/hello"), "alice"))["size"] == 5
    (line,) = node.log_lines("op=fs.stat")
    assert "outcome=ok" in line
    done = node.run(FILTER_PATH, "--check", "--user", "alice")
    lines = done.stdout.splitlines()
    for what in (r"Python: 3\.13\.", "signatures: by libcrypto", r"port \d+: SSH-2\.0-OpenSSH_10", "PAM", "start"):
        assert any(re.match(f"ok    {what}", line) for line in lines), (what, lines)
    assert [line for line in lines if line.startswith("WARN  sshd")] == []
    assert "wrote" not in node.run("sh", "/root/ssh-filter/install.sh").stdout  # the gateway's address is remembered


async def test_the_pam_service_is_ours(node: Machine, account: Accounts, make_door: Doors) -> None:
    """Its name does not follow from that of the program any more: without the option, what is stricter here would not count."""
    user = account()
    node.run("sh", "-c", f"echo '{user}:secret' | chpasswd")
    door = make_door(node)
    assert await door.run(WhoAmI(), user)
    node.run("usermod", "--lock", user)
    node.forget_log()
    with pytest.raises(SystemUnreachable, match="expired, locked"):
        await make_door(node).run(WhoAmI(), user)
    (line,) = node.log_lines(f"Access denied for user {user} by PAM account configuration")
    assert "sshd-session[" in line  # where docs/node.md has an administrator look
    assert node.log_lines("pam_exec(sshd-goldcrest:account)")


async def test_ending_a_users_sessions(node: Machine, account: Accounts, make_door: Doors) -> None:
    """What is done when a user is blocked: nothing of theirs is left on the node, whatever sshd calls its processes; another's goes on."""
    user, other = account(), account()
    door = make_door(node)
    for name in (user, other):
        await door.run(WhoAmI(), name)

    assert any(f"sshd-session: {user}@notty" in line for line in node.running(user))
    assert any(FILTER_PATH in line for line in node.running(user))
    before = node.running(other)
    assert door.pool.end_sessions([user], reason="the site blocked this user") == 1
    async with asyncio.timeout(10):
        while node.running(user):  # noqa: ASYNC110  (what is waited for is the node's)
            await asyncio.sleep(0.02)
    assert node.running(other) == before != []


async def test_a_restart_of_sshd(node: Machine, account: Accounts, make_door: Doors) -> None:
    """Open sessions go on, in the program that they are in; nobody new comes in meanwhile, and everybody afterwards."""
    user, other = account(), account()
    door = make_door(node, backoff_most_seconds=0.1)
    await door.run(WhoAmI(), user)
    node.stop_sshd()
    try:
        assert (await door.run(WhoAmI(), user))["user"] == user
        with pytest.raises(SystemUnreachable, match="cannot be reached"):
            await door.run(WhoAmI(), other)
    finally:
        node.start_sshd()
    await until_it_works(door, other)
    assert door.pool.snapshot().connections == 2


async def until_it_works(door: Door, user: str, *, seconds: float = 20) -> None:
    """Ask every now and then."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await door.run(WhoAmI(), user)
            except SystemUnreachable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_no_penalty_hits_the_gateway(node: Machine, keys: Path, account: Accounts, make_door: Doors) -> None:
    """With sshd's own penalties and the exemption that install.sh wrote: whatever fails from there, the next user comes in; another
    address is kept out after the same."""
    door, knocker, closed = make_door(node), knock_at(node, keys), account()
    node.run("usermod", "--expiredate", "1", closed)
    tries = 0
    while await said_to(node, "127.0.0.2") != TURNED_AWAY:
        await fail_to_log_in(knocker, closed, address="127.0.0.2")
        tries += 1
        assert tries < 10
    for _ in range(2 * tries):
        await fail_to_log_in(knocker, closed, address="127.0.0.1")
    for _ in range(20):  # the operator's look at a host leaves before anybody logs in, which has its penalty too
        await check_host_key(Endpoint.of(door.spec.hosts[0], door.spec), seconds=10)
    assert (await door.run(WhoAmI(), account()))["user"]
    assert (await said_to(node, "127.0.0.1")).startswith(b"SSH-2.0-")


async def test_a_gateway_that_is_penalised(node: Machine, account: Accounts, make_door: Doors) -> None:
    """Without the exemption one user whose account is locked keeps all others out for a while. Their error says what may be the case
    and what to do; the host is left alone, sessions that are open go on, and it all ends by itself."""
    locked, inside, outside = account(), account(), account()
    node.run("usermod", "--expiredate", "1", locked)
    with with_options(node, PerSourcePenaltyExemptList="none\nPerSourcePenalties authfail:2 noauth:1 min:5 max:6"):
        door = make_door(node, backoff_first_seconds=0.2, backoff_most_seconds=1)
        await door.run(WhoAmI(), inside)
        node.forget_log()
        said = ""
        async with asyncio.timeout(20):
            while "PerSourcePenalties" not in said:
                with pytest.raises(SystemUnreachable) as refused:
                    await door.run(WhoAmI(), locked)
                said = refused.value.message
                await asyncio.sleep(0.05)
        assert await said_to(node, "127.0.0.1") == TURNED_AWAY
        for _ in range(50):
            with pytest.raises(SystemUnreachable, match=r"before its first line.*install\.sh --gateway"):
                await door.run(WhoAmI(), outside)
        assert door.pool.snapshot().resting_hosts == 1
        assert (await door.run(WhoAmI(), inside))["user"] == inside
        await until_it_works(door, outside)
        assert door.pool.snapshot().resting_hosts == 0
        dropped = node.log_lines("penalty: failed authentication")
        assert 2 <= len(dropped) <= 12  # of more than fifty that asked
        assert "sshd-goldcrest[" in dropped[0]
        check = node.run(FILTER_PATH, "--check").stdout
        assert re.search(r"WARN  sshd: keeps an address out .* -> install\.sh --gateway", check)


async def test_max_startups(node: Machine, account: Accounts, make_door: Doors) -> None:
    """While somebody hangs before their login, who comes next is told so; work goes on when they have left."""
    user = account()
    with with_options(node, MaxStartups="1"):
        hanging = await hang(node)
        assert await said_to(node, "127.0.0.3") == TURNED_AWAY
        assert node.log_lines("Maxstartups")
        door = make_door(node, backoff_most_seconds=0.2)
        with pytest.raises(SystemUnreachable, match=r"before its first line.*MaxStartups"):
            await door.run(WhoAmI(), user)
        assert door.pool.snapshot().resting_hosts == 1
        hanging.close()
        await until_it_works(door, user)
