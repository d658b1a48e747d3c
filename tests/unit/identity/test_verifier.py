from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from goldcrest.errors import InvalidInput, Unauthenticated, Unavailable
from goldcrest.identity import TokenVerifier, load_rules
from goldcrest.identity.keys import AGE_SECONDS, FETCH_SECONDS, REFRESH_SECONDS, parse_jwks
from goldcrest.identity.verifier import CACHE_SECONDS, TOKEN_LIMIT
from unit.identity.tokens import ISSUER, RULE, Key, content, identity_file, raw_token

pytestmark = pytest.mark.unit

KEY, OTHER = Key("one"), Key("two")
PATTERN = "username_pattern = '^service-account-(?P<username>[a-z]+)-client$'\n"
USERS = '[issuer.users]\nservice-account-portal = "svc-portal"\n'
BY_SUBJECT = 'users_claim = "sub"\n[issuer.users]\nportal = "svc-portal"\n'


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
        ({"exp": "4000000000"}, "InvalidToken"),
        ({"nbf": True}, "InvalidToken"),
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
        ({"preferred_username": None}, "NoUser"),
        ({"preferred_username": None, "scope": None}, "MissingScope"),
        ({"preferred_username": ""}, "InvalidToken"),
        ({"preferred_username": "Robert'); DROP"}, "InvalidToken"),
        ({"preferred_username": ["alice"]}, "InvalidToken"),
        ({"preferred_username": "alice\n"}, "InvalidToken"),
        ({"groups": "admins"}, "InvalidToken"),
        ({"groups": ["g"] * 257}, "InvalidToken"),
        ({"acr": "x" * 9000}, "InvalidToken"),
        ({"acr": 1}, "InvalidToken"),
        ({"amr": "pwd"}, "InvalidToken"),
        ({"auth_time": 1.5}, "InvalidToken"),
        ({"sub": "x" * 1025}, "InvalidToken"),
        ({"sub": "\ud800"}, "InvalidToken"),
        ({"preferred_username": "root"}, "InvalidToken"),
        ({"at_hash": "x"}, "InvalidToken"),
        ({"typ": "ID"}, "InvalidToken"),
        ({"typ": "Refresh"}, "InvalidToken"),
        ({"typ": 1}, "InvalidToken"),
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


@pytest.mark.parametrize(
    ("rule", "claims", "username"),
    [
        (PATTERN, {"preferred_username": "service-account-alice-client"}, "alice"),
        (PATTERN, {"preferred_username": "alice"}, None),
        (PATTERN, {"preferred_username": "xservice-account-alice-client"}, None),
        (PATTERN, {"preferred_username": "service-account-root-client"}, None),
        (PATTERN, {"preferred_username": "service-account-alice-client\n"}, None),
        (PATTERN, {"preferred_username": "service-account-" + "a" * 2000 + "-client"}, None),
        (USERS, {"preferred_username": "service-account-portal"}, "svc-portal"),
        (USERS, {"preferred_username": "service-account-other"}, "service-account-other"),
        (USERS, {"preferred_username": "bob"}, "bob"),
        (PATTERN + USERS, {"preferred_username": "service-account-portal"}, "svc-portal"),
        (PATTERN + USERS, {"preferred_username": "service-account-Portal"}, None),
        (BY_SUBJECT, {"sub": "portal", "preferred_username": None}, "svc-portal"),
        (BY_SUBJECT, {"sub": "portal", "preferred_username": "alice"}, "svc-portal"),
        (BY_SUBJECT, {"sub": "0001", "preferred_username": "portal"}, "portal"),
        (BY_SUBJECT, {"sub": "0001", "azp": "portal", "preferred_username": None}, None),
    ],
)
async def test_how_claims_give_a_user(tmp_path: Path, rule: str, claims: dict[str, Any], username: str | None) -> None:
    """By the table first, then by the pattern, which must match whole, or as the claim says; else by nothing."""
    verifier = TokenVerifier.from_file(identity_file(tmp_path, KEY, rule=RULE + rule))
    try:
        token = KEY.token(**claims)
        if username is None:
            there = claims["preferred_username"] is not None
            assert await refusal(verifier, token) == ("InvalidToken" if there else "NoUser")
        else:
            assert (await verifier.verify(token)).username == username
    finally:
        await verifier.close()


@pytest.mark.parametrize(
    ("rule", "claims", "scopes"),
    [
        ("", {}, {"openid", "firecrest"}),
        ('scope_claim = "scp"\n', {"scp": "firecrest", "scope": "other"}, {"firecrest"}),
        ('scope_claim = "roles"\n', {"roles": ["firecrest", "x"], "scope": None}, {"firecrest", "x"}),
        ('scope_claim = "scp"\n', {}, None),
        ('implied_scopes = ["hpc"]\n', {}, {"openid", "firecrest", "hpc"}),
        ('implied_scopes = ["hpc"]\n', {"scope": "hpc"}, None),
    ],
)
async def test_scopes(tmp_path: Path, rule: str, claims: dict[str, Any], scopes: set[str] | None) -> None:
    """From the claim that the rule names, with those that it implies; what is required must be among them."""
    verifier = TokenVerifier.from_file(identity_file(tmp_path, KEY, rule=RULE + rule))
    try:
        token = KEY.token(**claims)
        if scopes is None:
            assert await refusal(verifier, token) == "MissingScope"
        else:
            assert (await verifier.verify(token)).scopes == scopes
    finally:
        await verifier.close()


async def test_every_required_scope(tmp_path: Path) -> None:
    """The first that is missing is named; the challenge names all, for the client to ask for at once."""
    rule = RULE.replace('"firecrest"', '["firecrest", "hpc"]')
    verifier = TokenVerifier.from_file(identity_file(tmp_path, KEY, rule=rule))
    try:
        with pytest.raises(Unauthenticated, match="Scope 'hpc' wasn't found in JWT") as caught:
            await verifier.verify(KEY.token())
        assert caught.value.challenge == {"scope": "firecrest hpc"}
        assert (await verifier.verify(KEY.token(scope="hpc firecrest"))).username == "alice"
    finally:
        await verifier.close()


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ({}, True),
        ({"typ": "at+jwt"}, True),
        ({"typ": "application/AT+JWT"}, True),
        ({"typ": "goldcrest-grant+jwt"}, False),
        ({"typ": "logout+jwt"}, False),
        ({"typ": None}, False),
    ],
)
async def test_types_of_tokens(verifier: TokenVerifier, header: dict[str, Any], accepted: bool) -> None:
    """A JWT of another kind is no access token, whoever signed it."""
    token = sign_raw(content(), {"alg": "RS256", "kid": "one", **header})
    if accepted:
        assert (await verifier.verify(token)).username == "alice"
    else:
        assert await refusal(verifier, token) == "InvalidToken"


async def test_what_is_logged(verifier: TokenVerifier, caplog: pytest.LogCaptureFixture) -> None:
    """Why a token was refused, and nothing of what is in it."""
    caplog.set_level("INFO")
    await refusal(verifier, KEY.token(preferred_username="Marked-Secret"))
    [line] = [line for line in caplog.records if line.message == "identity.token.refused"]
    assert line.fields == {
        "code": "InvalidToken",
        "reason": "claim preferred_username of the token gives no Unix user",
    }


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


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def rotating(folder: Path, answer: Callable[[], web.Response], ticks: Ticks) -> AsyncIterator[TokenVerifier]:
    """A verifier whose issuer has a key server."""
    async with jwks_server(answer) as url:
        rule = RULE.replace('jwks_file = "JWKS"', f'jwks_url = "{url}"')
        verifier = TokenVerifier(load_rules(identity_file(folder, rule=rule)), ticks=ticks)
        try:
            yield verifier
        finally:
            await verifier.close()


async def test_rotation_and_outage(tmp_path: Path) -> None:
    """A new key is fetched for its kid, at most once in 30 s; while the issuer is down, its known keys count."""
    served, asked, up, ticks = [KEY.jwk], [0], [True], Ticks()

    def answer() -> web.Response:
        asked[0] += 1
        return web.json_response({"keys": served}) if up[0] else web.Response(status=500)

    async with rotating(tmp_path, answer, ticks) as verifier:
        await asyncio.gather(*(verifier.verify(KEY.token(jti=str(number))) for number in range(20)))
        assert asked[0] == 1
        served.append(OTHER.jwk)
        ticks.now += REFRESH_SECONDS - 1
        for _ in range(5):
            assert await refusal(verifier, OTHER.token()) == "InvalidSignature"
        assert asked[0] == 1
        ticks.now += 1
        assert (await verifier.verify(OTHER.token())).username == "alice"
        assert asked[0] == 2
        up[0] = False
        ticks.now += REFRESH_SECONDS
        assert await refusal(verifier, Key("three").token()) == "InvalidSignature"
        ticks.now += 24 * 3600
        assert (await verifier.verify(KEY.token(jti="a day later"))).username == "alice"
        assert asked[0] == 4


async def test_a_key_that_was_withdrawn(tmp_path: Path) -> None:
    """It counts for five minutes more at most, though tokens name it; but as long as the issuer is down."""
    served, up, ticks = [KEY.jwk, OTHER.jwk], [True], Ticks()

    def answer() -> web.Response:
        return web.json_response({"keys": served}) if up[0] else web.Response(status=500)

    async with rotating(tmp_path, answer, ticks) as verifier:
        assert (await verifier.verify(OTHER.token())).username == "alice"
        served.remove(OTHER.jwk)
        ticks.now += AGE_SECONDS - 1
        assert (await verifier.verify(OTHER.token(jti="soon"))).username == "alice"
        up[0] = False
        ticks.now += 1
        assert (await verifier.verify(OTHER.token(jti="down"))).username == "alice"
        up[0] = True
        ticks.now += REFRESH_SECONDS
        assert await refusal(verifier, OTHER.token(jti="up")) == "InvalidSignature"
        assert (await verifier.verify(KEY.token())).username == "alice"


def test_five_minutes() -> None:
    """Until the keys are old, for one who asks the issuer and those who do not wait for it, and what is remembered."""
    assert AGE_SECONDS + 2 * FETCH_SECONDS + CACHE_SECONDS <= 300


async def test_an_issuer_that_breaks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that is no key set, a redirect, or an empty set takes no key away, and is logged."""
    answers = [
        web.json_response({"keys": [KEY.jwk]}),
        web.Response(text="<html>maintenance</html>"),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.json_response({"keys": []}),
        web.json_response({"keys": [{**KEY.jwk, "use": "enc"}]}),
    ]
    ticks = Ticks()
    async with rotating(tmp_path, lambda: answers.pop(0), ticks) as verifier:
        while answers:
            caplog.clear()
            assert (await verifier.verify(KEY.token(jti=str(len(answers))))).username == "alice"
            ticks.now += AGE_SECONDS
        [line] = [line for line in caplog.records if line.message == "identity.jwks.failed"]
        assert line.fields["issuer"] == ISSUER
        assert line.fields["kept"] == 1


async def test_a_key_file_that_is_replaced(tmp_path: Path) -> None:
    """Keys in a file rotate without a restart: it is read again as often as an issuer is asked; a broken one is not taken."""
    ticks, jwks = Ticks(), tmp_path / "jwks.json"
    verifier = TokenVerifier(load_rules(identity_file(tmp_path, KEY)), ticks=ticks)
    try:
        await verifier.verify(KEY.token())
        jwks.write_text(json.dumps({"keys": [OTHER.jwk]}))
        assert await refusal(verifier, OTHER.token()) == "InvalidSignature"
        ticks.now += REFRESH_SECONDS
        assert (await verifier.verify(OTHER.token())).username == "alice"
        assert await refusal(verifier, KEY.token(jti="withdrawn")) == "InvalidSignature"
        jwks.write_text("{")
        ticks.now += AGE_SECONDS
        assert (await verifier.verify(OTHER.token(jti="kept"))).username == "alice"
    finally:
        await verifier.close()


async def test_an_issuer_that_never_answered(tmp_path: Path) -> None:
    """Before the first keys are known, the caller is told to come back, not that the token is bad."""
    rule = RULE.replace('jwks_file = "JWKS"', 'jwks_url = "http://127.0.0.1:1/jwks"')
    verifier = TokenVerifier.from_file(identity_file(tmp_path, rule=rule))
    try:
        with pytest.raises(Unavailable, match="cannot be fetched"):
            await verifier.verify(KEY.token())
    finally:
        await verifier.close()


def test_keys_of_no_use(caplog: pytest.LogCaptureFixture) -> None:
    """Keys for encryption, symmetric, short and garbled ones are left out; a short one is named in the log."""
    symmetric = {"kty": "oct", "k": "AAAA", "kid": "one", "alg": "HS256"}
    short = Key("short", bits=1024)
    useless = [{**KEY.jwk, "use": "enc"}, symmetric, short.jwk, {"kty": "RSA", "n": "!", "e": "AQAB"}, "x", None]
    for jwk in useless:
        with pytest.raises(InvalidInput, match="no signature key"):
            parse_jwks(json.dumps({"keys": [jwk]}))
    [key] = parse_jwks(json.dumps({"keys": [*useless, OTHER.jwk]}))
    assert key.kid == "two"
    weak = [line.fields for line in caplog.records if line.message == "identity.jwks.weak"]
    assert weak[-1] == {"kid": "short", "bits": 1024, "least": 2048}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_short_key(tmp_path: Path) -> None:
    """Its tokens are refused as if it were not published."""
    short = Key("short", bits=1024)
    verifier = TokenVerifier.from_file(identity_file(tmp_path, KEY, short))
    try:
        assert await refusal(verifier, short.token()) == "InvalidSignature"
    finally:
        await verifier.close()


@pytest.mark.parametrize("change", [{"alg": "RS512"}, {"kty": "EC"}, {"kid": 1}])
async def test_keys_for_something_else(tmp_path: Path, change: dict[str, Any]) -> None:
    """A key is used for the algorithm that it names only, and for its kid."""
    path = identity_file(tmp_path, KEY)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**KEY.jwk, **change}, OTHER.jwk]}))
    verifier = TokenVerifier.from_file(path)
    try:
        assert await refusal(verifier, KEY.token()) == "InvalidSignature"
    finally:
        await verifier.close()


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()])
async def test_another_curve(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """ES256 is P-256: a key on another curve that calls itself ES256 is not used."""
    private = ec.generate_private_key(curve)
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
    path = identity_file(tmp_path, rule=RULE.replace("RS256", "ES256"))
    good = ec.generate_private_key(ec.SECP256R1())
    good_jwk = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(good.public_key())), "kid": "good"}
    keys = [{**jwk, "kid": "one", "alg": "ES256"}, good_jwk]
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": keys}))
    verifier = TokenVerifier.from_file(path)
    text = raw_token({"alg": "ES256", "kid": "one"}, content()).rsplit(".", 1)[0]
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    try:
        signed = jwt.encode(content(), good, algorithm="ES256", headers={"kid": "good"})
        assert (await verifier.verify(signed)).username == "alice"
        forged = f"{text}.{jwt.utils.base64url_encode(algorithm.sign(text.encode(), private)).decode()}"
        assert await refusal(verifier, forged) == "InvalidSignature"
    finally:
        await verifier.close()
