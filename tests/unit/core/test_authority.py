from __future__ import annotations

import pytest

from goldcrest.authority import error_of
from goldcrest.errors import DelegationUnavailable, Denied, InsufficientAuthentication, Unauthenticated
from goldcrest.identity import RefusalCode

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("code", RefusalCode)
def test_a_token_that_delegation_refuses(code: RefusalCode) -> None:
    """The gateway may remember it still: its caller is told that the token is at fault, and how."""
    error = error_of({"code": code.value, "message": "words", "retryable": False, "challenge": {"scope": "a"}})
    assert isinstance(error, Unauthenticated)
    assert (error.code, error.message, error.challenge) == (code.value, "words", {"scope": "a"})


def test_a_better_sign_in() -> None:
    """The challenge comes through; one that is no object is none."""
    body = {"code": "InsufficientAuthentication", "message": "words", "challenge": {"max_age": "5"}}
    error = error_of(body)
    assert isinstance(error, InsufficientAuthentication)
    assert error.challenge == {"max_age": "5"}
    plain = error_of({**body, "challenge": "x"})
    assert isinstance(plain, InsufficientAuthentication)
    assert plain.challenge == {}


def test_our_own_token() -> None:
    """Not the fault of whoever asks through us, and mended by time or an administrator."""
    error = error_of({"code": "Unauthenticated", "message": "not valid for the audience", "retryable": False})
    assert isinstance(error, DelegationUnavailable)
    assert error.message == "delegation does not accept our own token: not valid for the audience"


def test_unknown_codes() -> None:
    """Denied, unless the same question may succeed later."""
    assert type(error_of({"code": "New", "message": "m"})) is Denied
    assert type(error_of({"code": "New", "message": "m", "retryable": True})) is DelegationUnavailable
