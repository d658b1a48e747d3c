from __future__ import annotations

from typing import Any

import pytest

from goldcrest.errors import Denied, LeaseNotHeld, Unauthenticated
from goldcrest_delegation.callers import Callers, Role
from goldcrest_delegation.lease import Leases

pytestmark = pytest.mark.unit


class Kube:
    """Answers reviews by the token's text, and counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self.holder = "one"

    async def review_token(self, token: str, audience: str) -> dict[str, Any]:
        self.asked += 1
        if token == "bad":
            return {"authenticated": False}
        audiences = ["https://kubernetes"] if token == "other-audience" else [audience]
        return {"authenticated": True, "audiences": audiences, "user": {"username": token}}

    async def request(self, method: str, path: str) -> dict[str, Any]:
        self.asked += 1
        return {"spec": {"holderIdentity": self.holder}}


@pytest.mark.parametrize("header", ["", "Basic x", "Bearer", "Bearer ", "Bearer bad", "Bearer other-audience"])
async def test_unauthenticated(header: str) -> None:
    """No token, another scheme, a bad token, a token for another audience."""
    with pytest.raises(Unauthenticated):
        await Callers(Kube(), namespace="goldcrest").of(header)


async def test_roles() -> None:
    """Only the two service accounts in our own namespace are served."""
    callers = Callers(Kube(), namespace="goldcrest")
    account = "system:serviceaccount:goldcrest:goldcrest-"
    assert (await callers.of(f"Bearer {account}api")).role is Role.GATEWAY
    assert (await callers.of(f"bearer {account}operator", holder="one")).role is Role.OPERATOR
    for other in (f"{account}admission", account.replace("goldcrest:", "elsewhere:") + "operator", "system:admin"):
        with pytest.raises(Denied, match="is not served"):
            await callers.of(f"Bearer {other}")


async def test_a_review_is_remembered_for_a_minute() -> None:
    """A revoked service account is out after a minute."""
    kube, clock = Kube(), [0.0]
    callers = Callers(kube, namespace="goldcrest", clock=lambda: clock[0])
    for _ in range(5):
        await callers.of("Bearer system:serviceaccount:goldcrest:goldcrest-api")
    assert kube.asked == 1
    clock[0] = 60.0
    await callers.of("Bearer system:serviceaccount:goldcrest:goldcrest-api")
    assert kube.asked == 2


async def test_a_lease_is_read_once_a_second() -> None:
    """A new holder counts after a second at most."""
    kube, clock = Kube(), [0.0]
    leases = Leases(kube, namespace="goldcrest", clock=lambda: clock[0])
    for _ in range(5):
        await leases.check(shard="default", holder="one")
    assert kube.asked == 1
    kube.holder = "two"
    clock[0] = 1.0
    with pytest.raises(LeaseNotHeld, match="two does"):
        await leases.check(shard="default", holder="one")
    kube.holder = ""
    clock[0] = 2.0
    with pytest.raises(LeaseNotHeld, match="nobody holds"):
        await leases.check(shard="default", holder="")
