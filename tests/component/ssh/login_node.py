"""A login node in this process: sshd of asyncssh with host key, CA, and either the real ssh-filter or a scripted one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pwd
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.public_key import decode_ssh_certificate
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)

from goldcrest.authority import Basis
from goldcrest.canonical import b64url, b64url_decode, canonical
from goldcrest.commands.base import Command, session_body
from goldcrest.models.system import SystemSpec
from goldcrest.ssh.frames import Frame, FrameParser, FrameType, split_request_body
from goldcrest.ssh.hello import Hello, Limits
from goldcrest.ssh.hostkeys import Endpoint
from goldcrest.ssh.login import check_host_key

FILTER = Path(__file__).parents[3] / "ssh-filter" / "goldcrest-ssh-filter"
SYSTEM = "testsystem"


class TinyAuthority:
    """Delegation's interface over a CA of its own, or over this one: signs whatever it is asked for."""

    def __init__(self, ca: Ed25519PrivateKey | None = None) -> None:
        self._ca = ca or Ed25519PrivateKey.generate()
        self.session_certificates: dict[str, bytes] = {}  # the last one of each user
        self.sessions = 0
        self.commands = 0
        self.traces: list[str] = []
        self.before_command: Callable[[Command], Awaitable[None]] | None = None
        self.valid_before = 60  # seconds from now
        self.refuse_sessions_of: dict[Basis, Exception] = {}

    @property
    def public_line(self) -> str:
        return self._ca.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    async def session_certificate(
        self, *, public_key: bytes, system: str, user: str, basis: Basis, trace: str
    ) -> bytes:
        self.sessions += 1
        self.traces.append(trace)
        if basis in self.refuse_sessions_of:
            await asyncio.sleep(0.01)
            raise self.refuse_sessions_of[basis]
        certificate = self._sign(public_key, user, session_body(system=system, user=user))
        self.session_certificates[user] = certificate
        return certificate

    async def command_certificate(
        self, command: Command, *, public_key: bytes, system: str, user: str, sid: str, basis: Basis, trace: str
    ) -> bytes:
        self.commands += 1
        self.traces.append(trace)
        if self.before_command is not None:
            await self.before_command(command)
        return self._sign(public_key, user, command.body(system=system, user=user, sid=sid))

    def _sign(self, public_key: bytes, user: str, body: object) -> bytes:
        now = int(time.time())
        certificate = (
            SSHCertificateBuilder()
            .public_key(Ed25519PublicKey.from_public_bytes(public_key))
            .serial(int.from_bytes(os.urandom(8), "big") or 1)
            .type(SSHCertificateType.USER)
            .key_id(b"goldcrest/test/test/test")
            .valid_principals([user.encode()])
            .valid_after(now - 30)
            .valid_before(now + self.valid_before)
            .add_critical_option(b"force-command", b"/opt/filter v1." + b64url(canonical(body)).encode())
            .sign(self._ca)
        )
        return base64.b64decode(certificate.public_bytes().split()[1])


Behaviour = Callable[[asyncssh.SSHServerProcess[bytes]], Awaitable[None]]


class _Login(asyncssh.SSHServer):
    def __init__(self, node: LoginNode) -> None:
        self._node = node

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._node.connections.add(conn)

        self._node.begun()
        self._in = False

    def begin_auth(self, username: str) -> bool:
        self._node.logins += 1
        return True

    def auth_completed(self) -> None:
        self._in = True
        self._node.done()

    def connection_lost(self, exc: Exception | None) -> None:
        self._node.connections.discard(self._connection)
        if not self._in:
            self._node.done()


class LoginNode:
    """One sshd on the loopback interface.

    Args:
        behaviour: what runs on each channel.
        options: of asyncssh's server, beside those that make it a login node.
    """

    def __init__(
        self,
        authority: TinyAuthority,
        behaviour: Behaviour,
        *,
        host_key: Any = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._options = options or {}
        self.authority = authority
        self.behaviour = behaviour
        self.host_key = host_key or asyncssh.generate_private_key("ssh-ed25519")
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.logins = 0  # attempts
        self._tasks: set[asyncio.Task[Any]] = set()
        self.channels = 0
        self.channels_now = 0
        self.most_channels = 0
        self.port = 0

    @property
    def public_host_key(self) -> str:
        return " ".join(self.host_key.export_public_key().decode().split()[:2])

    def begun(self) -> None:
        """Somebody has connected, and is not logged in yet."""

    def done(self) -> None:
        """They are logged in, or gone."""

    async def start(self, port: int = 0) -> LoginNode:
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            port,
            server_factory=lambda: _Login(self),
            server_host_keys=[self.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(f"cert-authority {self.authority.public_line}\n"),
            process_factory=self._serve,
            encoding=None,
            **self._options,
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.channels += 1
        self.channels_now += 1
        self.most_channels = max(self.most_channels, self.channels_now)
        try:
            await self.behaviour(process)
        except (asyncssh.Error, ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            self.channels_now -= 1
            if not process.is_closing():
                process.exit(0)

    def cut(self) -> None:
        """Cut all connections, as a network would."""
        for connection in tuple(self.connections):
            connection.abort()

    async def stop(self) -> None:
        self._listener.close()
        self.cut()
        await self._listener.wait_closed()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)


def spec_of(*nodes: LoginNode, **changes: Any) -> SystemSpec:
    """A System with these login hosts, in this order."""
    return SystemSpec.model_validate(
        {
            "hosts": [
                {"address": "127.0.0.1", "port": node.port, "hostKeys": [node.public_host_key]} for node in nodes
            ],
            "filterPath": "/opt/filter",
            "scheduler": {"type": "Slurm"},
            "workDirectory": "/scratch/{user}",
            **changes,
        }
    )


async def until(holds: Callable[[], object], *, seconds: float = 20) -> None:
    """Look every now and then."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  (what is waited for is not ours to set an event)
            await asyncio.sleep(0.01)


async def probe(spec: SystemSpec, *, seconds: float = 10) -> None:
    """Look at the key of the first host of a System, as the operator does."""
    await check_host_key(Endpoint.of(spec.hosts[0], spec), seconds=seconds)


class RealFilter:
    """Runs ssh-filter of this checkout on each channel, as the user of this process or as another one."""

    def __init__(
        self, authority: TinyAuthority, folder: Path, *, run_as: str | None = None, older: bool = False, **policy: Any
    ) -> None:
        """``older``: it takes no streamed payloads."""
        self._authority = authority
        self._ids: dict[str, Any] = {}
        self._filter = FILTER
        if run_as is not None:  # who may not enter the checkout
            self._filter = folder / "ssh-filter"
            text = FILTER.read_text()
            feature, known = '"features": ["payload-size"],', 'set(payload) == {"stream"}'
            assert feature in text and known in text
            self._filter.write_text(text.replace(feature, "").replace(known, "False") if older else text)
            self._filter.chmod(0o755)
            account = pwd.getpwnam(run_as)
            self._ids = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        (folder / "ca.pub").write_text(authority.public_line + "\n")
        self._auth_info = folder / "auth-info"
        self._policy = folder / "policy.json"
        self._policy.write_text(
            json.dumps(
                {"system": SYSTEM, "caFile": str(folder / "ca.pub"), "minUid": 0, "roots": [str(folder)], **policy}
            )
        )
        for name in ("ca.pub", "policy.json"):
            (folder / name).chmod(0o644)

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        user = process.get_extra_info("username")
        encoded = base64.b64encode(self._authority.session_certificates[user]).decode()
        self._auth_info.write_text(f"publickey ssh-ed25519-cert-v01@openssh.com {encoded}\n")
        child = await asyncio.create_subprocess_exec(
            "/usr/bin/python3", "-IS", str(self._filter), "--policy", str(self._policy),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, **self._ids,
            env={"SSH_USER_AUTH": str(self._auth_info), "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 2", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        uploads = asyncio.create_task(_copy(process.stdin, child.stdin))
        try:
            # Not process.redirect(): it reads twice at once when it was held back (asyncssh 2.24).
            await asyncio.gather(_copy(child.stdout, process.stdout), _copy(child.stderr, process.stderr))
            process.exit(await child.wait())
        finally:
            uploads.cancel()
            if child.returncode is None:
                child.kill()
            child._transport.close()  # its pipes as well, read to the end or not; child.wait() would wait for that


async def _copy(source: Any, sink: Any) -> None:
    while data := await source.read(64 * 1024):
        sink.write(data)
        await sink.drain()
    sink.write_eof()


class Request:
    """A command as the scripted filter sees it."""

    def __init__(self, node_filter: ScriptedFilter, frame: Frame) -> None:
        certificate, self.payload = split_request_body(frame.body)
        decoded = decode_ssh_certificate(certificate)
        text = decoded.options["force-command"]
        self.command: dict[str, Any] = json.loads(b64url_decode(text.split(" v1.")[1]))
        self.id = frame.id
        self._filter = node_filter

    @property
    def complete(self) -> bool:
        return len(self.payload) >= self.command["payload"].get("size", 0)

    def data(self, body: bytes) -> None:
        self._filter.send(Frame(self.id, FrameType.DATA, body))

    def answer(self, **result: Any) -> None:
        self._filter.send(Frame(self.id, FrameType.ANSWER, json.dumps(result).encode()))

    def refuse(self, reason: str, message: str = "no") -> None:
        body = json.dumps({"reason": reason, "message": message}).encode()
        self._filter.send(Frame(self.id, FrameType.REFUSED, body))

    def fail(self, **error: Any) -> None:
        self._filter.send(Frame(self.id, FrameType.ERROR, json.dumps(error).encode()))


class ScriptedFilter:
    """A stand-in for ssh-filter that does what the test says: one call of ``on_request`` for each complete command."""

    def __init__(
        self,
        on_request: Callable[[Request], Awaitable[None]],
        *,
        user: str = "alice",
        system: str = SYSTEM,
        noise: bytes = b"",
        protocol: tuple[int, ...] = (1,),
        operations: tuple[str, ...] = ("sys.whoami", "fs.stat", "fs.mkdir", "fs.read", "fs.write", "slurm.queue"),
        commands: int = 16,
        payload: int = 16 * 1024 * 1024,
        features: tuple[str, ...] = ("payload-size",),
    ) -> None:
        self.on_request = on_request
        self.noise = noise
        self.user = user
        self.system = system
        self.protocol = protocol
        self.operations = operations
        self.features = features
        self.limits = Limits(frame=1024 * 1024 + 64 * 1024, payload=payload, output=1024 * 1024, commands=commands)
        self.on_frame: Callable[[Frame], None] = lambda frame: None  # each frame, before anything else
        self.runs: list[_Run] = []
        self.cancelled: list[int] = []
        self.seen: list[str] = []  # operations, in order

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        run = _Run(self, process)
        self.runs.append(run)
        await run.serve()


class _Run:
    def __init__(self, script: ScriptedFilter, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self._script = script
        self.process = process
        self.sid = os.urandom(16).hex()

    def send(self, frame: Frame) -> None:
        self.process.stdout.write(frame.encode())

    async def serve(self) -> None:
        script = self._script
        hello = Hello(
            version="0.0.test",
            sid=self.sid,
            system=script.system,
            user=script.user,
            operations=frozenset(script.operations),
            limits=script.limits,
            protocol=script.protocol,
            features=frozenset(script.features),
        )
        self.process.stdout.write(script.noise + hello.encode())
        parser = FrameParser()
        open_requests: dict[int, Request] = {}
        async with asyncio.TaskGroup() as tasks:
            while data := await self.process.stdin.read(256 * 1024):
                for frame in parser.feed(data):
                    script.on_frame(frame)
                    if frame.type is FrameType.CANCEL:
                        script.cancelled.append(frame.id)
                        continue
                    if frame.type is FrameType.REQUEST:
                        request = Request(self, frame)  # type: ignore[arg-type]
                        open_requests[frame.id] = request
                    else:
                        request = open_requests[frame.id]
                        request.payload += frame.body
                    if request.complete:
                        script.seen.append(request.command["op"])
                        tasks.create_task(script.on_request(open_requests.pop(frame.id)))
