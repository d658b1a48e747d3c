"""The shipped sshd configuration with a real sshd and a real ssh, where the machine has them."""

from __future__ import annotations

import base64
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from component.ssh_filter.certificates import Certificate, session_command
from component.ssh_filter.node import ANSWER, FILTER, SYSTEM, Channel, Node, request_frame

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
LOGIN = "root"  # the only account with a shell that every machine has


def _has_sshd() -> bool:
    try:
        pwd.getpwnam("sshd")
    except KeyError:
        return False
    return SSHD is not None and shutil.which("ssh") is not None and os.geteuid() == 0


pytestmark = [pytest.mark.component, pytest.mark.skipif(not _has_sshd(), reason="needs sshd, its user, ssh and root")]


class Login:
    """A sshd that runs, and ways to call it."""

    def __init__(self, node: Node, configuration: str, port: int) -> None:
        self.node = node
        self.port = port
        node.policy["minUid"] = 0
        self.key_file = node.folder / "key"
        self.key_file.write_bytes(node.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        self.key_file.chmod(0o600)
        self.file = node.folder / "sshd_config"
        self.file.write_text(configuration)

    def use(self, certificate: bytes) -> None:
        """The certificate that ssh shows next."""
        line = b"ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(certificate) + b"\n"
        (self.node.folder / "key-cert.pub").write_bytes(line)

    def certificate(self, command: dict[str, Any], **changes: Any) -> Certificate:
        return self.node.certificate(command, principals=(LOGIN.encode(),)).but(**changes)

    def argv(self, *options: str) -> list[str]:
        defaults = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "LogLevel=ERROR"]
        words = [word for option in (*defaults, "BatchMode=yes") for word in ("-o", option)]
        return [
            "ssh",
            "-F",
            "none",
            *words,
            *options,
            "-i",
            str(self.key_file),
            "-p",
            str(self.port),
            f"{LOGIN}@127.0.0.1",
        ]

    def open(self, *options: str) -> Channel:
        self.node.policy_file.write_text(json.dumps(self.node.policy))
        process = subprocess.Popen(
            [*self.argv(*options), "ignored; id"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        channel = Channel(self.node, process)
        self.node._channels.append(channel)
        return channel


@pytest.fixture
def login(node: Node) -> Iterator[Login]:
    """The configuration as it is shipped, but for what must differ on a machine that tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(node.folder / "host")], check=True)
    text = (FILTER.parent / "sshd_goldcrest_config").read_text()
    for pattern, replacement in (
        (r"(?m)^Port 2222$", f"Port {port}\nListenAddress 127.0.0.1"),
        (r"(?m)^PidFile .*$", f"PidFile {node.folder}/pid"),
        (r"(?m)^HostKey .*\n", ""),
        (r"(?m)^TrustedUserCAKeys .*$", f"TrustedUserCAKeys {node.ca_file}\nHostKey {node.folder}/host"),
        (r"(?m)^PermitRootLogin no$", "PermitRootLogin yes"),
        (r"(?m)^ForceCommand .*$", f"ForceCommand {node.filter} --policy {node.policy_file}"),
        (r"(?m)^UsePAM yes$", "UsePAM no"),
    ):
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    login = Login(node, text, port)
    Path("/run/sshd").mkdir(exist_ok=True)
    assert SSHD is not None
    checked = subprocess.run([SSHD, "-t", "-f", str(login.file)], capture_output=True, check=False, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    with (node.folder / "sshd.log").open("w") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(login.file)], stderr=log)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield login
    finally:
        process.terminate()
        process.wait(10)


def test_a_command_through_ssh(login: Login) -> None:
    """Session certificate, hello behind the login shell, a command; what the client asked to run is ignored."""
    login.use(login.certificate(session_command(system=SYSTEM, user=LOGIN)).build())
    channel = login.open()
    channel.read_hello()
    command = {**channel.command("sys.whoami", {}), "user": LOGIN}
    channel.send(request_frame(1, login.certificate(command).build()))
    got = channel.finish(1)
    assert (got.type, got.json["user"]) == (ANSWER, LOGIN)
    # The same command for another process' key: sshd told the filter which key opened this connection.
    other = ed25519.Ed25519PrivateKey.generate()
    assert channel.refusal(login.certificate(command, key=other).build()) == "key"
    assert channel.end() == 0


def test_a_command_certificate_opens_nothing(login: Login) -> None:
    """sshd lets it in, for it is a good certificate; the filter does not."""
    command = {**session_command(system=SYSTEM, user=LOGIN), "kind": "command", "op": "sys.whoami", "sid": "0" * 32}
    login.use(login.certificate(command).build())
    channel = login.open()
    assert channel.read_frame() is None
    assert "kind: " in channel.stderr()
    assert channel.process.returncode == 118


def test_no_terminal_no_forwarding_no_environment(login: Login) -> None:
    """What a connection could do besides: refused or without effect."""
    login.use(login.certificate(session_command(system=SYSTEM, user=LOGIN)).build())
    channel = login.open("-o", "SetEnv=SSH_USER_AUTH=/nowhere")
    channel.read_hello()
    assert channel.end() == 0
    terminal = login.open("-tt")
    terminal.close_input()
    assert "PTY allocation request failed" in terminal.stderr()
    forwarded = subprocess.run(
        [*login.argv("-W", "127.0.0.1:22")], capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL
    )
    assert "forwarding failed" in forwarded.stderr
    subsystem = subprocess.run(
        [*login.argv("-s"), "sftp"], capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL
    )
    assert "subsystem request failed" in subsystem.stderr


def test_a_bare_key_does_not_come_in(login: Login) -> None:
    """Without a certificate sshd itself refuses, whatever authorized_keys says."""
    channel = login.open()
    assert channel.read_frame() is None
    assert "Permission denied" in channel.stderr()
