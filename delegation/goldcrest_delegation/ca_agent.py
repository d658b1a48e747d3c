"""The CA's key in an ssh-agent, whose own key may be on a PKCS#11 token: this process never sees it.

The agent's protocol is draft-ietf-sshm-ssh-agent; asyncssh speaks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from asyncssh import SSHAgentClient
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from goldcrest.errors import InvalidInput, Unavailable
from goldcrest_delegation.ca_key import MUST_BE, is_strong, public_blob, public_line
from goldcrest_delegation.certificate import ssh_string

BATCH_SECONDS: Final = 5.0  # for all signatures of a batch; callers wait ten
_RSA_SHA2_512: Final = 4  # SSH_AGENT_RSA_SHA2_512


class AgentKey:
    """One key of an agent. A lost connection is opened anew by the next batch.

    Args:
        socket: the agent's unix socket.
        key: public half of the key to use; the agent may hold others.
    """

    def __init__(self, socket: Path, key: Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey) -> None:
        self.public_line = public_line(key)
        self.blob = public_blob(key)
        self._socket = socket
        self._client = SSHAgentClient(str(socket))
        self._lock = asyncio.Lock()
        self._flags, algorithm = _algorithm(key)
        self._head = ssh_string(algorithm)

    @classmethod
    async def open(cls, socket: Path, public_key_file: Path) -> AgentKey:
        """Look whether the agent holds the key and signs with it.

        Raises:
            InvalidInput: the public key is no CA's, or the agent does not hold it.
            Unavailable: the agent does not answer, or does not sign.
        """
        key = _load_public(public_key_file)
        opened = cls(socket, key)
        if opened.blob not in await opened.held():
            await opened.close()
            raise InvalidInput(
                f"the ssh-agent at {socket} does not hold the CA key of {public_key_file}: `ssh-add` it there "
                "(`ssh-add -s <library>` for a PKCS#11 token)"
            )
        await opened.sign([b"goldcrest-delegation looks whether its CA key can be used"])
        return opened

    async def held(self) -> list[bytes]:
        """Public keys that the agent has, in wire form.

        Raises:
            Unavailable: it does not answer.
        """
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                return [pair.public_data for pair in await self._client.get_keys()]
        except (ValueError, OSError, TimeoutError) as error:
            self._start_anew()
            raise Unavailable(f"the CA's ssh-agent at {self._socket} does not answer: {_words(error)}") from error

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        signed = False
        try:
            async with asyncio.timeout(BATCH_SECONDS), self._lock:
                signatures = []
                try:
                    for message in messages:
                        signatures.append(await self._client.sign(self.blob, message, self._flags))
                    signed = True
                finally:
                    if not signed:
                        # An answer may still come: it must not be taken for that to the next question.
                        self._start_anew()
        except (ValueError, OSError, TimeoutError) as error:
            raise Unavailable(f"the CA's ssh-agent at {self._socket} does not sign: {_words(error)}") from error
        if not all(signature.startswith(self._head) for signature in signatures):
            raise Unavailable(f"the CA's ssh-agent at {self._socket} signed with another algorithm than was asked for")
        return signatures

    async def close(self) -> None:
        self._client.close()
        await self._client.wait_closed()

    def _start_anew(self) -> None:
        self._client.close()
        self._client = SSHAgentClient(str(self._socket))


def _algorithm(key: Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey) -> tuple[int, bytes]:
    match key:
        case Ed25519PublicKey():
            return 0, b"ssh-ed25519"
        case EllipticCurvePublicKey():
            return 0, b"ecdsa-sha2-nistp256"
    return _RSA_SHA2_512, b"rsa-sha2-512"


def _load_public(path: Path) -> Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey:
    try:
        key = load_ssh_public_key(path.read_bytes().strip())
    except OSError as error:
        raise InvalidInput(f"the CA's public key {path} cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{path} is not a public key as ssh-keygen writes it: {error}") from error
    if isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey) and is_strong(key):
        return key
    raise InvalidInput(f"the CA key of {path} {MUST_BE}")


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"not within {BATCH_SECONDS:.0f} s"
    return str(error) or type(error).__name__
