from __future__ import annotations

import json

import pytest

from goldcrest.errors import Denied, InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobSpec
from goldcrest.policy.question import Subject, asked_by
from goldcrest.policy.requester import check_grant_name, requester_of_grant, requester_of_user

pytestmark = pytest.mark.unit

GRANT = {
    "iss": "https://one.example",
    "sub": "0001",
    "username": "alice",
    "claims": {"scopes": ["firecrest"], "groups": ["g"], "token": {"acr": "2"}, "route": "POST /compute/jobs/upload"},
    "jti": "0" * 32,
    "iat": 1_900_000_000,
}


def test_policy_sees_no_secrets() -> None:
    """Script text and values of variables stay here: policy gets digests and names."""
    spec = {
        "system": "cluster",
        "runAs": "alice",
        "script": {"inline": "echo MARKED-SECRET"},
        "environment": {"TOKEN": "MARKED-SECRET", "A": "b"},
        "partition": "debug",
        "tasks": 4,
    }
    fields = asked_by(parse_model(JobSpec, spec, what="spec")).fields
    assert "MARKED-SECRET" not in json.dumps(fields)
    assert fields["environment"] == ["A", "TOKEN"]
    assert fields["script"]["size"] == 18
    assert (fields["partition"], fields["tasks"]) == ("debug", 4)


def test_a_script_by_path() -> None:
    """A script on the system is shown by path and digest."""
    spec = {"system": "cluster", "runAs": "alice", "script": {"path": "/x", "sha256": "0" * 64}}
    fields = asked_by(parse_model(JobSpec, spec, what="spec")).fields
    assert fields["script"] == {"path": "/x", "sha256": "0" * 64}


def test_the_subject_of_a_grant() -> None:
    """What the token said when the grant was made is what policy sees at every later decision."""
    subject = Subject.of_grant(GRANT)
    assert subject.route == "POST /compute/jobs/upload"
    shown = subject.dump()
    assert shown["askedAt"] == GRANT["iat"]
    assert shown["via"] == "Grant"
    assert (shown["scopes"], shown["groups"], shown["claims"]) == (["firecrest"], ["g"], {"acr": "2"})
    assert requester_of_grant(GRANT).dump() == {
        "via": "Grant",
        "issuer": "https://one.example",
        "subject": "0001",
        "username": "alice",
        "groups": ["g"],
    }


@pytest.mark.parametrize("lost", ["iss", "sub", "username", "claims", "iat"])
def test_a_grant_that_lacks_something(lost: str) -> None:
    """A grant without a subject is none."""
    with pytest.raises(Denied):
        Subject.of_grant({name: value for name, value in GRANT.items() if name != lost})


@pytest.mark.parametrize("name", ["r-" + "1" * 32, "0" * 32, "r-" + "0" * 31, "r-" + "0" * 32 + "a", "x"])
def test_names_that_are_not_the_grants(name: str) -> None:
    """The grant's id must be the one in the name."""
    with pytest.raises(Denied):
        check_grant_name(GRANT, name)
    check_grant_name(GRANT, "r-" + "0" * 32)


def test_too_many_groups() -> None:
    """More groups than are kept are refused: dropping some could hide one that policy looks for."""
    with pytest.raises(InvalidInput, match="300 groups"):
        requester_of_user({"username": "alice", "groups": ["g"] * 300})
    with pytest.raises(InvalidInput, match="username"):
        requester_of_user({"groups": []})
