"""Odd accounts on a real sshd with PAM: what the client is told, and what it can do about it.

Start-up files are hostile input (T4): the user's own shell runs them before the filter, as the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from component.plain_node.door import FILTER_PATH, Door, knock_at
from component.plain_node.machine import Machine
from component.ssh_filter.knocking import hello
from goldcrest.commands import StatFile, WhoAmI
from goldcrest.errors import CommandFailed, SystemUnreachable
from goldcrest.ssh import SshSettings

pytestmark = pytest.mark.component

Accounts = Callable[..., str]
Doors = Callable[..., Door]


@pytest.mark.parametrize(
    ("shell", "file", "text"),
    [
        ("/bin/bash", ".bashrc", "echo Welcome; echo to the cluster >&2; printf '\\033[31mred\\033[0m\\n'"),
        ("/bin/bash", ".bashrc", "head -c 60000 /dev/zero | tr '\\0' x; echo"),
        ("/bin/bash", ".bashrc", "echo ' GOLDCREST-FILTER no'; printf 'no newline before the marker'"),
        ("/bin/bash", ".bashrc", "sleep 1.5"),
        ("/bin/bash", ".bashrc", "set -u; set -o noclobber; umask 077; cd /; alias exec=echo; PATH=/nowhere"),
        ("/bin/bash", ".bashrc", "trap 'echo bye' EXIT; stty -echo; tput reset; mesg n"),
        ("/bin/bash", ".bashrc", "if then this is no bash ((("),
        ("/bin/bash", ".bashrc", "export PYTHONHOME=/nowhere PYTHONPATH=/tmp LD_LIBRARY_PATH=/tmp BASH_ENV=/tmp/x ENV=/tmp/x"),
        ("/bin/bash", ".bashrc", "case $- in *i*) ;; *) return ;; esac; exit 7"),
        ("/bin/bash", ".bash_profile", "exit 1"),
        ("/bin/bash", ".profile", "exec tmux"),
        ("/bin/dash", ".profile", "exit 1"),
        ("/bin/tcsh", ".cshrc", "echo noise from csh; setenv PATH /nowhere"),
        ("/bin/tcsh", ".tcshrc", "if ( $?prompt ) exit\necho not a terminal"),
        ("/usr/bin/fish", ".config/fish/config.fish", "echo noise from fish"),
        (FILTER_PATH, ".bashrc", "exit 1"),
    ],
    ids=lambda value: re.sub(r"[^A-Za-z]+", "-", str(value))[:24],
)  # fmt: skip
async def test_start_up_files_that_do_no_harm(
    node: Machine, account: Accounts, make_door: Doors, shell: str, file: str, text: str
) -> None:
    """Noise, slowness, other shells, and errors that the shell survives: the command is carried out."""
    user = account(shell=shell, files={file: text + "\n"})
    assert (await make_door(node).run(WhoAmI(), user))["user"] == user


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 1", r"start-up files"),
        (
            "printf 'Do\\033[2Jgo away\\n'; exit 1",
            r"\(Do\[2Jgo away\).*start-up files",
        ),  # and no escape reaches a terminal
        ("exec sleep 30", r"within 2 s.*start-up files"),
        ("exec cat", r"within 2 s.*start-up files"),
        ("set -e; false", r"start-up files"),
        ("read -p 'Accept the terms of use? ' answer; echo", r"Accept the terms of use.*start-up files|within 2 s"),
        ("yes", r"64 KiB.*start-up files"),
        ("kill -9 $$", r"start-up files"),
    ],
    ids=lambda value: re.sub(r"[^A-Za-z]+", "-", str(value))[:24],
)
async def test_start_up_files_that_keep_the_filter_from_starting(
    node: Machine, account: Accounts, make_door: Doors, text: str, message: str
) -> None:
    """No command is signed; the client learns what came instead, and where to look."""
    user = account(files={".bashrc": text + "\n"})
    door = make_door(node, hello_seconds=2)
    with pytest.raises(SystemUnreachable, match=f"(?s){message}"):
        await door.run(WhoAmI(), user)
    assert door.authority.commands == 0


async def test_a_start_up_file_that_reads_standard_input(node: Machine, account: Accounts, make_door: Doors) -> None:
    """It cannot eat a command: the client says nothing before it has read the filter's hello."""
    user = account(files={".bashrc": 'read -t 0.3 eaten; [ -z "$eaten" ] || echo ate $eaten\n'})
    door = make_door(node)
    assert (await door.run(WhoAmI(), user))["user"] == user
    assert door.authority.commands == 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (("usermod", "--expiredate", "1"), "expired, locked"),
        (("usermod", "--lock"), "expired, locked"),
        (("chage", "--lastday", "0"), "Password change required"),
        (("chage", "--lastday", "2020-01-01", "--maxdays", "10", "--inactive", "0"), "expired, locked"),
    ],
    ids=["expired", "password locked", "password must be changed", "password expired long ago"],
)
async def test_accounts_that_are_closed(
    node: Machine, account: Accounts, make_door: Doors, how: tuple[str, ...], message: str
) -> None:
    """UsePAM with a service of its own: they are kept out with a good certificate in hand, and come in when opened again."""
    user = account()
    node.run("sh", "-c", f"echo '{user}:secret' | chpasswd")
    door = make_door(node)
    assert await door.run(WhoAmI(), user)
    node.run(*how, user)
    node.forget_log()
    other = make_door(node)
    with pytest.raises(SystemUnreachable, match=message):
        await other.run(WhoAmI(), user)
    assert other.authority.commands == 0
    assert (await other.run(WhoAmI(), account(shell="/bin/dash")))["user"]  # the host is not to blame: others go on
    assert other.pool.snapshot().resting_hosts == 0
    assert [line for line in node.log_lines(user) if "sshd-goldcrest" in line], node.log_lines()
    assert "account" in node.run(FILTER_PATH, "--check", "--user", user, check=False).stdout


async def test_accounts_without_a_password_are_open(node: Machine, account: Accounts, make_door: Doors) -> None:
    """`*` and `!` mean that there is no password, not that the account is locked: such users have keys only."""
    for password in ("*", "!"):
        user = account()
        node.run("usermod", "--password", password, user)
        assert await make_door(node).run(WhoAmI(), user)


async def test_access_rules_count(node: Machine, account: Accounts, make_door: Doors) -> None:
    """access.conf keeps one out and not the other."""
    out, within = account(shell="/bin/bash"), account(shell="/bin/dash")
    with node.changed("/etc/security/access.conf", f"-:{out}:ALL\n"):
        with pytest.raises(SystemUnreachable, match="kept out by an access rule or nologin"):
            await make_door(node).run(WhoAmI(), out)
        assert await make_door(node).run(WhoAmI(), within)


async def test_a_node_in_maintenance(node: Machine, account: Accounts, make_door: Doors) -> None:
    """/etc/nologin keeps users out; --check says so."""
    user = account()
    with node.changed("/etc/nologin", "Maintenance until Monday\n"):
        with pytest.raises(SystemUnreachable, match="kept out by an access rule or nologin"):
            await make_door(node).run(WhoAmI(), user)
        assert "WRONG nologin" in node.run(FILTER_PATH, "--check", check=False).stdout
    assert await make_door(node).run(WhoAmI(), user)


async def test_limits_of_the_site_count(node: Machine, account: Accounts, make_door: Doors) -> None:
    """pam_limits with the site's own limits.conf, and none of ours: Slurm hands them on to jobs."""
    user = account(files={".bashrc": "ulimit -n >~/limit; ulimit -u >>~/limit; ulimit -v >>~/limit\n"})
    with node.changed("/etc/security/limits.conf", f"{user} - nofile 321\n"):
        assert await make_door(node).run(WhoAmI(), user)
        limits = node.path(f"/home/{user}/limit").read_text().split()
    assert limits[0] == "321"
    assert limits[2] == "unlimited"


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
async def test_shells_that_end_every_login(node: Machine, account: Accounts, make_door: Doors, shell: str) -> None:
    """sshd starts forced commands through the shell, so there is no filter; the client is told what the shell said."""
    user = account(shell=shell)
    words = "currently not available" if "nologin" in shell else "start-up files|login shell"
    with pytest.raises(SystemUnreachable, match=words):
        await make_door(node, hello_seconds=5).run(WhoAmI(), user)
    done = node.run(FILTER_PATH, "--check", "--user", user, check=False)
    assert "WRONG shell" in done.stdout


async def test_a_home_that_is_missing(node: Machine, account: Accounts, make_door: Doors) -> None:
    """Not mounted, or never made: commands work, and what needs the folder says that it is not there."""
    user = account(home=False)
    door = make_door(node)
    assert (await door.run(WhoAmI(), user))["user"] == user
    with pytest.raises(CommandFailed, match="No such file"):
        await door.run(StatFile(f"/home/{user}"), user)
    assert "WRONG home" in node.run(FILTER_PATH, "--check", "--user", user, check=False).stdout


async def test_a_full_disk(node: Machine, account: Accounts, make_door: Doors) -> None:
    """The error names the folder and the reason, nothing half written stays, and there is room again afterwards."""
    user = account()
    node.run("mkdir", "-p", "/scratch/full")
    node.run("mount", "-t", "tmpfs", "-o", "size=256k,mode=1777", "tmpfs", "/scratch/full")
    try:
        door = make_door(node)
        with pytest.raises(
            CommandFailed, match=r"No space left on device.*/scratch/full/data|/scratch/full/data.*No space"
        ):
            await door.write("/scratch/full/data", b"x" * 2**20, user)
        assert list(node.path("/scratch/full").iterdir()) == []
        assert await door.write("/scratch/full/data", b"x" * 1000, user)
    finally:
        node.run("umount", "/scratch/full")


async def test_a_full_quota(node: Machine, account: Accounts, make_door: Doors) -> None:
    """Likewise where the disk has room, but not for this: `Disk quota exceeded`, by a file system that counts."""
    user = account()
    with node.folder_with_a_quota("/scratch/quota", kibibytes=300):
        door = make_door(node)
        assert await door.write("/scratch/quota/small", b"x" * 20_000, user)
        with pytest.raises(CommandFailed, match="Disk quota exceeded") as full:
            await door.write("/scratch/quota/data", b"x" * 2**20, user)
        assert (full.value.errno_name, full.value.path) == ("EDQUOT", "/scratch/quota/data")
        assert [path.name for path in node.path("/scratch/quota").iterdir()] == ["small"]
        assert await door.write("/scratch/quota/other", b"x" * 20_000, user)


async def test_certificates_for_some_addresses(node: Machine, account: Accounts, keys: Path) -> None:
    """As delegation makes them where GOLDCREST_DELEGATION_SOURCE_ADDRESSES is set: sshd and filter take them from there, and from nowhere else."""
    user = account()
    for networks, opens in ((("192.0.2.0/28", "127.0.0.0/8"), True), (("192.0.2.0/28",), False)):
        door = Door(node, keys, SshSettings(), source_addresses=networks)
        try:
            if opens:
                assert (await door.run(WhoAmI(), user))["user"] == user
            else:
                with pytest.raises(SystemUnreachable, match="refused the login"):
                    await door.run(WhoAmI(), user)
        finally:
            await door.pool.close()
    assert node.log_lines("not from a permitted source address (127.0.0.1)")


async def test_nothing_of_the_clients_environment(node: Machine, account: Accounts, keys: Path) -> None:
    """What a client sends with `env` requests reaches neither the login shell nor the filter (no AcceptEnv)."""
    user = account(files={".bashrc": "env >~/seen\n"})
    wanted = {"LD_PRELOAD": "/tmp/evil.so", "BASH_ENV": "/tmp/evil", "SLURM_CONF": "/tmp/evil", "SBATCH_WRAP": "id",
              "PATH": "/tmp/evil", "LC_ALL": "evil", "LANG": "evil", "GOLDCREST_EVIL": "1"}  # fmt: skip
    knocker = knock_at(node, keys)
    async with knocker.connect(knocker.certificate(user=user), user=user) as connection:
        assert (await hello(await connection.create_process("env", env=wanted, encoding=None)))["user"] == user
    seen = node.path(f"/home/{user}/seen").read_text()
    assert f"USER={user}\n" in seen
    assert "evil" not in seen
    assert not re.search("^(LD_PRELOAD|BASH_ENV|SLURM_|SBATCH_|LC_ALL|GOLDCREST_)", seen, re.MULTILINE)
