"""Rotation as both processes see it that verify tokens: gateway and delegation, each with keys of its own."""

from __future__ import annotations

import asyncio
import time

import pytest

from component.attacks.forgery import Key, claims_of, token_by
from component.identity.identity_stage import IdentityStage
from component.identity.key_server import KeyServer
from goldcrest.identity.keys import REFRESH_SECONDS

pytestmark = pytest.mark.component

ISSUER = "https://rotating.example"
SIGNATURE = "JWT token has invalid signature"


async def test_rotation(stage: IdentityStage, key_server: KeyServer) -> None:
    """A new key counts in both after half a minute, for which strange key ids cannot make them ask again; and through an outage."""
    old, new = Key("old"), Key("new")
    key_server.keys = [old]
    began = time.monotonic()
    await stage.granted(_token(old), user="alice")
    asked = key_server.asked
    assert asked == 2  # once each
    key_server.keys = [old, new]
    for _ in range(5):
        await stage.refused(_token(new), code="InvalidSignature", description=SIGNATURE)
        await stage.refused(_token(Key("strange")), code="InvalidSignature", description=SIGNATURE)
    assert key_server.asked == asked
    await asyncio.sleep(max(0.0, began + REFRESH_SECONDS + 1 - time.monotonic()))
    await stage.granted(_token(new), user="alice")
    assert key_server.asked == asked + 2
    key_server.up = False
    for key in (old, new):
        await stage.granted(_token(key), user="alice")


def _token(key: Key) -> str:
    return token_by(key.private, claims_of("alice", iss=ISSUER, jti=str(time.monotonic_ns())), {"kid": key.kid})
