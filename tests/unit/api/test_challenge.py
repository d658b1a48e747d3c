from __future__ import annotations

import pytest

from goldcrest.errors import InsufficientAuthentication, Unauthenticated
from goldcrest_api.challenge import bearer_challenge

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (Unauthenticated("no token was sent", code="TokenMissing"), "Bearer"),
        (
            Unauthenticated("the token has expired", code="TokenExpired"),
            'Bearer error="invalid_token", error_description="the token has expired"',
        ),
        (
            Unauthenticated("Scope 'a' wasn't found in JWT", code="MissingScope", challenge={"scope": "a b"}),
            """Bearer error="insufficient_scope", error_description="Scope 'a' wasn't found in JWT", scope="a b\"""",
        ),
        (
            InsufficientAuthentication("too old", challenge={"max_age": "300", "acr_values": "2 3", "realm": "no"}),
            'Bearer error="insufficient_user_authentication", error_description="too old", '
            'acr_values="2 3", max_age="300"',
        ),
        (
            InsufficientAuthentication('say "more",\r\nX: \\ é', challenge={"acr_values": 'x"y'}),
            'Bearer error="insufficient_user_authentication", error_description="say \'more\',??X: ? ?", acr_values="x\'y"',
        ),
    ],
)
def test_headers(error: Unauthenticated, header: str) -> None:
    """What RFC 6750 and RFC 9470 ask for, whatever the words of a policy are."""
    assert bearer_challenge(error) == header
