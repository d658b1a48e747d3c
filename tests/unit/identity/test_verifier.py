from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web

from goldcrest.errors import Unauthenticated, Unavailable
from goldcrest.identity import TokenVerifier, load_rules
from goldcrest.identity.keys import AGE_SECONDS, REFRESH_SECONDS
from goldcrest.identity.verifier import TOKEN_LIMIT
from unit.identity.tokens import ISSUER, RULE, Key, content, identity_file, raw_token

pytestmark = pytest.mark.unit

KEY, OTHER = Key("one"), Key("two")


@pytest.fixture
async def verifier(tmp_path: Path) -> AsyncIterator[TokenVerifier]:
    """A verifier that trusts KEY."""
    verifier = TokenVerifier.from_file(identity_file(tmp_path, KEY))
    yield verifier
    await verifier.close()


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token)
    assert token == "" or token not in caught.value.message
    return caught.value.code


async def test_a_good_token(verifier: TokenVerifier) -> None:
    """The identity holds what the rule takes from the claims, and nothing of the token itself."""
    identity = await verifier.verify(KEY.token(groups=["a", "b"], acr="2", secret="s"))
    assert (identity.username, identity.issuer, identity.subject) == ("alice", ISSUER, "0001")
    assert identity.scopes == {"openid", "firecrest"}
    assert identity.groups == ("a", "b")
    assert identity.claims == {"acr": "2"}
    assert identity.counts_for("cluster")
    assert not identity.counts_for("other")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": 1}, "TokenExpired"),
        ({"exp": None}, "InvalidToken"),
        ({"exp": "soon"}, "InvalidToken"),
        ({"exp": 10**400}, "InvalidToken"),
        ({"nbf": 4_000_000_000}, "InvalidToken"),
        ({"iat": "yesterday"}, "InvalidToken"),
        ({"aud": "somebody"}, "InvalidAudience"),
        ({"aud": None}, "InvalidAudience"),
        ({"aud": []}, "InvalidAudience"),
        ({"iss": "https://two.example"}, "InvalidToken"),
        ({"iss": None}, "InvalidToken"),
        ({"sub": None}, "InvalidToken"),
        ({"sub": ""}, "InvalidToken"),
        ({"scope": None}, "MissingScope"),
        ({"scope": "firecrest2"}, "MissingScope"),
        ({"scope": 5}, "MissingScope"),
        ({"preferred_username": None}, "InvalidToken"),
        ({"preferred_username": "Robert'); DROP"}, "InvalidToken"),
        ({"preferred_username": ["alice"]}, "InvalidToken"),
        ({"preferred_username": "alice\n"}, "InvalidToken"),
        ({"groups": "admins"}, "InvalidToken"),
        ({"groups": ["g"] * 257}, "InvalidToken"),
        ({"acr": "x" * 9000}, "InvalidToken"),
    ],
)
async def test_claims_that_are_refused(verifier: TokenVerifier, claims: dict[str, Any], code: str) -> None:
    """Each wrong claim is refused with the code that the dialects have a text for."""
    if isinstance(claims.get("iss", ""), str) and "iat" not in claims:
        token = KEY.token(**claims)
    else:  # PyJWT refuses to make these
        token = sign_raw(content(**claims))
    assert await refusal(verifier, token) == code


def sign_raw(claims: dict[str, Any] | str, header: dict[str, Any] | None = None) -> str:
    unsigned = raw_token(header or {"alg": "RS256", "kid": "one"}, claims)
    text = unsigned.rsplit(".", 1)[0]
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(text.encode(), KEY.private)
    return text + "." + jwt.utils.base64url_encode(signature).decode()


async def test_leeway(verifier: TokenVerifier) -> None:
    """Clocks may differ by half a minute, not more."""
    now = int(time.time())
    await verifier.verify(KEY.token(exp=now - 20))
    await verifier.verify(KEY.token(nbf=now + 20))
    assert await refusal(verifier, KEY.token(exp=now - 40)) == "TokenExpired"
    assert await refusal(verifier, KEY.token(nbf=now + 40)) == "InvalidToken"


async def test_missing_scope_is_named(verifier: TokenVerifier) -> None:
    """The message names the scope, which the client must ask for."""
    with pytest.raises(Unauthenticated, match="firecrest"):
        await verifier.verify(KEY.token(scope="openid"))


async def test_forged_signatures(verifier: TokenVerifier) -> None:
    """No algorithm, HMAC with the public key, another's key, a changed claim, an unlisted algorithm: all refused."""
    none = raw_token({"alg": "none", "typ": "JWT"}, content())
    assert await refusal(verifier, none) == "InvalidAlgorithm"
    text = raw_token({"alg": "HS256", "kid": "one"}, content()).rsplit(".", 1)[0]
    mac = hmac.new(KEY.public_pem, text.encode(), hashlib.sha256).digest()
    assert await refusal(verifier, text + "." + jwt.utils.base64url_encode(mac).decode()) == "InvalidAlgorithm"
    assert await refusal(verifier, OTHER.token()) == "InvalidSignature"
    assert await refusal(verifier, OTHER.token(headers={"kid": "one"})) == "InvalidSignature"
    head, _, signature = KEY.token().split(".")
    body = raw_token({}, content(preferred_username="bob")).split(".")[1]
    assert await refusal(verifier, f"{head}.{body}.{signature}") == "InvalidSignature"
    longer = jwt.encode(content(), KEY.private, algorithm="RS512", headers={"kid": "one"})
    assert await refusal(verifier, longer) == "InvalidAlgorithm"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "https://evil.example/jwks", "x" * 8000, 7, ["one"], {}])
async def test_strange_kids(verifier: TokenVerifier, kid: Any) -> None:
    """A key id is only compared: a path or URL in it leads nowhere."""
    token = raw_token({"alg": "RS256", "kid": kid, "jku": "https://evil.example", "x5u": "file:///"}, content(), b"x")
    assert await refusal(verifier, token) in ("InvalidSignature", "InvalidToken")


@pytest.mark.parametrize(
    "token",
    ["x", "a.b", "a.b.c", "....", "a.b.c.d", "\ud800.\ud800.\ud800", "é" * 50, "{}.{}.{}", "x" * (TOKEN_LIMIT + 1)],
)
async def test_no_tokens_at_all(verifier: TokenVerifier, token: str) -> None:
    """What is no token is refused, not an error."""
    assert await refusal(verifier, token) == "InvalidToken"


async def test_no_token(verifier: TokenVerifier) -> None:
    """Nothing given has a code of its own."""
    assert await refusal(verifier, "") == "TokenMissing"


async def test_hostile_json(verifier: TokenVerifier) -> None:
    """Claims given twice, a header that demands what is not understood, deep nesting."""
    twice = json.dumps(content())[:-1] + ', "preferred_username": "bob"}'
    assert await refusal(verifier, sign_raw(twice)) == "InvalidToken"
    critical = sign_raw(content(), {"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": True})
    assert await refusal(verifier, critical) == "InvalidToken"
    assert await refusal(verifier, sign_raw(json.dumps(content(exp=float("inf"))))) == "InvalidToken"
    assert await refusal(verifier, sign_raw("[" * 5000 + "]" * 5000)) == "InvalidToken"


async def test_a_second_issuer_cannot_speak_for_the_first(tmp_path: Path) -> None:
    """The issuer in the token chooses the keys: another issuer's key is not accepted for it."""
    second = RULE.replace(ISSUER, "https://two.example").replace("JWKS", str(tmp_path / "two.json"))
    (tmp_path / "two.json").write_text(json.dumps({"keys": [OTHER.jwk]}))
    verifier = TokenVerifier.from_file(identity_file(tmp_path, KEY, rule=RULE + second))
    try:
        assert (await verifier.verify(OTHER.token(iss="https://two.example"))).issuer == "https://two.example"
        assert await refusal(verifier, OTHER.token()) == "InvalidSignature"
        assert await refusal(verifier, KEY.token(iss="https://two.example")) == "InvalidSignature"
    finally:
        await verifier.close()


async def test_a_pattern_gives_the_user(tmp_path: Path) -> None:
    """A service account's claim is mapped by the pattern's one group; what does not match whole is refused."""
    pattern = "username_pattern = '^service-account-(?P<username>[a-z]+)-client$'\n"
    verifier = TokenVerifier.from_file(identity_file(tmp_path, KEY, rule=RULE + pattern))
    try:
        token = KEY.token(preferred_username="service-account-alice-client")
        assert (await verifier.verify(token)).username == "alice"
        assert await refusal(verifier, KEY.token(preferred_username="alice")) == "InvalidToken"
    finally:
        await verifier.close()


async def test_verified_tokens_are_remembered_until_they_expire(tmp_path: Path) -> None:
    """A remembered token stops being valid when its time is over."""
    now = time.time()
    clock = [now]
    verifier = TokenVerifier(load_rules(identity_file(tmp_path, KEY)), clock=lambda: clock[0])
    try:
        token = KEY.token(exp=int(now) + 5)
        assert await verifier.verify(token) is await verifier.verify(token)
        clock[0] = now + 10  # the real clock still accepts it: it is verified again, not remembered
        assert (await verifier.verify(token)).username == "alice"
    finally:
        await verifier.close()


@asynccontextmanager
async def jwks_server(answer: Any) -> AsyncIterator[str]:
    """An issuer's key server; ``answer`` is called for each request."""

    async def keys(_: web.Request) -> web.Response:
        return answer()

    app = web.Application()
    app.router.add_get("/jwks", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}/jwks"
    finally:
        await runner.cleanup()


async def test_rotation_and_outage(tmp_path: Path) -> None:
    """A new key is fetched for its kid, at most once in 30 s; while the issuer is down, its known keys count."""
    served, asked, up = [KEY.jwk], [0], [True]

    def answer() -> web.Response:
        asked[0] += 1
        return web.json_response({"keys": served}) if up[0] else web.Response(status=500)

    async with jwks_server(answer) as url:
        rule = RULE.replace('jwks_file = "JWKS"', f'jwks_url = "{url}"')
        verifier = TokenVerifier.from_file(identity_file(tmp_path, rule=rule))
        try:
            await asyncio.gather(*(verifier.verify(KEY.token(jti=str(number))) for number in range(20)))
            assert asked[0] == 1
            for _ in range(5):
                assert await refusal(verifier, OTHER.token()) == "InvalidSignature"
            assert asked[0] == 1
            served.append(OTHER.jwk)
            _forget(verifier, REFRESH_SECONDS)
            assert (await verifier.verify(OTHER.token())).username == "alice"
            up[0] = False
            _forget(verifier, REFRESH_SECONDS)
            assert await refusal(verifier, Key("three").token()) == "InvalidSignature"
            assert (await verifier.verify(KEY.token(jti="later"))).username == "alice"
        finally:
            await verifier.close()


async def test_a_key_that_was_withdrawn(tmp_path: Path) -> None:
    """It counts for five minutes more at most, though tokens name it; but as long as the issuer is down."""
    served, up = [KEY.jwk, OTHER.jwk], [True]

    def answer() -> web.Response:
        return web.json_response({"keys": served}) if up[0] else web.Response(status=500)

    async with jwks_server(answer) as url:
        rule = RULE.replace('jwks_file = "JWKS"', f'jwks_url = "{url}"')
        verifier = TokenVerifier.from_file(identity_file(tmp_path, rule=rule))
        try:
            assert (await verifier.verify(OTHER.token())).username == "alice"
            served.remove(OTHER.jwk)
            assert (await verifier.verify(OTHER.token(jti="soon"))).username == "alice"
            up[0] = False
            _forget(verifier, AGE_SECONDS)
            assert (await verifier.verify(OTHER.token(jti="down"))).username == "alice"
            up[0] = True
            _forget(verifier, REFRESH_SECONDS)
            assert await refusal(verifier, OTHER.token(jti="up")) == "InvalidSignature"
            assert (await verifier.verify(KEY.token())).username == "alice"
        finally:
            await verifier.close()


def _forget(verifier: TokenVerifier, seconds: float) -> None:
    """Let the time pass in which the issuer is not asked again."""
    for _, keys in verifier._issuers.values():
        assert keys._asked is not None
        assert keys._fetched is not None
        keys._asked -= seconds
        keys._fetched -= seconds


async def test_an_issuer_that_never_answered(tmp_path: Path) -> None:
    """Before the first keys are known, the caller is told to come back, not that the token is bad."""
    rule = RULE.replace('jwks_file = "JWKS"', 'jwks_url = "http://127.0.0.1:1/jwks"')
    verifier = TokenVerifier.from_file(identity_file(tmp_path, rule=rule))
    try:
        with pytest.raises(Unavailable, match="cannot be fetched"):
            await verifier.verify(KEY.token())
    finally:
        await verifier.close()


async def test_keys_of_no_use(tmp_path: Path) -> None:
    """Keys for encryption, symmetric keys and keys of another algorithm are not used."""
    symmetric = {"kty": "oct", "k": "AAAA", "kid": "one", "alg": "HS256"}
    for jwk in ({**KEY.jwk, "use": "enc"}, symmetric):
        path = identity_file(tmp_path)
        (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
        with pytest.raises(Exception, match="no signature key"):
            TokenVerifier.from_file(path)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**KEY.jwk, "alg": "RS512"}]}))
    verifier = TokenVerifier.from_file(tmp_path / "identity.toml")
    try:
        assert await refusal(verifier, KEY.token()) == "InvalidSignature"
    finally:
        await verifier.close()
