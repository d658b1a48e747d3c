"""How a channel begins: what the node must look like, and who may come in."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from component.ssh_filter.certificates import public_line, string
from component.ssh_filter.node import PYTHON, SYSTEM, UID, USER, Node

pytestmark = pytest.mark.component


def refused(node: Node, status: int, **start: Any) -> str:
    """Start a filter that must end at once without a hello; what it says."""
    channel = node.start(**start)
    assert channel.read_frame() is None
    words = channel.stderr()
    assert (channel.process.returncode, channel._buffer) == (status, b"")
    assert words.startswith("goldcrest-ssh-filter: ")
    assert words.count("\n") == 1
    return words


def test_hello(node: Node) -> None:
    """Everything that docs/protocol.md lists, and nothing before the marker."""
    channel = node.open()
    assert channel.noise == b""
    hello = channel.hello
    assert set(hello) == {"protocol", "version", "sid", "system", "user", "operations", "limits", "features"}
    assert (hello["protocol"], hello["system"], hello["user"]) == ([1], SYSTEM, USER)
    assert re.fullmatch("[0-9a-f]{32}", hello["sid"])
    assert hello["limits"] == {
        "frame": 1114112, "payload": 16777216, "stream": 5 * 1024**3, "output": 16777216, "commands": 16, "seconds": 60,
    }  # fmt: skip
    assert "slurm.submit" in hello["operations"]
    assert hello["features"] == ["payload-size"]
    assert channel.end() == 0


def test_every_start_has_an_id_of_its_own(node: Node) -> None:
    """Or a certificate would be good on a second channel."""
    assert len({node.open().hello["sid"] for _ in range(5)}) == 5


def test_hello_says_what_the_policy_says(node: Node) -> None:
    """Limits and operations are the node's, so that a client need not find out by being refused."""
    node.policy.update(operations=["fs.stat", "sys.whoami"], payloadLimit=1000, outputLimit=2000, commandsAtOnce=3)
    node.policy.update(streamLimit=3000, commandSeconds=4)
    hello = node.open().hello
    assert hello["operations"] == ["fs.stat", "sys.whoami"]
    assert hello["limits"] == {
        "frame": 1114112, "payload": 1000, "stream": 3000, "output": 2000, "commands": 3, "seconds": 4,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_cas_and_keys_of_all_kinds(node: Node, kind: str) -> None:
    """The whole way with each kind of CA and user key."""
    make: Any = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]
    node.ca, node.key = make(), make()
    node.ca_file.write_text(public_line(node.ca))
    assert node.open().ask("sys.whoami", {})["uid"] == UID


def test_without_libcrypto(node: Node) -> None:
    """Python alone verifies too: a node without OpenSSL's library, or a site that wants it so."""
    node.policy["useLibcrypto"] = False
    channel = node.open()
    assert channel.ask("sys.whoami", {})["uid"] == UID
    wrong = channel.certificate("sys.whoami", {}, ca=ed25519.Ed25519PrivateKey.generate(), claimed_ca=node.ca)
    assert channel.refusal(wrong.build()) == "signature"


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("unknown-ca", {"ca": ed25519.Ed25519PrivateKey.generate()}),
        ("not-user-certificate", {"type": 2}),
        ("window", {"valid_after": 0, "valid_before": 2**64 - 1}),
        ("principal", {"principals": (b"root",)}),
        ("principal", {"principals": (USER.encode(), b"root")}),
        ("extension", {"extensions": string(b"permit-pty") + string(b"")}),
        ("critical-option", {"critical": ()}),
        ("malformed", {"critical": ((b"force-command", b"/bin/sh"),)}),
    ],
)
def test_session_certificates_that_are_refused(node: Node, reason: str, changes: dict[str, Any]) -> None:
    """The certificate that opened the connection is verified like any other: sshd's word is not enough."""
    words = refused(node, 118, certificate=node.session_certificate(**changes).build())
    assert words.startswith(f"goldcrest-ssh-filter: {reason}: ")


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("kind", {"kind": "command", "op": "sys.whoami", "sid": "0" * 32}),
        ("system", {"system": "other"}),
        ("principal", {"user": "root"}),
        ("malformed", {"sid": "0" * 32}),
        ("malformed", {"op": "sys.whoami"}),
        ("malformed", {"args": {"path": "/"}}),
        ("malformed", {"payload": {"size": 1}}),
    ],
)
def test_commands_that_do_not_open_a_connection(node: Node, reason: str, command: dict[str, Any]) -> None:
    """Above all a command's certificate: caught on its way, it must not open a connection of its own."""
    session = {"kind": "session", "system": SYSTEM, "user": USER, "op": "session", "args": {}, "payload": {}}
    words = refused(node, 118, certificate=node.certificate({**session, **command}).build())
    assert words.startswith(f"goldcrest-ssh-filter: {reason}: ")


def test_a_channel_opened_late(node: Node) -> None:
    """sshd has compared the time when the connection was opened; its later channels start with the same certificate."""
    certificate = node.session_certificate(valid_after=1000, valid_before=1090).build()
    assert node.open(certificate=certificate).ask("sys.whoami", {})


@pytest.mark.parametrize(
    "user_auth",
    [
        b"",
        b"publickey ssh-ed25519 AAAA\n",
        b"publickey\n",
        b"password\n",
        b"publickey ssh-ed25519-cert-v01@openssh.com !!!\n",
        b"\xff" * 300000,
    ],
)
def test_connections_without_a_certificate(node: Node, user_auth: bytes) -> None:
    """A bare key, a password, or nothing."""
    assert "malformed" in refused(node, 118, user_auth=user_auth)


def test_two_keys_for_one_connection(node: Node) -> None:
    """With two there is no one key to compare commands with."""
    line = b"publickey x " + base64.b64encode(node.session_certificate().build()) + b"\n"
    assert "exactly one" in refused(node, 118, user_auth=line + line)


def test_started_by_hand(node: Node) -> None:
    """Without sshd there is no session, whatever else is right."""
    assert "SSH_USER_AUTH" in refused(node, 118, environment={"SSH_USER_AUTH": ""})
    assert "SSH_USER_AUTH" in refused(node, 118, environment={"SSH_USER_AUTH": "/nowhere"})


def test_users_that_are_not_served(node: Node) -> None:
    """Below the least uid, or in no allowed group."""
    node.policy["minUid"] = UID + 1
    assert "uid: " in refused(node, 118)
    node.policy.update(minUid=1000, allowedGroups=["hpc"])
    assert "group: " in refused(node, 118)


def test_a_revoked_certificate_opens_nothing(node: Node) -> None:
    """The list is read at the start, too."""
    revoked = node.folder / "revoked"
    revoked.write_text("serial: 42\n")
    node.policy["revocationFile"] = str(revoked)
    assert "revoked: " in refused(node, 118, certificate=node.session_certificate(serial=42).build())
    assert node.open(certificate=node.session_certificate(serial=43).build())


@pytest.mark.parametrize("name", ["policy_file", "ca_file", "filter"])
@pytest.mark.parametrize("how", ["writable by others", "writable by the group", "owned by the user"])
def test_files_that_others_could_change(node: Node, name: str, how: str) -> None:
    """T4: the filter does not start, and says which file and what to do; nothing relaxes it."""
    node.policy_file.write_text("")
    path = getattr(node, name)
    if how == "owned by the user":
        os.chown(path, UID, UID)
    else:
        path.chmod(0o757 if how == "writable by others" else 0o775)
    words = refused(node, 78)
    assert str(path) in words
    assert "not started" in words


def test_files_that_are_missing(node: Node) -> None:
    """The CA's key, and the policy: said by name."""
    node.ca_file.unlink()
    assert str(node.ca_file) in refused(node, 78)
    done = subprocess.run(
        [PYTHON, "-IS", str(node.filter), "--policy", "/nowhere/policy"], capture_output=True, check=False, text=True
    )
    assert (done.returncode, "/nowhere" in done.stderr) == (78, True)


def test_a_folder_that_others_can_write(node: Node) -> None:
    """Whoever can write the folder can put another file in the place of this one."""
    node.folder.chmod(0o777)
    assert "writable by others" in refused(node, 78)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"system": ""}', '{"system": "cluster", "minimumUid": 5}'])
def test_broken_policies(node: Node, text: str) -> None:
    """Said in one line, with status 78."""
    node.policy_file.write_text(text)
    done = subprocess.run(
        [PYTHON, "-IS", str(node.filter), "--policy", str(node.policy_file)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.count("\n") == 1


def test_the_environment_changes_nothing(node: Node) -> None:
    """Start-up files of the user may set anything: neither policy, code nor programs come from there."""
    evil = node.home / "evil"
    evil.mkdir()
    (evil / "json.py").write_text("raise SystemExit('own code')")
    (evil / "squeue").write_text("#!/bin/sh\necho evil\n")
    (evil / "squeue").chmod(0o755)
    node.program("squeue", "env")
    channel = node.open(
        environment={
            "PATH": str(evil),
            "PYTHONPATH": str(evil),
            "PYTHONSTARTUP": str(evil / "json.py"),
            "PYTHONHOME": "",
            "SLURM_CONF": str(evil / "slurm.conf"),
            "SLURM_TIME_FORMAT": "x",
            "SQUEUE_FORMAT": "x",
            "GOLDCREST_POLICY": str(evil / "policy"),
            "HOME": str(evil),
            "USER": "root",
            "LOGNAME": "root",
        }
    )
    assert channel.hello["user"] == USER
    seen = dict(line.split("=", 1) for line in channel.ask("slurm.queue", {"scope": "own"})["stdout"].splitlines())
    seen.pop("PWD", None)  # set by the shell of the fake program
    seen.pop("_", None)
    seen.pop("SHLVL", None)
    seen.pop("OLDPWD", None)
    assert seen == {
        "PATH": node.policy["environment"]["PATH"],
        "SLURM_CONF": "/etc/slurm/slurm.conf",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "USER": USER,
        "LOGNAME": USER,
        "SHELL": seen["SHELL"],
        "SLURM_TIME_FORMAT": "%s",
    }


def test_started_by_the_force_command_of_a_certificate(node: Node) -> None:
    """A node whose own ForceCommand is lost starts the filter with the command as argument, which is not obeyed."""
    node.policy_file.write_text(json.dumps(node.policy))
    done = subprocess.run(
        [PYTHON, "-IS", str(node.filter), "--policy", str(node.policy_file), "v1.e30"],
        capture_output=True,
        check=False,
        text=True,
        env={},
        user=UID,
        group=UID,
    )
    assert (done.returncode, "SSH_USER_AUTH" in done.stderr) == (118, True)


@pytest.mark.parametrize("arguments", [["--polic", "x"], ["--policy"], ["x"], ["--check"], ["--version", "x"]])
def test_unknown_arguments(node: Node, arguments: list[str]) -> None:
    """A slip in ForceCommand is noticed."""
    done = subprocess.run([PYTHON, "-IS", str(node.filter), *arguments], capture_output=True, check=False, text=True)
    assert (done.returncode, "--help" in done.stderr) == (64, True)


def test_version_and_help(node: Node) -> None:
    """What an administrator types first."""
    for argument, words in (("--version", "protocol 1"), ("--help", "--policy FILE")):
        done = subprocess.run([PYTHON, "-IS", str(node.filter), argument], capture_output=True, check=True, text=True)
        assert words in done.stdout


def test_as_a_login_shell(node: Node) -> None:
    """Where accounts have the filter as their shell (T4), sshd hands it the forced command with -c; nothing of it counts."""
    node.policy_file.write_text(json.dumps(node.policy))
    for command in ("/usr/libexec/goldcrest/ssh-filter", "id; echo evil", "--policy /tmp/evil"):
        done = subprocess.run(
            [PYTHON, "-IS", str(node.filter), "-c", command],
            capture_output=True,
            check=False,
            text=True,
            env={},
        )
        assert (done.returncode, done.stdout) == (78, "")  # its own policy file is not on this machine
        assert "/etc/goldcrest/ssh-filter.json" in done.stderr
