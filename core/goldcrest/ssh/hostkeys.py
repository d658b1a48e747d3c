"""Pinned host keys of a login host: what is trusted, and what to say when another key is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncssh

from goldcrest.errors import InvalidInput
from goldcrest.models.system import LoginHost, SystemSpec

KnownHosts: TypeAlias = tuple[Sequence[asyncssh.SSHKey], Sequence[asyncssh.SSHKey], Sequence[asyncssh.SSHKey]]

# Key type → signature algorithms. SHA-1 (`ssh-rsa` as an algorithm) is left out.
_ALGORITHMS: Final = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_CERTIFICATE_ALGORITHMS: Final = tuple(
    f"{algorithm}-cert-v01@openssh.com" for algorithms in _ALGORITHMS.values() for algorithm in algorithms
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A login host and what proves that it is the right one. Two with different pins, or ways to them, are different."""

    address: str
    port: int
    host_keys: tuple[str, ...]
    authorities: tuple[str, ...]
    via: Endpoint | None = None
    """The jump host before it."""
    kind: str = "login host"

    @classmethod
    def of(cls, host: LoginHost, spec: SystemSpec) -> Endpoint:
        authorities, jump = tuple(spec.host_certificate_authorities), host.via
        via = (
            cls(jump.address, jump.port, tuple(jump.host_keys), authorities, kind="jump host")
            if jump is not None
            else None
        )
        return cls(host.address, host.port, tuple(host.host_keys), authorities, via)

    @property
    def way(self) -> tuple[Endpoint, ...]:
        """The hosts to be logged in to, in this order; it is the last one."""
        return (self,) if self.via is None else (self.via, self)

    @property
    def title(self) -> str:
        """For people."""
        through = f", through jump host {self.via.name}," if self.via is not None else ""
        return f"{self.kind} {self.name}{through}"

    @property
    def name(self) -> str:
        """``address:port``, with brackets around an IPv6 address."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def known_hosts(self) -> KnownHosts:
        """Keys, CAs and revoked keys for asyncssh. Nothing is looked up anywhere else.

        Raises:
            InvalidInput: a pinned key cannot be read, or nothing is pinned.
        """
        if not self.host_keys and not self.authorities:
            raise InvalidInput(f"the System pins no key for {self.name}: set hostKeys or hostCertificateAuthorities")
        return (
            [self._key(line) for line in self.host_keys],
            [self._key(line) for line in self.authorities],
            [],
        )

    @property
    def algorithms(self) -> list[str]:
        """Host key algorithms to offer: those of the pinned keys, so that sshd picks one of these; then certificates."""
        plain = [name for line in self.host_keys for name in _ALGORITHMS[line.split()[0]]]
        return list(dict.fromkeys(plain)) + (list(_CERTIFICATE_ALGORITHMS) if self.authorities else [])

    @property
    def fingerprints(self) -> str:
        """What is expected, for people: ``ssh-ed25519 SHA256:…``, several with ``or``."""
        keys, authorities, _ = self.known_hosts
        names = [fingerprint(key) for key in keys] + [f"a certificate of {fingerprint(key)}" for key in authorities]
        return " or ".join(names)

    def _key(self, line: str) -> asyncssh.SSHKey:
        try:
            return asyncssh.import_public_key(line)
        except (asyncssh.KeyImportError, ValueError):
            raise InvalidInput(f"a host key pinned for {self.name} cannot be read: {line[:40]}…") from None


def fingerprint(key: asyncssh.SSHKey) -> str:
    """Type and SHA-256 fingerprint, as ``ssh-keygen -l`` shows them."""
    return f"{key.get_algorithm()} {key.get_fingerprint()}"


class HostKeyWatch(asyncssh.SSHClient):
    """Refuses every key that is not pinned, and remembers it for the message. Nothing is ever learned."""

    def __init__(self) -> None:
        self.shown: asyncssh.SSHKey | None = None
        self.shown_authority: asyncssh.SSHKey | None = None
        self.logging_in = False
        """Whether the host has proved who it is, and was asked to let the user in."""
        self._connection: asyncssh.SSHClientConnection | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    @property
    def turned_away(self) -> bool:
        """Whether a connection was made, and sshd's first line never came: so it ends those that it has no place for, or does not want."""
        return self._connection is not None and self._connection.get_extra_info("server_version") is None

    def begin_auth(self, username: str) -> None:
        self.logging_in = True

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key
        return False

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown_authority = key
        return False

    @property
    def what_was_shown(self) -> str:
        if self.shown is not None:
            return fingerprint(self.shown)
        if self.shown_authority is not None:
            return f"a certificate of {fingerprint(self.shown_authority)}"
        return "an unusable host certificate"


class HostKeySeen(asyncssh.DisconnectError):
    """The host has shown a pinned key and proved that it holds it."""

    def __init__(self) -> None:
        super().__init__(asyncssh.DISC_BY_APPLICATION, "only looking")


class HostKeyLook(HostKeyWatch):
    """Leaves as soon as the host key was checked, before any user is named: sshd logs no failed login."""

    def begin_auth(self, username: str) -> None:
        raise HostKeySeen
