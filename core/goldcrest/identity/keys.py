"""Public keys of one issuer: cached, fetched again for an unknown ``kid`` (seldom) and when old, kept while the issuer is down."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from goldcrest.errors import InvalidInput, Unavailable
from goldcrest.identity.keyfiles import read_guarded
from goldcrest.identity.rules import IssuerRule
from goldcrest.telemetry import Log

REFRESH_SECONDS = 30.0  # T5: an unknown kid makes us ask the issuer at most this often
FETCH_SECONDS = 5.0
# A key that the issuer withdrew, perhaps because it was stolen, counts for five minutes more at most: until the set is old, then for a
# slow fetch, and for the minute for which the verifier remembers a token.
AGE_SECONDS = 230.0
JWKS_LIMIT = 1024 * 1024  # bytes
RSA_BITS = 2048  # RFC 7518 sections 3.3 and 3.5: a shorter key must not be used

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and what its JWK says about its use."""

    kid: str | None
    kty: str
    crv: str | None
    alg: str | None
    key: Any

    def fits(self, algorithm: str) -> bool:
        """A key is used for one kind of algorithm only, and for its own when it names one (algorithm confusion)."""
        return (
            self.kty == _KEY_TYPE.get(algorithm[:2])
            and self.alg in (None, algorithm)
            and self.crv == _CURVE.get(algorithm)
        )


class IssuerKeys:
    """The key set of one issuer."""

    def __init__(
        self, rule: IssuerRule, session: aiohttp.ClientSession, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rule = rule
        self._session = session
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: list[VerificationKey] = []
        self._asked: float | None = None
        self._fetched: float | None = None
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=rule.ca_file) if rule.ca_file else True

    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The key with this id that fits the algorithm; without an id, the only one that fits.

        Raises:
            Unavailable: there are no keys yet and the issuer does not answer.
        """
        key = self._known(kid, algorithm)
        # Whoever finds the set old asks for all others, which do not wait for an issuer that hangs.
        if key is None or (self._is_old() and not self._lock.locked()):
            await self._refresh()
            key = self._known(kid, algorithm)
        return key

    def _is_old(self) -> bool:
        return self._fetched is None or self._clock() - self._fetched >= AGE_SECONDS

    def _known(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        fitting = [key for key in self._keys if key.fits(algorithm) and (kid is None or key.kid == kid)]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        async with self._lock:
            now = self._clock()
            if self._asked is None or now - self._asked >= REFRESH_SECONDS:
                self._asked = now
                try:
                    self._keys = await self._fetch()
                    self._fetched = now
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError, InvalidInput) as error:
                    _log.warning(
                        "identity.jwks.failed", issuer=self._rule.issuer, error=repr(error), kept=len(self._keys)
                    )
        if not self._keys:
            raise Unavailable(f"the keys of the issuer {self._rule.issuer} cannot be fetched now; try again in 30 s")

    async def _fetch(self) -> list[VerificationKey]:
        if self._rule.jwks_file is not None:
            return read_jwks(Path(self._rule.jwks_file))
        assert self._rule.jwks_url is not None  # noqa: S101 - a rule has one of them
        async with self._session.get(
            self._rule.jwks_url,
            ssl=self._tls,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS),
        ) as response:
            body = await response.content.read(JWKS_LIMIT + 1)
            while len(body) <= JWKS_LIMIT and (more := await response.content.read(JWKS_LIMIT)):
                body += more
            if response.status != 200 or len(body) > JWKS_LIMIT:
                raise InvalidInput(f"answered status {response.status} with {len(body)} bytes")
        keys = parse_jwks(body)
        _log.info("identity.jwks.fetched", issuer=self._rule.issuer, keys=len(keys))
        return keys


def parse_jwks(body: bytes | str) -> list[VerificationKey]:
    """Signature keys of a JWKS; keys for encryption, of unknown types and symmetric ones are left out.

    Raises:
        InvalidInput: not a JWKS, or no key of use in it.
    """
    try:
        entries = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput("not a JSON Web Key Set") from error
    keys = [key for entry in entries if (key := _key_of(entry)) is not None] if isinstance(entries, list) else []
    if not keys:
        raise InvalidInput("no signature key in the JSON Web Key Set")
    return keys


def _key_of(entry: Any) -> VerificationKey | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    kid = entry.get("kid")
    try:
        key = jwt.PyJWK.from_dict({name: value for name, value in entry.items() if name != "d"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS:
        _log.warning("identity.jwks.weak", kid=str(kid)[:200], bits=key.key_size, least=RSA_BITS)
        return None
    return VerificationKey(kid, entry["kty"], entry.get("crv"), entry.get("alg"), key)


_KEY_TYPE = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVE = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


def read_jwks(path: Path) -> list[VerificationKey]:
    """Signature keys of a JWKS in a file.

    Raises:
        InvalidInput: naming the file and what to do.
    """
    content = read_guarded(path, limit=JWKS_LIMIT)
    try:
        return parse_jwks(content)
    except InvalidInput as error:
        raise InvalidInput(f"{path} is of no use: {error.message}; put the issuer's public keys there") from error
