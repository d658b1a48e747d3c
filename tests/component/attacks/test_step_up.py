"""Policy wants a better sign-in than the token's: the client is told which, and nothing is signed until then (RFC 9470)."""

from __future__ import annotations

from typing import Any

import pytest

from component.admission.stage import JOB
from component.attacks.attack_stage import AttackStage
from component.attacks.false_opa import false_opa, result
from component.attacks.test_tokens import certificate_body, grant_body
from component.delegation.callers import PUBLIC_KEY, TRACE, authority, of, post
from goldcrest.authority import ByToken
from goldcrest.errors import Denied, InsufficientAuthentication

pytestmark = pytest.mark.component

REASON = "submitting needs a second factor, not older than 5 minutes"
WANTED = {"acr_values": ["2", "3"], "max_age": 300}


def _said(challenge: object) -> Any:
    """A policy that refuses everything for the lack of a sign-in."""
    one = {"allow": False, "reason": REASON, "rule": "site.rego: second_factor", "challenge": challenge}

    def said(question: dict[str, Any]) -> bytes:
        asked = question.get("questions")
        return result({"answers": [{**one, "id": item["id"]} for item in asked]} if asked else one)

    return said


async def test_step_up(stage: AttackStage) -> None:
    """Grants and certificates for a token are refused with what to ask the issuer for; the audit log says why, and by which rule."""
    caller, token = stage.caller_token("goldcrest-api"), stage.issuer.token("alice", acr="1")
    before = len(stage.audit())
    with false_opa(stage, _said(WANTED)):
        status, grant = await post(stage, "/v1/grants", grant_body(token), token=caller)
        _, signed = await post(stage, "/v1/certificates", certificate_body(token), token=caller)
    assert status == 401
    for error in (grant, signed["results"][0]["error"]):
        assert error == {
            "code": "InsufficientAuthentication",
            "message": REASON,
            "retryable": False,
            "challenge": {"acr_values": "2 3", "max_age": "300"},
        }
    for line in stage.audit()[before:]:
        assert (line["outcome"], line["code"], line["reason"]) == ("refused", "InsufficientAuthentication", REASON)
        assert line["rule"] == "site.rego: second_factor"


async def test_what_the_gateway_makes_of_it(stage: AttackStage) -> None:
    """Its client of delegation hands the challenge on."""
    with false_opa(stage, _said(WANTED)):
        async with authority(stage, "goldcrest-api") as gateway:
            with pytest.raises(InsufficientAuthentication, match=REASON) as caught:
                await gateway.session_certificate(
                    public_key=PUBLIC_KEY,
                    system="cluster",
                    user="alice",
                    basis=ByToken(stage.issuer.token("alice")),
                    trace=TRACE,
                )
    assert caught.value.challenge == {"acr_values": "2 3", "max_age": "300"}


@pytest.mark.parametrize(
    "challenge",
    [
        None,
        "2",
        [],
        {"acr_values": "2"},
        {"acr_values": ['2" x="']},
        {"max_age": "5"},
        {"max_age": True},
        {"max_age": -1},
    ],
)
async def test_a_challenge_that_is_none(stage: AttackStage, challenge: object) -> None:
    """It remains a plain refusal: nothing odd gets into a header."""
    caller, token = stage.caller_token("goldcrest-api"), stage.issuer.token("alice")
    with false_opa(stage, _said(challenge)):
        status, grant = await post(stage, "/v1/grants", grant_body(token), token=caller)
    assert (status, grant) == (403, {"code": "PolicyDenied", "message": REASON, "retryable": False})


async def test_nobody_to_challenge(stage: AttackStage) -> None:
    """For the operator, who acts on a resource, it is a refusal like any other: there is nobody who could sign in again."""
    raw = stage.create_job("alice", JOB, namespace="team").body
    with false_opa(stage, _said(WANTED)):
        async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
            with pytest.raises(Denied, match=REASON):
                await operator.session_certificate(
                    public_key=PUBLIC_KEY, system="cluster", user="alice", basis=of(raw), trace=TRACE
                )
