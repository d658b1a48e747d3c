"""Grants and stamps: only for the very resource they were made for."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from goldcrest.errors import Denied
from goldcrest.grants import (
    GRANT_TYPE,
    STAMP_TYPE,
    SigningKey,
    Verifier,
    check_grant,
    check_stamp,
    grant_claims,
    parse_time,
    spec_digest,
)

pytestmark = pytest.mark.unit

NAME = "r-" + "0f" * 16


def resource(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": NAME,
            "namespace": "hpc-alice",
            "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        "spec": {"system": "cluster", "runAs": "alice", "script": {"inline": "x"}, "tasks": 2, **spec},
    }


def claims(of: dict[str, Any]) -> dict[str, Any]:
    return grant_claims(
        issuer="https://issuer",
        subject="s",
        username="alice",
        run_as="alice",
        system="cluster",
        kind="Job",
        namespace="hpc-alice",
        name=NAME,
        spec=of["spec"],
        jti="0f" * 16,
        policy_claims={},
    )


def test_a_grant_fits_its_resource_and_survives_what_may_change() -> None:
    """Mutable fields and what admission writes are not part of the digest."""
    made = claims(resource())
    check_grant(made, kind="Job", resource=resource())
    check_grant(
        made,
        kind="Job",
        resource=resource(cancel=True, suspend=False, requestedBy={"via": "Grant"}, scriptSha256="0" * 64),
    )


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Transfer", {}),
        ("Job", {"metadata": {"name": "r-other"}}),
        ("Job", {"metadata": {"namespace": "hpc-bob"}}),
        ("Job", {"spec": {"runAs": "bob"}}),
        ("Job", {"spec": {"system": "other"}}),
        ("Job", {"spec": {"tasks": 3}}),
        ("Job", {"spec": {"account": "added"}}),
    ],
)
def test_a_grant_for_something_else_is_refused(kind: str, change: dict[str, Any]) -> None:
    """Another kind, name, namespace, user, system, a changed and an added field."""
    other = resource()
    for part, values in change.items():
        other[part].update(values)
    with pytest.raises(Denied):
        check_grant(claims(resource()), kind=kind, resource=other)


def test_a_removed_field_is_refused() -> None:
    """Also what is missing changes the digest."""
    other = resource()
    del other["spec"]["tasks"]
    with pytest.raises(Denied, match="specSha256"):
        check_grant(claims(resource()), kind="Job", resource=other)


def test_expiry_counts_when_the_resource_is_made_and_not_later() -> None:
    """An hour later the grant of a resource made in time still fits."""
    made, one = claims(resource()), resource()
    one["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
    made["exp"] = int(parse_time("2030-01-01T00:00:00Z"))
    check_grant(made, kind="Job", resource=one)
    made["exp"] -= 1
    with pytest.raises(Denied, match="expired"):
        check_grant(made, kind="Job", resource=one)


def test_signatures() -> None:
    """Only a known key and the right type count."""
    key, other = SigningKey(Ed25519PrivateKey.generate()), SigningKey(Ed25519PrivateKey.generate())
    verifier = Verifier.of(key.key.public_key())
    token = key.sign({"a": 1}, type_=GRANT_TYPE)
    assert verifier.verify(token, type_=GRANT_TYPE) == {"a": 1}
    with pytest.raises(Denied):
        verifier.verify(token, type_=STAMP_TYPE)
    with pytest.raises(Denied):
        verifier.verify(other.sign({"a": 1}, type_=GRANT_TYPE), type_=GRANT_TYPE)
    with pytest.raises(Denied):
        verifier.verify(token[:-6] + "AAAAAA", type_=GRANT_TYPE)
    unsigned = jwt.encode({"a": 1}, None, algorithm="none", headers={"typ": GRANT_TYPE})
    for text in (unsigned, "", "a.b.c", "x" * 10_000):
        with pytest.raises(Denied):
            verifier.verify(text, type_=GRANT_TYPE)


def test_a_stamp_names_the_requester() -> None:
    """A requester changed after stamping is refused."""
    one, made = stamped()
    check_stamp(made, kind="Job", resource=one)
    one["spec"]["requestedBy"] = {"via": "Kubernetes", "username": "bob"}
    with pytest.raises(Denied, match="requestedBy"):
        check_stamp(made, kind="Job", resource=one)


def stamped() -> tuple[dict[str, Any], dict[str, Any]]:
    """A resource of a Kubernetes user, and the claims of its stamp."""
    one = resource(requestedBy={"via": "Kubernetes", "username": "alice"})
    one["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
    made = {
        "kind": "Job",
        "namespace": "hpc-alice",
        "name": one["metadata"]["name"],
        "specSha256": spec_digest(one["spec"]),
        "requestedBy": one["spec"]["requestedBy"],
        "iat": int(parse_time("2030-01-01T00:00:00Z")),
    }
    return one, made


@pytest.mark.parametrize(
    ("change", "word"),
    [({"name": "other"}, "name"), ({"iat": 0}, "time"), ({"iat": None}, "time"), ({"iat": True}, "time")],
)
def test_a_copied_stamp(change: dict[str, Any], word: str) -> None:
    """On a resource of another name, or made at another time, a stamp is a copy."""
    one, made = stamped()
    with pytest.raises(Denied, match=f"the stamp is for another {word}"):
        check_stamp({**made, **change}, kind="Job", resource=one)


def test_a_stamp_names_the_script_of_a_config_map() -> None:
    """Its digest is not part of the spec's, so the stamp has it beside: on other bytes it does not count."""
    one, made = stamped()
    one["spec"] |= {"script": {"configMap": {"name": "build", "key": "run.sh"}}, "scriptSha256": "0" * 64}
    made |= {"specSha256": spec_digest(one["spec"]), "scriptSha256": "0" * 64}
    check_stamp(made, kind="Job", resource=one)
    for other in ("1" * 64, None):
        one["spec"]["scriptSha256"] = other
        with pytest.raises(Denied, match="the stamp is for another scriptSha256"):
            check_stamp(
                {**made, "specSha256": spec_digest({**one["spec"], "scriptSha256": ""})}, kind="Job", resource=one
            )


def test_a_stamp_without_a_name() -> None:
    """With generateName there was none: up to a minute between stamp and creation is a matter of clocks."""
    one, made = stamped()
    for seconds in (-60, 60):
        check_stamp({**made, "name": "", "iat": made["iat"] + seconds}, kind="Job", resource=one)
    with pytest.raises(Denied, match="another time"):
        check_stamp({**made, "name": "", "iat": made["iat"] + 61}, kind="Job", resource=one)


def test_the_digest_of_today_stays_the_digest() -> None:
    """A golden value: an upgrade that changed it would make every live grant invalid."""
    assert (
        spec_digest(
            {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}, "tasks": 2, "cancel": True}
        )
        == "v1:e441740850f29c657a5db7ed25148777c7233a8434e6d6d7c62feed043ccee92"
    )
