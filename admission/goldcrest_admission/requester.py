"""Who asks for a new resource: the gateway with a grant, or a Kubernetes user (T7)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from goldcrest.errors import Denied
from goldcrest.grants import GRANT_TYPE, STAMP_TYPE, Verifier, check_grant, check_stamp
from goldcrest.models.job import RequestedBy
from goldcrest.policy.question import Subject
from goldcrest.policy.requester import check_grant_name, requester_of_grant, requester_of_user
from goldcrest.wellknown import (
    ANNOTATION_ACTION_GRANT,
    ANNOTATION_GRANT,
    ANNOTATION_STAMP,
    SERVICE_ACCOUNT_API,
    SERVICE_ACCOUNT_OPERATOR,
    Via,
    service_account_user,
)
from goldcrest_admission.review import Review

ADMINISTRATORS: Final = "system:masters"
# Kubernetes' own controllers. All of them have the second name where kube-controller-manager runs with one account only.
NAMESPACE_CONTROLLER: Final = "system:serviceaccount:kube-system:namespace-controller"
GARBAGE_COLLECTORS: Final = (
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Service accounts that admission knows."""

    gateway: str
    operator: str

    @classmethod
    def in_namespace(cls, namespace: str) -> Accounts:
        return cls(
            service_account_user(SERVICE_ACCOUNT_API, namespace),
            service_account_user(SERVICE_ACCOUNT_OPERATOR, namespace),
        )

    @property
    def deleting(self) -> frozenset[str]:
        """Who deletes on somebody else's word: when a TTL is over, with a namespace, with an owner."""
        return frozenset({self.operator, NAMESPACE_CONTROLLER, *GARBAGE_COLLECTORS})


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks: as written into the spec, and as policy sees it."""

    requested_by: RequestedBy
    subject: Subject

    @property
    def via_grant(self) -> bool:
        return self.requested_by.via is Via.GRANT


class Requesters:
    """Tells who asks for a new Job or Task.

    Args:
        grants: verifies delegation's grants.
        stamps: verifies our own stamps.
    """

    def __init__(self, *, accounts: Accounts, grants: Verifier, stamps: Verifier) -> None:
        self._accounts = accounts
        self._grants = grants
        self._stamps = stamps

    def of(self, review: Review) -> Requester:
        """Whom the review is from.

        Raises:
            Denied: an annotation that does not fit, or a spec.requestedBy of somebody else.
            InvalidInput: the request has not the form that is needed.
        """
        if ANNOTATION_ACTION_GRANT in review.annotations:
            raise Denied(f"annotation {ANNOTATION_ACTION_GRANT} is for changes, not for new resources; leave it out")
        requester = self._granted(review) if review.username == self._accounts.gateway else self._person(review)
        given = review.spec.get("requestedBy")
        if given is not None and given != requester.requested_by.dump():
            raise Denied(
                f"spec.requestedBy is written by admission: it would be {requester.requested_by.username} "
                f"via {requester.requested_by.via}. Leave it out"
            )
        return requester

    def _granted(self, review: Review) -> Requester:
        grant = review.annotations.get(ANNOTATION_GRANT)
        if grant is None:
            raise Denied("the gateway makes resources only with a grant of delegation")
        if ANNOTATION_STAMP in review.annotations:
            raise Denied(f"annotation {ANNOTATION_STAMP} is not for resources with a grant")
        claims = self._grants.verify(grant, type_=GRANT_TYPE)
        check_grant(claims, kind=review.made_kind.value, resource=_in_namespace(review), created=time.time())
        check_grant_name(claims, review.name)
        return Requester(requester_of_grant(claims), Subject.of_grant(claims))

    def _person(self, review: Review) -> Requester:
        if ANNOTATION_GRANT in review.annotations:
            raise Denied(
                f"annotation {ANNOTATION_GRANT} is the gateway's alone; remove it to make a resource of your own"
            )
        requested_by = requester_of_user(review.user_info)
        stamp = review.annotations.get(ANNOTATION_STAMP)
        if stamp is not None:
            # Called again after another webhook, or a copied manifest: our word about the same person is renewed.
            claims = self._stamps.verify(stamp, type_=STAMP_TYPE)
            if claims.get("requestedBy") != requested_by.dump() or claims.get("namespace") != review.namespace:
                raise Denied(f"annotation {ANNOTATION_STAMP} is of another resource; remove it")
        return Requester(requested_by, Subject.of_kubernetes(requested_by))

    def check_result(self, review: Review) -> None:
        """After all changes: requestedBy is there, and the grant or stamp fits the spec as it will be stored.

        Raises:
            Denied: naming what does not fit.
        """
        requester = self.of(review)
        if review.spec.get("requestedBy") is None:
            raise Denied(
                "spec.requestedBy is missing: the mutating webhook of Goldcrest did not run; tell an administrator"
            )
        if requester.via_grant:
            return
        stamp = review.annotations.get(ANNOTATION_STAMP)
        if stamp is None:
            raise Denied("the stamp is missing: the mutating webhook of Goldcrest did not run; tell an administrator")
        claims = self._stamps.verify(stamp, type_=STAMP_TYPE)
        check_stamp(claims, kind=review.made_kind.value, resource=_in_namespace(review))


def _in_namespace(review: Review) -> dict[str, object]:
    """The object with its namespace, which a client may leave to the URL."""
    metadata = {**review.new.get("metadata", {}), "namespace": review.namespace}
    return {**review.new, "metadata": metadata, "spec": review.spec}
