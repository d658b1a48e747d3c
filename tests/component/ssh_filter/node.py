"""A login node in a folder: the real filter with its policy, CA and fake Slurm, started as sshd would start it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from component.ssh_filter.certificates import Certificate, public_line, session_command

FILTER = Path(__file__).parents[3] / "ssh-filter" / "goldcrest-ssh-filter"
# The suite is run with each Python that the filter must work on by naming it here.
PYTHON = os.environ.get("GOLDCREST_FILTER_PYTHON", "/usr/bin/python3")

REQUEST, DATA, CANCEL, ANSWER, REFUSED, ERROR = 1, 2, 3, 17, 18, 19
USER, UID = "nobody", 65534
SYSTEM = "cluster"
WAIT_SECONDS = 20


@dataclass(frozen=True)
class Frame:
    id: int
    type: int
    body: bytes

    @property
    def json(self) -> Any:
        """What it says of the command, without the times."""
        value = json.loads(self.body)
        if isinstance(value, dict):
            value.pop("took", None)
        return value

    @property
    def took(self) -> dict[str, int]:
        """The times that the filter says."""
        took: dict[str, int] = json.loads(self.body)["took"]
        return took


def frame(request_id: int, frame_type: int, body: bytes = b"") -> bytes:
    return struct.pack(">IIB", 5 + len(body), request_id, frame_type) + body


def request_frame(request_id: int, certificate: bytes, payload: bytes = b"") -> bytes:
    return frame(request_id, REQUEST, struct.pack(">I", len(certificate)) + certificate + payload)


def payload_form(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


class Channel:
    """The client's side of one running filter."""

    def __init__(self, node: Node, process: subprocess.Popen[bytes]) -> None:
        self.node = node
        self.process = process
        self.noise = b""
        self._buffer = b""
        self._next_id = 0
        self.hello: dict[str, Any] = {}

    def _read(self, deadline: float) -> bool:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"nothing from the filter; so far {self._buffer[:200]!r}")
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        self._buffer += data
        return bool(data)

    def read_hello(self) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while b"\nGOLDCREST-FILTER " not in self._buffer or not self._buffer.partition(b"\nGOLDCREST-FILTER ")[2].count(
            b"\n"
        ):
            if not self._read(deadline):
                raise EOFError(self.stderr())
        self.noise, _, rest = self._buffer.partition(b"\nGOLDCREST-FILTER ")
        line, _, self._buffer = rest.partition(b"\n")
        self.hello = json.loads(base64.urlsafe_b64decode(line + b"=" * (-len(line) % 4)))
        return self.hello

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read_frame(self) -> Frame | None:
        """The next frame, or None when the filter has closed its output."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            if len(self._buffer) >= 4:
                (length,) = struct.unpack_from(">I", self._buffer)
                if len(self._buffer) >= 4 + length:
                    body, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
                    return Frame(*struct.unpack_from(">IB", body), body[5:])
            if not self._read(deadline):
                return None

    def next_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def command(self, op: str, args: dict[str, Any], payload: bytes | None = None) -> dict[str, Any]:
        return {
            "kind": "command",
            "system": SYSTEM,
            "user": USER,
            "op": op,
            "args": args,
            "payload": {} if payload is None else payload_form(payload),
            "sid": self.hello["sid"],
        }

    def certificate(self, op: str, args: dict[str, Any], payload: bytes | None = None, **changes: Any) -> Certificate:
        return self.node.certificate(self.command(op, args, payload), **changes)

    def start(self, op: str, args: dict[str, Any], payload: bytes | None = None) -> int:
        """Send a request and return its id."""
        request_id = self.next_id()
        self.send(request_frame(request_id, self.certificate(op, args, payload).build(), payload or b""))
        return request_id

    def finish(self, request_id: int) -> Frame:
        """The last frame of a request; the bodies of its DATA frames come before its own."""
        data = b""
        while True:
            got = self.read_frame()
            assert got is not None, "the filter ended: " + self.stderr()
            assert got.id == request_id, got
            if got.type != DATA:
                return Frame(got.id, got.type, data + got.body)
            data += got.body

    def call(self, op: str, args: dict[str, Any], payload: bytes | None = None) -> Frame:
        return self.finish(self.start(op, args, payload))

    def ask(self, op: str, args: dict[str, Any], payload: bytes | None = None) -> Any:
        """The result of a command that must succeed."""
        got = self.call(op, args, payload)
        assert got.type == ANSWER, got
        return got.json

    def fail(self, op: str, args: dict[str, Any], payload: bytes | None = None) -> Any:
        """The error of a command that must be accepted and fail."""
        got = self.call(op, args, payload)
        assert got.type == ERROR, got
        return got.json

    def refusal(self, certificate: bytes, payload: bytes = b"") -> str:
        """The reason why a request is refused."""
        request_id = self.next_id()
        self.send(request_frame(request_id, certificate, payload))
        got = self.finish(request_id)
        assert got.type == REFUSED, got
        return str(got.json["reason"])

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> int:
        """Close the input and wait; the exit status."""
        self.close_input()
        return self.process.wait(WAIT_SECONDS)

    def stderr(self) -> str:
        self.process.wait(WAIT_SECONDS)
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


class Node:
    """Files of a login node below one folder, owned by root as they must be, and a home folder of USER."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self.filter = folder / "ssh-filter"
        shutil.copyfile(FILTER, self.filter)
        self.filter.chmod(0o755)
        self.ca = ed25519.Ed25519PrivateKey.generate()
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.ca_file = folder / "ca.pub"
        self.ca_file.write_text(public_line(self.ca))
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.home = folder / "home"
        self.home.mkdir()
        os.chown(self.home, UID, UID)
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        os.chown(self.scratch, UID, UID)
        self.policy: dict[str, Any] = {
            "system": SYSTEM,
            "caFile": str(self.ca_file),
            "minUid": 1000,
            "roots": [str(self.home), str(self.scratch)],
            "environment": {"PATH": f"{self.bin}:/usr/bin:/bin", "SLURM_CONF": "/etc/slurm/slurm.conf"},
            "syslogSocket": str(folder / "log"),
        }
        self.policy_file = folder / "policy.json"
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(folder / "log"))
        (folder / "log").chmod(0o666)
        self._channels: list[Channel] = []

    def certificate(self, command: Any, **changes: Any) -> Certificate:
        return Certificate(ca=self.ca, key=self.key, command=command, principals=(USER.encode(),)).but(**changes)

    def session_certificate(self, **changes: Any) -> Certificate:
        return self.certificate(session_command(system=SYSTEM, user=USER), **changes)

    def program(self, name: str, text: str) -> None:
        """A fake program of Slurm: a shell script."""
        path = self.bin / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def start(
        self,
        certificate: bytes | None = None,
        *,
        user_auth: bytes | None = None,
        environment: dict[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> Channel:
        """Start the filter as sshd does, without reading its hello; ``within``: programs that start it, from root on."""
        self.policy_file.write_text(json.dumps(self.policy))
        if user_auth is None:
            blob = base64.b64encode(certificate or self.session_certificate().build())
            user_auth = b"publickey ssh-ed25519-cert-v01@openssh.com " + blob + b"\n"
        auth_file = self.folder / f"auth-{len(self._channels)}"
        auth_file.write_bytes(user_auth)
        process = subprocess.Popen(
            [*within, PYTHON, "-IS", str(self.filter), "--policy", str(self.policy_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=None if within else UID,
            group=None if within else UID,
            extra_groups=None if within else [],
            cwd="/",
            env={
                "SSH_USER_AUTH": str(auth_file),
                "SSH_CONNECTION": "192.0.2.7 40000 192.0.2.1 2222",
                "HOME": "/tmp/elsewhere",
                "PATH": "/nowhere",
                **(environment or {}),
            },
        )
        channel = Channel(self, process)
        self._channels.append(channel)
        return channel

    def open(self, **changes: Any) -> Channel:
        """Start the filter and read its hello."""
        channel = self.start(**changes)
        channel.read_hello()
        return channel

    def log_lines(self) -> list[str]:
        """What went to syslog so far."""
        lines = []
        self._log.setblocking(False)
        while True:
            try:
                lines.append(self._log.recv(65536).decode("ascii"))
            except BlockingIOError:
                return lines

    def close(self) -> None:
        for channel in self._channels:
            channel.kill()
        self._log.close()


def node_in_temporary_folder() -> Iterator[Node]:
    """Below /tmp and not below pytest's own folder, which other users cannot enter."""
    with tempfile.TemporaryDirectory(prefix="goldcrest-node-") as name:
        node = Node(Path(name))
        try:
            yield node
        finally:
            node.close()
