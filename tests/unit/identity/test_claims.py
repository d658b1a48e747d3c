from __future__ import annotations

from typing import Any

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.identity.claims import groups_of, policy_claims, words

pytestmark = pytest.mark.unit

NAMES = ["acr", "amr", "auth_time", "azp", "site"]


def test_what_policy_sees() -> None:
    """The named claims, as they are; what a token lacks or has besides is left out."""
    claims = {"acr": "2", "amr": ["pwd", "otp"], "auth_time": 1_700_000_000, "azp": "portal", "email": "a@example.org"}
    assert policy_claims(claims, NAMES) == {name: claims[name] for name in NAMES if name in claims}
    assert policy_claims({"site": {"a": [1, True, None, "x"]}}, NAMES) == {"site": {"a": [1, True, None, "x"]}}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("acr", 2, "acr of the token is not text"),
        ("acr", ["2"], "acr of the token is not text"),
        ("acr", None, "acr of the token is not text"),
        ("azp", {"id": "x"}, "azp of the token is not text"),
        ("amr", "pwd", "amr of the token is not a list of texts"),
        ("amr", ["pwd", 1], "amr of the token is not a list of texts"),
        ("auth_time", "1700000000", "auth_time of the token is not an integer"),
        ("auth_time", 1_700_000_000.0, "auth_time of the token is not an integer"),
        ("auth_time", True, "auth_time of the token is not an integer"),
        ("auth_time", -1, "auth_time of the token is not an integer"),
        ("auth_time", 2**60, "large numbers"),
        ("site", 0.5, "fractions"),
        ("site", [[[[[[[[[1]]]]]]]]], "too many levels"),
        ("site", "x" * 9000, "larger than 8192 bytes"),
    ],
)
def test_wrong_types_are_refused(name: str, value: Any, message: str) -> None:
    """Not left out: policy that does not ask for the claim would let pass what the issuer gets wrong."""
    with pytest.raises(InvalidInput, match=message):
        policy_claims({name: value}, NAMES)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("openid firecrest", ["openid", "firecrest"]),
        (["openid", 1, "firecrest"], ["openid", "firecrest"]),
        ({"firecrest": True}, []),
        (None, []),
    ],
)
def test_scopes(value: Any, found: list[str]) -> None:
    """Text with blanks or a list; nothing else is a scope."""
    assert words(value) == found


@pytest.mark.parametrize("value", ["admins", [1], ["g"] * 257, ["g" * 1025], {"a": "b"}, None])
def test_groups_that_are_refused(value: Any) -> None:
    """Another type, or too many: a list that was cut would be a wrong one."""
    with pytest.raises(InvalidInput, match="claim groups of the token is not a list of at most 256 groups"):
        groups_of({"groups": value}, "groups")


def test_groups() -> None:
    """As they are; none without the claim or the setting."""
    assert groups_of({"groups": ["a", "b"]}, "groups") == ("a", "b")
    assert groups_of({}, "groups") == groups_of({"groups": ["a"]}, None) == ()
