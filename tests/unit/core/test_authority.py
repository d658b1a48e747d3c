from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from goldcrest.authority import Authority, ByToken, error_of
from goldcrest.commands import StatFile
from goldcrest.errors import (
    DelegationUnavailable,
    Denied,
    InsufficientAuthentication,
    InvalidInput,
    PolicyUnavailable,
    Unauthenticated,
)
from goldcrest.identity import RefusalCode
from goldcrest.telemetry import Trace

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


class _Called(Authority):
    """Answers when it is told to, and keeps what it was asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(url=f"unix:{folder}/none.sock", ca_file=None, token_file=folder / "none")
        self.bodies: list[list[dict[str, Any]]] = []
        self.answers: list[asyncio.Future[dict[str, Any]]] = []

    async def _post(self, path: str, body: object) -> dict[str, Any]:
        assert path == "/v1/certificates"
        assert isinstance(body, dict)
        self.bodies.append(body["requests"])
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    def certify(self, call: int) -> None:
        """Answer a call with a certificate for each of its requests, which is the request's path."""
        results = [
            {"id": asked["id"], "certificate": base64.b64encode(asked["args"]["path"].encode()).decode()}
            for asked in self.bodies[call]
        ]
        self.answers[call].set_result({"results": results})

    async def ask(self, path: str) -> bytes:
        return await self.command_certificate(
            StatFile(path),
            public_key=bytes(32),
            system="cluster",
            user="alice",
            sid="0" * 32,
            basis=ByToken("t"),
            trace=Trace.new().header,
        )


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_while_two_calls_are_under_way_goes_together(tmp_path: Path) -> None:
    """Nobody waits for a batch that may never be full; who came meanwhile is in the next call, and gets the own answer."""
    called = _Called(tmp_path)
    asked = [asyncio.create_task(called.ask(f"/{number}")) for number in range(5)]
    await _settle()
    assert [len(requests) for requests in called.bodies] == [1, 1]
    called.certify(1)
    await _settle()
    assert [len(requests) for requests in called.bodies] == [1, 1, 3]
    called.certify(2)
    called.certify(0)
    assert await asyncio.gather(*asked) == [b"/0", b"/1", b"/2", b"/3", b"/4"]


@pytest.mark.parametrize("how", ["fails", "is given up"])
async def test_others_do_not_wait_for_a_call_that_fails(tmp_path: Path, how: str) -> None:
    """Who waits for it is sent when it is over, whatever came of it."""
    called = _Called(tmp_path)
    asked = [asyncio.create_task(called.ask(f"/{number}")) for number in range(3)]
    await _settle()
    if how == "fails":
        called.answers[0].set_exception(PolicyUnavailable("OPA does not answer"))
    else:
        asked[0].cancel()
    await _settle()
    called.certify(1)
    called.certify(2)
    first, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert others == [b"/1", b"/2"]
    assert isinstance(first, PolicyUnavailable if how == "fails" else asyncio.CancelledError)


async def test_a_call_that_breaks_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it was, none of a batch waits for ever."""
    called = _Called(tmp_path)
    asked = [asyncio.create_task(called.ask(f"/{number}")) for number in range(4)]
    await _settle()
    called.certify(0)
    await _settle()
    called.answers[2].set_exception(AttributeError("a mistake"))
    called.certify(1)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[:2] == [b"/0", b"/1"]
    assert all(isinstance(answer, DelegationUnavailable) for answer in answers[2:])
    assert "delegation.call.broken" in caplog.text


async def test_a_request_without_a_json_form(tmp_path: Path) -> None:
    authority = Authority(url=f"unix:{tmp_path}/none.sock", ca_file=None, token_file=tmp_path / "none")
    with pytest.raises(InvalidInput, match="no JSON form"):
        await authority.grant(token="\ud800", kind="Job", namespace="a", name="b", spec={}, trace="")


@pytest.mark.parametrize(
    "answer",
    [{}, {"results": 1}, {"results": [{"id": 1}]}, {"results": ["odd"]}, {"results": [{"id": 0, "error": None}]}],
)
async def test_no_answer_to_a_request(tmp_path: Path, answer: dict[str, Any]) -> None:
    called = _Called(tmp_path)
    asked = asyncio.create_task(called.ask("/0"))
    await _settle()
    called.answers[0].set_result(answer)
    with pytest.raises(DelegationUnavailable, match="gave no answer to this request"):
        await asked


@pytest.mark.parametrize("certificate", ["=", 1, None])
async def test_a_certificate_that_is_none(tmp_path: Path, certificate: object) -> None:
    """An error like any other, of this request alone."""
    called = _Called(tmp_path)
    asked = asyncio.create_task(called.ask("/0"))
    await _settle()
    called.answers[0].set_result({"results": [{"id": 0, "certificate": certificate}]})
    with pytest.raises(DelegationUnavailable, match="no base64"):
        await asked
