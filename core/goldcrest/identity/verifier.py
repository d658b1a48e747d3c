"""Verifies tokens of REST callers (T5)."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import aiohttp
import jwt

from goldcrest.canonical import b64url_decode
from goldcrest.errors import InvalidInput, Unauthenticated
from goldcrest.identity.identity import Identity, RefusalCode
from goldcrest.identity.keys import IssuerKeys, VerificationKey
from goldcrest.identity.rules import IssuerRule, load_rules

LEEWAY_SECONDS: Final = 30
TOKEN_LIMIT: Final = 16 * 1024  # bytes
CACHE_ENTRIES: Final = 4096
CACHE_SECONDS: Final = 60.0  # a key that its issuer withdrew stops counting after this
GROUPS_LIMIT: Final = 256
LATEST_EXPIRY: Final = 2**40  # epoch seconds, in the year 36812: what is beyond it is an attack on integers
CLAIMS_LIMIT: Final = 8 * 1024  # bytes of the claims that policy may use

_UNIX_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")


class TokenVerifier:
    """Tells who bears a token. Made inside a running event loop; close it with :meth:`close`."""

    def __init__(self, rules: Sequence[IssuerRule], *, clock: Callable[[], float] = time.time) -> None:
        self._session = aiohttp.ClientSession()
        self._issuers = {rule.issuer: (rule, IssuerKeys(rule, self._session)) for rule in rules}
        self._patterns = {
            rule.issuer: re.compile(rule.username_pattern) for rule in rules if rule.username_pattern is not None
        }
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    @classmethod
    def from_file(cls, path: Path) -> TokenVerifier:
        """Use the rules of an ``identity.toml``.

        Raises:
            InvalidInput: naming file, key and what to do.
        """
        return cls(load_rules(path))

    async def close(self) -> None:
        await self._session.close()

    async def verify(self, token: str) -> Identity:
        """Who bears this token.

        Raises:
            Unauthenticated: with a ``code`` of :class:`RefusalCode`.
            Unavailable: the issuer's keys are not known yet and it does not answer.
        """
        if not token:
            _refuse(RefusalCode.TOKEN_MISSING, "no token was given")
        if len(token) > TOKEN_LIMIT:
            _refuse(RefusalCode.INVALID_TOKEN, f"the token is longer than {TOKEN_LIMIT} bytes")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = self._clock()
        cached = self._verified.get(digest)
        if cached is not None and now < cached[0]:
            return cached[1]
        identity = await self._verify(token)
        self._verified[digest] = (min(identity.expires, now + CACHE_SECONDS), identity)
        self._verified.move_to_end(digest)
        if len(self._verified) > CACHE_ENTRIES:
            self._verified.popitem(last=False)
        return identity

    async def _verify(self, token: str) -> Identity:
        header, unverified = _parts(token)
        rule, keys = self._issuer_of(unverified)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in rule.algorithms:
            _refuse(RefusalCode.INVALID_ALGORITHM, "the token's signature algorithm is not accepted from its issuer")
        if "crit" in header or not (kid is None or isinstance(kid, str)):
            _refuse(RefusalCode.INVALID_TOKEN, "the token's header has a part that is not understood")
        key = await keys.find(kid, algorithm)
        if key is None:
            _refuse(RefusalCode.INVALID_SIGNATURE, "the token is signed by a key that its issuer does not publish")
        claims = _decode(token, key, algorithm, rule)
        return self._identity(claims, rule)

    def _issuer_of(self, claims: Mapping[str, Any]) -> tuple[IssuerRule, IssuerKeys]:
        issuer = claims.get("iss")
        found = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if found is None:
            _refuse(RefusalCode.INVALID_TOKEN, "the token's issuer is not configured here")
        return found

    def _identity(self, claims: Mapping[str, Any], rule: IssuerRule) -> Identity:
        scopes = _words(claims.get("scope", ""))
        if rule.required_scope is not None and rule.required_scope not in scopes:
            _refuse(RefusalCode.MISSING_SCOPE, f"Scope '{rule.required_scope}' wasn't found in JWT")
        groups = claims.get(rule.groups_claim, []) if rule.groups_claim else []
        if (
            not isinstance(groups, list)
            or len(groups) > GROUPS_LIMIT
            or not all(isinstance(group, str) and len(group) <= 1024 for group in groups)
        ):
            _refuse(RefusalCode.INVALID_TOKEN, f"claim {rule.groups_claim} is not a list of at most 256 groups")
        chosen = {name: claims[name] for name in rule.policy_claims if name in claims}
        if len(json.dumps(chosen)) > CLAIMS_LIMIT:
            _refuse(RefusalCode.INVALID_TOKEN, f"the token's policy claims are larger than {CLAIMS_LIMIT} bytes")
        return Identity(
            issuer=rule.issuer,
            subject=claims["sub"],
            username=self._username(claims, rule),
            scopes=frozenset(scopes),
            groups=tuple(groups),
            systems=rule.system_names,
            claims=chosen,
            expires=int(claims["exp"]),
        )

    def _username(self, claims: Mapping[str, Any], rule: IssuerRule) -> str:
        value = claims.get(rule.username_claim)
        pattern = self._patterns.get(rule.issuer)
        if isinstance(value, str) and pattern is not None:
            match = pattern.fullmatch(value)
            value = match[next(iter(pattern.groupindex))] if match else None
        if not isinstance(value, str) or not _UNIX_USER.fullmatch(value):
            _refuse(RefusalCode.INVALID_TOKEN, f"claim {rule.username_claim} of the token gives no Unix user")
        return value


def _decode(token: str, key: VerificationKey, algorithm: str, rule: IssuerRule) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=rule.audiences,
            issuer=rule.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        _refuse(RefusalCode.TOKEN_EXPIRED, "the token has expired")
    except jwt.InvalidSignatureError:
        _refuse(RefusalCode.INVALID_SIGNATURE, "the token's signature is not valid")
    except jwt.InvalidAudienceError:
        _refuse(RefusalCode.INVALID_AUDIENCE, "the token is for another audience")
    except jwt.MissingRequiredClaimError as error:
        code = RefusalCode.INVALID_AUDIENCE if error.claim == "aud" else RefusalCode.INVALID_TOKEN
        _refuse(code, f"the token has no claim {error.claim}")
    except jwt.InvalidAlgorithmError:
        _refuse(RefusalCode.INVALID_ALGORITHM, "the token's signature algorithm is not accepted from its issuer")
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        _refuse(RefusalCode.INVALID_TOKEN, f"the token is not valid: {type(error).__name__}")
    if int(claims["exp"]) > LATEST_EXPIRY:
        _refuse(RefusalCode.INVALID_TOKEN, "the token's time of expiry is no time")
    if not claims["sub"] or len(claims["sub"]) > 1024:
        _refuse(RefusalCode.INVALID_TOKEN, "the token's subject is empty or too long")
    return claims


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims before anything is verified; strict, so that no other reader can see other claims."""
    parts = token.split(".")
    if len(parts) != 3:
        _refuse(RefusalCode.INVALID_TOKEN, "the token is not a JWT of three parts")
    try:
        header, claims = (_strict_json(b64url_decode(part)) for part in parts[:2])
    except (InvalidInput, ValueError, RecursionError):
        _refuse(RefusalCode.INVALID_TOKEN, "the token cannot be read")
    if not isinstance(header, dict) or not isinstance(claims, dict):
        _refuse(RefusalCode.INVALID_TOKEN, "the token cannot be read")
    return header, claims


def _strict_json(data: bytes) -> Any:
    """Raises ValueError for keys given twice, and for the numbers that JSON does not have."""
    return json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a claim is given twice")
    return result


def _words(value: object) -> list[str]:
    """Scopes: text with blanks (RFC 8693) or a list of text."""
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _refuse(code: RefusalCode, message: str) -> NoReturn:
    raise Unauthenticated(message, code=code.value)
