"""Who calls delegation: a TokenReview of its projected token tells (T8). Only the gateway and the operator are served."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from goldcrest.errors import Denied, Unauthenticated
from goldcrest.wellknown import (
    DELEGATION_AUDIENCE,
    SERVICE_ACCOUNT_API,
    SERVICE_ACCOUNT_OPERATOR,
    service_account_user,
)

CACHE_SECONDS: Final = 60.0
_ENTRIES = 256
_TOKEN_LIMIT = 16 * 1024


class Role(Enum):
    """What a caller is, and so what it may ask for."""

    GATEWAY = "gateway"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. ``holder`` is the Lease identity that it says it has."""

    role: Role
    account: str
    holder: str = ""


class TokenReviews(Protocol):
    """What is needed of :class:`goldcrest.kube.Kube`."""

    async def review_token(self, token: str, audience: str) -> dict[str, Any]: ...


class Callers:
    """Authenticates callers; a review is remembered for a minute by the digest of its token."""

    def __init__(self, reviews: TokenReviews, *, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._reviews = reviews
        self._clock = clock
        self._roles = {
            service_account_user(SERVICE_ACCOUNT_API, namespace): Role.GATEWAY,
            service_account_user(SERVICE_ACCOUNT_OPERATOR, namespace): Role.OPERATOR,
        }
        self._known: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    async def of(self, authorization: str, *, holder: str = "") -> Caller:
        """The caller that shows this ``Authorization`` header.

        Raises:
            Unauthenticated: no token, or not one for delegation.
            Denied: a valid token of somebody who is not served.
            KubernetesUnavailable: the review could not be made.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _TOKEN_LIMIT:
            raise Unauthenticated("delegation needs `Authorization: Bearer <service-account token>`")
        account = await self._account(token)
        role = self._roles.get(account)
        if role is None:
            raise Denied(f"{account} is not served by delegation; only Goldcrest's gateway and operator are")
        return Caller(role, account, holder)

    async def _account(self, token: str) -> str:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = self._clock()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        status = await self._reviews.review_token(token, DELEGATION_AUDIENCE)
        if status.get("authenticated") is not True or DELEGATION_AUDIENCE not in (status.get("audiences") or ()):
            raise Unauthenticated(f"the caller's token is not valid for the audience {DELEGATION_AUDIENCE}")
        account = str((status.get("user") or {}).get("username", ""))
        self._known[digest] = (now + CACHE_SECONDS, account)
        self._known.move_to_end(digest)
        if len(self._known) > _ENTRIES:
            self._known.popitem(last=False)
        return account
