"""Who may act as which Unix user, by plain RBAC on ``hpcaccounts`` (T7): two reviews, and a canary for wildcards."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

from goldcrest.errors import Denied
from goldcrest.models.job import RequestedBy
from goldcrest.wellknown import ACCOUNTS_RESOURCE, GROUP, WILDCARD_CANARY

Verb = Literal["use", "manage"]


class AccessReviews(Protocol):
    """What is needed of :class:`goldcrest.kube.Kube`."""

    async def review_access(
        self,
        *,
        user: str,
        groups: list[str],
        uid: str | None,
        verb: Verb,
        resource: str,
        name: str,
        namespace: str | None,
    ) -> bool: ...


def namespace_subject(namespace: str) -> str:
    """The user that stands for a namespace; only a cluster administrator binds rights to it."""
    return f"goldcrest:namespace:{namespace}"


async def review_account(
    reviews: AccessReviews, requester: RequestedBy, *, verb: Verb, namespace: str, system: str, user: str
) -> tuple[str, ...]:
    """Whether ``requester`` may act as ``user`` on ``system`` from ``namespace``.

    Returns:
        Those of the two subjects that hold a wildcard, which means that nobody gave them this very account. Policy denies
        them unless it lists them.

    Raises:
        Denied: with the missing right and how to get it.
        KubernetesUnavailable: the reviews could not be made.
    """
    account = f"{system}:{user}"
    itself = namespace_subject(namespace)

    async def person(name: str) -> bool:
        return await reviews.review_access(
            user=requester.username,
            groups=list(requester.groups),
            uid=requester.uid,
            verb=verb,
            resource=ACCOUNTS_RESOURCE,
            name=name,
            namespace=namespace,
        )

    async def place(name: str) -> bool:
        return await reviews.review_access(
            user=itself, groups=[], uid=None, verb=verb, resource=ACCOUNTS_RESOURCE, name=name, namespace=None
        )

    person_may, place_may, person_wildcard, place_wildcard = await asyncio.gather(
        person(account), place(account), person(WILDCARD_CANARY), place(WILDCARD_CANARY)
    )
    resource = f"{ACCOUNTS_RESOURCE}.{GROUP} {account!r}"
    if not person_may:
        raise Denied(
            f"{requester.username} may not {verb} {resource} in namespace {namespace}: "
            f"ask for a Role with the verb {verb} on it there"
        )
    if not place_may:
        raise Denied(
            f"namespace {namespace} may not {verb} {resource}: "
            f"a cluster administrator must bind a ClusterRole with the verb {verb} on it to the user {itself}"
        )
    return tuple(
        subject for subject, holds in ((requester.username, person_wildcard), (itself, place_wildcard)) if holds
    )
