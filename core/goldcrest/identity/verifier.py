"""Verifies tokens of REST callers (T5)."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import aiohttp
import jwt

from goldcrest.canonical import b64url_decode
from goldcrest.errors import InvalidInput, Unauthenticated
from goldcrest.identity.claims import client_of, groups_of, policy_claims, words
from goldcrest.identity.identity import Identity, RefusalCode, is_unix_user
from goldcrest.identity.keys import IssuerKeys, VerificationKey
from goldcrest.identity.rules import IssuerRule
from goldcrest.identity.rules_file import load_rules
from goldcrest.telemetry import Log

LEEWAY_SECONDS: Final = 30
TOKEN_LIMIT: Final = 16 * 1024  # bytes
CACHE_ENTRIES: Final = 4096
CACHE_SECONDS: Final = 60.0  # of which keys.AGE_SECONDS knows
LATEST_EXPIRY: Final = 2**40  # epoch seconds, in the year 36812: what is beyond it is an attack on integers
NAME_LIMIT: Final = 1024  # characters of the claim that gives the user, and of a subject

_ACCESS_TOKENS: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # RFC 7519 section 5.1, RFC 9068 section 2.1
_ID_TOKEN_CLAIMS: Final = frozenset({"at_hash", "c_hash", "s_hash"})  # OpenID Connect Core section 3.3.2.11

_log = Log(__name__)


class TokenVerifier:
    """Tells who bears a token. Made inside a running event loop; close it with :meth:`close`.

    Args:
        clock: epoch seconds, for how long a verified token is remembered.
        ticks: seconds, for how old the keys of the issuers are.
    """

    def __init__(
        self,
        rules: Sequence[IssuerRule],
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = aiohttp.ClientSession()
        self._issuers = {rule.issuer: (rule, IssuerKeys(rule, self._session, clock=ticks)) for rule in rules}
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
        try:
            return await self._remembered(token)
        except Unauthenticated as refusal:
            # Ours to tell, in both processes that ask: the message never holds what a stranger wrote.
            _log.info("identity.token.refused", code=refusal.code, reason=refusal.message)
            raise

    async def _remembered(self, token: str) -> Identity:
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
        if str(header.get("typ", "JWT")).lower() not in _ACCESS_TOKENS:
            _refuse(RefusalCode.INVALID_TOKEN, "the token is of a type that is no access token")
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
        scopes = {*words(claims.get(rule.scope_claim, "")), *rule.implied_scopes}
        for scope in rule.required_scope:
            if scope not in scopes:
                raise Unauthenticated(
                    f"Scope '{scope}' wasn't found in JWT",
                    code=RefusalCode.MISSING_SCOPE.value,
                    challenge={"scope": " ".join(rule.required_scope)},
                )
        try:
            groups = groups_of(claims, rule.groups_claim)
            chosen = policy_claims(claims, rule.policy_claims)
        except InvalidInput as error:
            _refuse(RefusalCode.INVALID_TOKEN, error.message)
        return Identity(
            issuer=rule.issuer,
            subject=claims["sub"],
            username=_username(claims, rule),
            scopes=frozenset(scopes),
            groups=groups,
            systems=rule.system_names,
            claims=chosen,
            expires=int(claims["exp"]),
            client=client_of(claims),
        )


def _username(claims: Mapping[str, Any], rule: IssuerRule) -> str:
    listed = claims.get(rule.users_claim or rule.username_claim)
    if isinstance(listed, str) and listed in rule.users:
        return rule.users[listed]
    value = claims.get(rule.username_claim)
    if value is None:  # of a client that is nobody: to be told apart from a name that is none of ours
        _refuse(RefusalCode.NO_USER, f"the token has no claim {rule.username_claim}, which would give the Unix user")
    # The length: a site's pattern may take long over a long text.
    if isinstance(value, str) and rule.username_pattern is not None:
        value = rule.user_by_pattern(value) if len(value) <= NAME_LIMIT else None
    if not isinstance(value, str) or not is_unix_user(value):
        _refuse(RefusalCode.INVALID_TOKEN, f"claim {rule.username_claim} of the token gives no Unix user")
    return value


def _decode(token: str, key: VerificationKey, algorithm: str, rule: IssuerRule) -> dict[str, Any]:
    """Claims of a token whose signature, times, issuer and audience are right."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=rule.audience,
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
    for name in ("exp", "nbf", "iat"):  # PyJWT takes text and booleans for numbers
        if type(claims.get(name, 0)) not in (int, float):
            _refuse(RefusalCode.INVALID_TOKEN, f"claim {name} of the token is no time")
    if int(claims["exp"]) > LATEST_EXPIRY:
        _refuse(RefusalCode.INVALID_TOKEN, "the token's time of expiry is no time")
    if not claims["sub"] or len(claims["sub"]) > NAME_LIMIT:
        _refuse(RefusalCode.INVALID_TOKEN, "the token's subject is empty or too long")
    # Keycloak writes what a token is into a claim of its own; an ID token tells the client who signed in, and is no key to us.
    if str(claims.get("typ", "Bearer")).lower() != "bearer" or not _ID_TOKEN_CLAIMS.isdisjoint(claims):
        _refuse(RefusalCode.INVALID_TOKEN, "the token is an ID token or a refresh token, not an access token")
    return claims


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims before anything is verified; strict, so that no other reader can see other claims."""
    parts = token.split(".")
    if len(parts) != 3:
        _refuse(RefusalCode.INVALID_TOKEN, "the token is not a JWT of three parts")
    try:
        header, claims = (_strict_json(b64url_decode(part)) for part in parts[:2])
        json.dumps([header, claims], ensure_ascii=False).encode()  # half a surrogate pair would break whoever writes it
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


def _refuse(code: RefusalCode, message: str) -> NoReturn:
    raise Unauthenticated(message, code=code.value)
