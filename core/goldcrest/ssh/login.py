"""Opening an SSH connection to a login host, and what can go wrong then, in words for people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import asyncssh

from goldcrest.errors import ConnectionRefused, HostKeyChanged, LoginDenied, SystemUnreachable
from goldcrest.ssh import gcm
from goldcrest.ssh.direct import Direct
from goldcrest.ssh.hostkeys import Endpoint, HostKeyLook, HostKeySeen, HostKeyWatch
from goldcrest.ssh.keys import EphemeralKey
from goldcrest.ssh.relay import Relay
from goldcrest.ssh.settings import SshSettings

# curve25519 first: sshd's default, sntrup761, makes connecting half as slow again. NIST curves for FIPS nodes.
_KEX: Final = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
)
# Authenticated ciphers only (packets.py counts on it). AES-GCM first: half as fast again as chacha20, which asyncssh would choose.
_CIPHERS: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com")
_MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
_SIGNATURES: Final = ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")

# Nothing but what is given here counts: no configuration files, agents, other keys, passwords, Kerberos, forwarding.
_NOTHING_ELSE: Final[dict[str, Any]] = {
    "config": None,
    "tunnel": None,
    "proxy_command": None,
    "agent_path": None,
    "agent_forwarding": False,
    "pkcs11_provider": None,
    "x11_forwarding": False,
    "x509_trusted_certs": None,
    "x509_trusted_cert_paths": [],
    "gss_host": None,
    "gss_kex": False,
    "gss_auth": False,
    "password_auth": False,
    "kbdint_auth": False,
    "host_based_auth": False,
    "client_host_keysign": False,
    "preferred_auth": "publickey",
    "disable_trivial_auth": True,  # a host that lets anybody in is not the one that we mean
    "env": None,
    "send_env": None,
    "host_key_alias": None,
    "canonicalize_hostname": False,
    "kex_algs": _KEX,
    "encryption_algs": _CIPHERS,
    "mac_algs": _MACS,
    "compression_algs": None,
    "signature_algs": _SIGNATURES,
}

gcm.use()

_TURNED_AWAY: Final = (
    "ended the connection before its first line: its sshd may have too many logins under way (MaxStartups), or slow our address "
    "down after logins that failed (PerSourcePenalties; install.sh --gateway exempts it)"
)


class HostDown(SystemUnreachable):
    """The host itself does not work: others need not try it now."""


class HostRefuses(HostDown, ConnectionRefused):
    """Nothing listens on its port."""


class LoginRefused(SystemUnreachable):
    """The host works, but there is no session for this user now."""


class AccountRefused(LoginRefused, LoginDenied):
    """It keeps this user out, or their start-up files, shell or ssh-filter end the session."""


async def log_in(
    endpoint: Endpoint, *, user: str, key: EphemeralKey, certificates: Sequence[bytes], settings: SshSettings
) -> asyncssh.SSHClientConnection:
    """Connect and log in with a session certificate, through the jump host where there is one.

    Args:
        certificates: for each host of ``endpoint.way``.

    Raises:
        HostKeyChanged: a host showed a key that is not pinned.
        HostDown, LoginRefused: with the reason.
        DelegationUnavailable: a certificate cannot be used.
        InvalidInput: the pins cannot be used.
    """

    async def connect(host: Endpoint, certificate: bytes, **options: Any) -> asyncssh.SSHClientConnection:
        return await _connect(
            host,
            HostKeyWatch(),
            seconds=settings.connect_seconds,
            username=user,
            public_key_auth=True,
            client_keys=key.client_keys(certificate),
            keepalive_interval=settings.keepalive_seconds,
            keepalive_count_max=settings.keepalive_misses,
            **options,
        )

    if endpoint.via is None:
        (certificate,) = certificates
        return await connect(endpoint, certificate)
    for_jump, certificate = certificates
    jump = await connect(endpoint.via, for_jump)
    try:
        connection = await connect(endpoint, certificate, tunnel=Relay(jump))
    except BaseException:
        jump.abort()
        raise
    connection.set_tunnel(jump)  # ends with it
    return connection


async def check_host_key(endpoint: Endpoint, *, seconds: float) -> None:
    """Connect, compare the host key, and leave without logging in. Behind a jump host nobody gets without logging in: then it is
    the jump host's key.

    Raises:
        HostKeyChanged, HostDown, InvalidInput.
    """
    try:
        connection = await _connect(
            endpoint.way[0], HostKeyLook(), seconds=seconds, username="nobody", public_key_auth=False, client_keys=None
        )
    except HostKeySeen:
        return
    connection.abort()


async def _connect(
    endpoint: Endpoint, watch: HostKeyWatch, *, seconds: float, **options: Any
) -> asyncssh.SSHClientConnection:
    known_hosts = endpoint.known_hosts
    try:
        async with asyncio.timeout(seconds):
            return await asyncssh.connect(
                endpoint.address,
                endpoint.port,
                client_factory=lambda: watch,
                known_hosts=known_hosts,
                server_host_key_algs=endpoint.algorithms,
                connect_timeout=None,
                login_timeout=seconds,
                **{**_NOTHING_ELSE, "tunnel": Direct(), **options},
            )
    except HostKeySeen:
        raise
    except asyncssh.HostKeyNotVerifiable as error:
        raise HostKeyChanged(
            f"{endpoint.title} showed {watch.what_was_shown}, but its System pins {endpoint.fingerprints}: "
            f"{error.reason}. If the site changed the key, an administrator updates the System"
        ) from None
    except asyncssh.PermissionDenied:
        user = options["username"]
        raise AccountRefused(
            f"{endpoint.title} refused the login of {user}: the account may be unknown, locked or expired "
            "there, or its sshd does not trust our certificate authority"
        ) from None
    except asyncssh.KeyExchangeFailed as error:
        raise HostDown(
            f"{endpoint.title} has no algorithm or type of host key in common with us: {error.reason}"
        ) from None
    except TimeoutError:
        raise HostDown(f"{endpoint.title} did not answer within {seconds:g} s") from None
    except asyncssh.DisconnectError as error:
        if isinstance(error, asyncssh.ConnectionLost) and watch.logging_in:
            # How sshd says no to an account that PAM keeps out; were this a failure of the host, one expired account
            # would keep everybody away from it.
            raise AccountRefused(
                f"{endpoint.title} ended the connection while {options['username']} logged in: the account may "
                "be expired, locked, or kept out by an access rule or nologin there (ssh-filter --check --user says which)"
            ) from None
        raise HostDown(
            f"{endpoint.title} {_TURNED_AWAY if watch.turned_away else f'ended the connection: {error.reason}'}"
        ) from None
    except OSError as error:
        if isinstance(error, ConnectionResetError) and watch.turned_away:
            raise HostDown(f"{endpoint.title} {_TURNED_AWAY}") from None
        what = HostRefuses if isinstance(error, ConnectionRefusedError) and options.get("tunnel") is None else HostDown
        raise what(f"{endpoint.title} cannot be reached: {error.strerror or error}") from None
    except ValueError as error:  # a name that is none; or asyncssh finds no name for the user of this process
        raise HostDown(f"{endpoint.title} cannot be connected to: {error}") from None
