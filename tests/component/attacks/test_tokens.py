"""Forged, stolen and misused tokens: refused by the gateway, and by delegation when the gateway itself is stolen."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from component.attacks.attack_stage import PARTNER, AttackStage
from component.attacks.forgery import (
    claims_of,
    encoded,
    hmac_token,
    private_of,
    token_by,
    unsigned_token,
    with_payload,
)
from component.delegation.callers import TRACE, post
from goldcrest.wellknown import namespace_of_user, rest_name

pytestmark = pytest.mark.component

GENERAL = "Bad header or JWT, general exception raised"
SIGNATURE = "JWT token has invalid signature"
ALGORITHM = "JWT token has invalid signature algorithm"


def _by_issuer(stage: AttackStage, claims: dict[str, Any] | str, header: dict[str, Any] | None = None) -> str:
    return token_by(private_of(stage.issuer), claims, header)


def _twice(stage: AttackStage) -> str:
    text = json.dumps(claims_of("alice"))[:-1] + ', "preferred_username": "bob"}'
    return _by_issuer(stage, text)


FORGERIES: dict[str, tuple[Callable[[AttackStage], str], str, str]] = {
    "alg-none": (lambda s: unsigned_token(claims_of("alice")), "InvalidAlgorithm", ALGORITHM),
    "alg-none-in-capitals": (
        lambda s: unsigned_token(claims_of("alice"), algorithm="NONE"),
        "InvalidAlgorithm",
        ALGORITHM,
    ),
    "no-signature": (
        lambda s: unsigned_token(claims_of("alice"), algorithm="ES256"),
        "InvalidSignature",
        SIGNATURE,
    ),
    "hmac-with-the-public-key": (
        lambda s: hmac_token(s.issuer, claims_of("alice")),
        "InvalidAlgorithm",
        ALGORITHM,
    ),
    "altered": (lambda s: with_payload(s.issuer.token("bob"), sub="x"), "InvalidSignature", SIGNATURE),
    "own-key-under-the-issuers-kid": (
        lambda s: token_by(s.attacker.private, claims_of("alice")),
        "InvalidSignature",
        SIGNATURE,
    ),
    "unknown-issuer": (
        lambda s: token_by(s.attacker.private, claims_of("alice", iss="https://attacker.example")),
        "InvalidToken",
        GENERAL,
    ),
    "key-of-the-second-issuer": (
        lambda s: token_by(s.partner.private, claims_of("alice")),
        "InvalidSignature",
        SIGNATURE,
    ),
    "another-audience": (
        lambda s: s.issuer.token("alice", aud="somebody-else"),
        "InvalidAudience",
        "Invalid audience in JWT token",
    ),
    "without-audience": (
        lambda s: _by_issuer(s, claims_of("alice", aud=None)),
        "InvalidAudience",
        "Invalid audience in JWT token",
    ),
    "expired": (
        lambda s: s.issuer.token("alice", exp=int(time.time()) - 31),
        "TokenExpired",
        "JWT token has expired",
    ),
    "not-yet-valid": (lambda s: s.issuer.token("alice", nbf=int(time.time()) + 120), "InvalidToken", GENERAL),
    "kid-with-a-path": (
        lambda s: token_by(s.attacker.private, claims_of("alice"), {"kid": str(_own_key_file(s))}),
        "InvalidSignature",
        SIGNATURE,
    ),
    "key-in-the-header": (
        lambda s: token_by(s.attacker.private, claims_of("alice"), {"jwk": s.attacker.jwk}),
        "InvalidSignature",
        SIGNATURE,
    ),
    "huge": (lambda s: s.issuer.token("alice", more="x" * 20_000), "InvalidToken", GENERAL),
    "claims-given-twice": (_twice, "InvalidToken", GENERAL),
    "user-who-is-none": (lambda s: s.issuer.token("alice; id"), "InvalidToken", GENERAL),
    "user-root": (lambda s: s.issuer.token("root"), "InvalidToken", GENERAL),
    "user-in-capitals": (lambda s: s.issuer.token("Alice"), "InvalidToken", GENERAL),
    "user-with-a-cyrillic-letter": (lambda s: s.issuer.token("\u0430lice"), "InvalidToken", GENERAL),
    "user-in-full-width": (lambda s: s.issuer.token("\uff41lice"), "InvalidToken", GENERAL),
    "user-with-an-invisible-mark": (lambda s: s.issuer.token("alice\u200b"), "InvalidToken", GENERAL),
    "user-with-a-newline": (lambda s: s.issuer.token("alice\n"), "InvalidToken", GENERAL),
    "user-with-a-zero-byte": (lambda s: s.issuer.token("alice\0"), "InvalidToken", GENERAL),
    "user-who-is-a-uid": (lambda s: s.issuer.token("2001"), "InvalidToken", GENERAL),
    "user-who-is-a-path": (lambda s: s.issuer.token(".."), "InvalidToken", GENERAL),
    "user-behind-a-path": (lambda s: s.issuer.token("bob/../alice"), "InvalidToken", GENERAL),
    "user-too-long": (lambda s: s.issuer.token("a" * 33), "InvalidToken", GENERAL),
    "user-is-a-list": (lambda s: s.issuer.token(["alice"]), "InvalidToken", GENERAL),
    "half-a-surrogate-pair": (lambda s: _by_issuer(s, claims_of("alice", sub="\ud800")), "InvalidToken", GENERAL),
    "critical-header": (
        lambda s: _by_issuer(s, claims_of("alice"), {"crit": ["exp"], "exp": 1}),
        "InvalidToken",
        GENERAL,
    ),
    "unencoded-payload": (lambda s: _by_issuer(s, claims_of("alice"), {"b64": False}), "InvalidToken", GENERAL),
    "another-curve": (
        lambda s: token_by(s.attacker.private, claims_of("alice"), {"alg": "ES384"}),
        "InvalidAlgorithm",
        ALGORITHM,
    ),
    "type-of-a-grant": (
        lambda s: _by_issuer(s, claims_of("alice"), {"typ": "goldcrest-grant+jwt"}),
        "InvalidToken",
        GENERAL,
    ),
    "type-of-a-logout": (lambda s: _by_issuer(s, claims_of("alice"), {"typ": "logout+jwt"}), "InvalidToken", GENERAL),
    "type-that-is-none": (lambda s: _by_issuer(s, claims_of("alice"), {"typ": ["JWT"]}), "InvalidToken", GENERAL),
    "id-token": (lambda s: s.issuer.token("alice", at_hash="StyV_M43hXMAX"), "InvalidToken", GENERAL),
    "id-token-of-keycloak": (lambda s: s.issuer.token("alice", typ="ID"), "InvalidToken", GENERAL),
    "refresh-token-of-keycloak": (lambda s: s.issuer.token("alice", typ="Refresh"), "InvalidToken", GENERAL),
    "encrypted": (
        lambda s: ".".join([encoded(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), *(encoded(b"x" * 32) for _ in range(4))]),
        "InvalidToken",
        GENERAL,
    ),
    "token-within-a-token": (
        lambda s: _by_issuer(s, json.dumps(s.issuer.token("alice")), {"cty": "JWT"}),
        "InvalidToken",
        GENERAL,
    ),
    "blank-within": (lambda s: s.issuer.token("alice").replace(".", " .", 1), "InvalidToken", GENERAL),
    "blank-in-the-signature": (lambda s: _with_a_blank(s.issuer.token("alice")), "InvalidToken", GENERAL),
    "padding": (lambda s: s.issuer.token("alice").replace(".", "=.", 1), "InvalidToken", GENERAL),
    "very-many-groups": (lambda s: s.issuer.token("alice", groups=["g"] * 257), "InvalidToken", GENERAL),
    "groups-that-are-none": (lambda s: s.issuer.token("alice", groups={"admins": True}), "InvalidToken", GENERAL),
    "expiry-is-text": (lambda s: _by_issuer(s, claims_of("alice", exp="99999999999")), "InvalidToken", GENERAL),
    "never-expires": (lambda s: _by_issuer(s, claims_of("alice", exp=None)), "InvalidToken", GENERAL),
    "expires-at-infinity": (
        lambda s: _by_issuer(s, json.dumps(claims_of("alice", exp=7)).replace('"exp": 7', '"exp": 1e999')),
        "InvalidToken",
        GENERAL,
    ),
    "sign-in-level-is-a-number": (lambda s: s.issuer.token("alice", acr=3), "InvalidToken", GENERAL),
    "sign-in-time-is-text": (lambda s: s.issuer.token("alice", auth_time="now"), "InvalidToken", GENERAL),
    "sign-in-methods-are-text": (lambda s: s.issuer.token("alice", amr="otp"), "InvalidToken", GENERAL),
}


def _with_a_blank(token: str) -> str:
    return token[:-10] + " " + token[-10:]


def _own_key_file(stage: AttackStage) -> str:
    path = stage.folder / "attacker.json"
    path.write_text(json.dumps({"keys": [stage.attacker.jwk]}))
    return f"../../../../../../..{path}"


def grant_body(token: str, *, system: str = "cluster") -> dict[str, Any]:
    return {
        "token": token,
        "kind": "Job",
        "namespace": namespace_of_user("alice"),
        "name": rest_name(secrets.token_hex(16)),
        "spec": {"system": system, "runAs": "alice", "script": {"inline": "#!/bin/sh\nid\n"}},
        "trace": TRACE,
    }


def certificate_body(token: str, *, system: str = "cluster") -> dict[str, Any]:
    request = {
        "id": 0,
        "publicKey": "A" * 43 + "=",
        "kind": "command",
        "system": system,
        "user": "alice",
        "op": "fs.stat",
        "args": {"path": "/scratch/alice", "dereference": False},
        "payload": {},
        "sid": "0" * 32,
        "trace": TRACE,
        "token": token,
    }
    return {"requests": [request]}


async def _ask(stage: AttackStage, token: str, *, system: str = "cluster") -> list[dict[str, Any]]:
    """What a stolen gateway gets for the token: the errors for a grant and for a certificate, each with its audit line."""
    caller = stage.caller_token("goldcrest-api")
    before = len(stage.audit())
    _, grant = await post(stage, "/v1/grants", grant_body(token, system=system), token=caller)
    _, signed = await post(stage, "/v1/certificates", certificate_body(token, system=system), token=caller)
    errors = [grant, signed["results"][0].get("error", signed)]
    for error, line in zip(errors, stage.audit()[before:], strict=True):
        assert "grant" not in error
        assert "certificate" not in error
        assert (line["outcome"], line["code"], line["reason"]) == ("refused", error["code"], error["message"])
        assert line["caller"] == "system:serviceaccount:goldcrest:goldcrest-api"
    return errors


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged(stage: AttackStage, name: str) -> None:
    """A client sees 401 in the contract's words; a stolen gateway gets nothing for it; no log holds the token."""
    forge, code, words = FORGERIES[name]
    token = forge(stage)
    status, headers, body = stage.rest_with_headers("/tasks", token)
    assert (status, body) == (401, {"description": words})
    trace_id = headers["traceparent"].split("-")[1]
    line = stage.traced("gateway", "request", trace_id)
    assert (line["route"], line["status"], line["user"], line["code"]) == ("/tasks", 401, None, code)
    reason = stage.traced("gateway", "identity.token.refused", trace_id)
    assert reason["code"] == code
    assert headers["WWW-Authenticate"] == f'Bearer error="invalid_token", error_description="{reason["reason"]}"'
    for error in await _ask(stage, token):
        assert (error["code"], error["message"], error["retryable"]) == (code, reason["reason"], False)
        logged = stage.events("delegation", "identity.token.refused")[-1]
        assert (logged["code"], logged["reason"]) == (code, reason["reason"])
    left = stage.log("gateway") + stage.log("delegation") + stage.audit_file.read_text()
    assert token not in left
    assert not token.split(".")[1] or token.split(".")[1] not in left


async def test_key_behind_a_url(stage: AttackStage) -> None:
    """A URL in kid, jku or x5u is not fetched: nobody calls, and the token is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks.json"
        token = token_by(stage.attacker.private, claims_of("alice"), {"kid": url, "jku": url, "x5u": url})
        assert stage.rest("/tasks", token) == (401, {"description": SIGNATURE})
        for error in await _ask(stage, token):
            assert error["code"] == "InvalidSignature"
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()


async def test_second_issuer_names_somebody_elses_user(stage: AttackStage) -> None:
    """A partner's issuer may say `alice`, but not for a system that its rule does not name; the audit line says who said it."""
    token = token_by(stage.partner.private, claims_of("alice", iss=PARTNER))
    for error in await _ask(stage, token):
        assert error["code"] == "PolicyDenied"
        assert error["message"] == f"tokens of the issuer {PARTNER} do not count for system cluster"
    assert {line["requester"] for line in stage.audit()[-2:]} == {"alice"}


async def test_somebody_elses_user(stage: AttackStage) -> None:
    """A good token of bob gives neither a grant nor a certificate for alice."""
    for error in await _ask(stage, stage.issuer.token("bob")):
        assert (error["code"], error["message"]) == ("PolicyDenied", "the token is of bob, not of alice")


async def test_grant_as_a_token(stage: AttackStage) -> None:
    """Our own word, shown where a token is asked for: neither the gateway nor delegation takes it, though the key is ours."""
    caller = stage.caller_token("goldcrest-api")
    _, granted = await post(stage, "/v1/grants", grant_body(stage.issuer.token("alice")), token=caller)
    assert stage.rest("/tasks", granted["grant"]) == (401, {"description": ALGORITHM})
    for error in await _ask(stage, granted["grant"]):
        assert error["code"] == "InvalidAlgorithm"


async def test_token_of_the_gateway_as_a_token(stage: AttackStage) -> None:
    """A service account's token for delegation is no REST caller's: its issuer has no rule here."""
    token = stage.caller_token("goldcrest-api")
    assert stage.rest("/tasks", token) == (401, {"description": GENERAL})
    for error in await _ask(stage, token):
        assert error["message"] == "the token's issuer is not configured here"


async def test_missing_scope(stage: AttackStage) -> None:
    """Named in the contract's words, and for programs as RFC 6750 says; delegation says the same."""
    token = stage.issuer.token("alice", scope="openid")
    status, headers, body = stage.rest_with_headers("/tasks", token)
    sentence = "Scope 'firecrest' wasn't found in JWT"
    assert (status, body) == (401, {"description": sentence})
    expected = f'Bearer error="insufficient_scope", error_description="{sentence}", scope="firecrest"'
    assert headers["WWW-Authenticate"] == expected
    for error in await _ask(stage, token):
        assert (error["code"], error["message"]) == ("MissingScope", sentence)


def test_good_token(stage: AttackStage) -> None:
    """The control: the same request with a token that is right."""
    assert stage.rest("/tasks", stage.issuer.token("alice"))[0] == 200
