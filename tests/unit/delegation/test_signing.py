"""What is signed, and when: after policy has said yes, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from goldcrest.blocked import BlockList
from goldcrest.canonical import b64url
from goldcrest.errors import Blocked, Denied, GoldcrestError, PolicyUnavailable
from goldcrest.identity.identity import Identity
from goldcrest.policy import Decision, Policy, Question
from goldcrest_delegation.audit import AuditLog
from goldcrest_delegation.blocking import Blocks
from goldcrest_delegation.ca import Certificate, CertificateAuthority
from goldcrest_delegation.ca_key import FileKey
from goldcrest_delegation.callers import Caller, Role
from goldcrest_delegation.evidence import ResourceEvidence, TokenEvidence
from goldcrest_delegation.metrics import Metrics
from goldcrest_delegation.signing import Signer
from goldcrest_delegation.standing import TokenStanding

pytestmark = pytest.mark.unit

GATEWAY = Caller(Role.GATEWAY, "gateway")
ALICE = Identity(
    issuer="https://issuer",
    subject="1",
    username="alice",
    scopes=frozenset({"firecrest"}),
    groups=(),
    systems=None,
    claims={},
    expires=2**31,
)


class _Key(FileKey):
    """The CA's key, which notes how often it is used."""

    def __init__(self) -> None:
        super().__init__(Ed25519PrivateKey.generate())
        self.signed = 0

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        self.signed += len(messages)
        return await super().sign(messages)


class _Neighbours:
    """Evidence, block list and policy as the signer asks them.

    Args:
        said: a decision for each question, or that there is none.
        turns: of the event loop until policy answers.
        blocking: seconds that it takes to find out who asks, in which alice is blocked.
    """

    def __init__(self, key: _Key, *said: Decision | GoldcrestError, turns: int = 10, blocking: float = 0.0) -> None:
        self._key = key
        self._said = said
        self._turns = turns
        self._blocking = blocking
        self._blocked = BlockList()
        self.signed_before_answer: int | None = None

    async def standing(self, token: str, *, system: str) -> TokenStanding:
        if self._blocking:
            await asyncio.sleep(self._blocking)
            self._blocked = BlockList(users=frozenset({"alice"}))
        return TokenStanding(ALICE, "origin", "/usr/libexec/goldcrest/ssh-filter")

    async def now(self) -> BlockList:
        return self._blocked

    newest = now

    async def decide_many(self, path: str, questions: Sequence[Question]) -> list[Decision]:
        for _ in range(self._turns):  # as long as it takes; others may go on meanwhile
            await asyncio.sleep(0)
        self.signed_before_answer = self._key.signed
        if isinstance(self._said[0], GoldcrestError):
            raise self._said[0]
        return [said for said in self._said if isinstance(said, Decision)][: len(questions)]


def _signer(key: _Key, neighbours: _Neighbours, folder: Path) -> Signer:
    return Signer(
        authority=CertificateAuthority(key),
        tokens=cast(TokenEvidence, neighbours),
        resources=cast(ResourceEvidence, None),
        blocks=cast(Blocks, neighbours),
        policy=cast(Policy, neighbours),
        audit=AuditLog(folder / "audit.jsonl"),
        metrics=Metrics(),
    )


def _request(**changes: Any) -> dict[str, Any]:
    return {
        "id": 0,
        "kind": "command",
        "op": "sys.whoami",
        "args": {},
        "payload": {},
        "system": "cluster",
        "user": "alice",
        "sid": "0" * 32,
        "publicKey": b64url(bytes(range(32))) + "=",
        "token": "token",
        "trace": "1" * 32,
        **changes,
    }


YES, NO = Decision(True, "allowed"), Decision(False, "not today")


@pytest.mark.parametrize(
    ("said", "signed"), [((YES,), 1), ((NO,), 0), ((YES, NO, YES), 2), ((PolicyUnavailable("no answer"),), 0)]
)
async def test_only_what_policy_allows(
    said: tuple[Decision | GoldcrestError, ...], signed: int, tmp_path: Path
) -> None:
    """The key signs nothing before the answer, and then what it allows: certificates are laid out meanwhile, no more."""
    key = _Key()
    neighbours = _Neighbours(key, *said)
    results = await _signer(key, neighbours, tmp_path).certificates(GATEWAY, [_request() for _ in said])
    assert neighbours.signed_before_answer == 0
    assert key.signed == signed
    assert [isinstance(result, Certificate) for result in results] == [one is YES for one in said]


async def test_policy_that_answers_at_once(tmp_path: Path) -> None:
    """Then nothing could be laid out meanwhile."""
    key = _Key()
    results = await _signer(key, _Neighbours(key, YES, NO, turns=0), tmp_path).certificates(GATEWAY, [_request()] * 2)
    assert [isinstance(result, Certificate) for result in results] == [True, False]


async def test_who_is_blocked_meanwhile(tmp_path: Path) -> None:
    """Finding out who asks may take seconds: the block list is looked at again then."""
    key = _Key()
    (result,) = await _signer(key, _Neighbours(key, YES, blocking=0.05), tmp_path).certificates(GATEWAY, [_request()])
    assert isinstance(result, Blocked)
    assert key.signed == 0


async def test_what_cannot_be_laid_out(tmp_path: Path) -> None:
    """A refusal by policy says nothing about the command; what was allowed and cannot be signed says why."""
    long = _request()
    for said in (YES, NO):
        key = _Key()
        signer = _signer(key, _Neighbours(key, said), tmp_path)
        signer._authority.draft = _too_long  # type: ignore[method-assign]
        (result,) = await signer.certificates(GATEWAY, [long])
        assert isinstance(result, Denied if said is NO else _TooLong)
        assert key.signed == 0


class _TooLong(GoldcrestError):
    pass


def _too_long(**_: Any) -> Any:
    raise _TooLong("too long")
