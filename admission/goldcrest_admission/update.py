"""A changed Job: only some fields may change, and only by those who may manage the account (T7)."""

from __future__ import annotations

import time
from typing import Any

from goldcrest.errors import Denied, InvalidInput
from goldcrest.grants import ACTION_GRANT_TYPE, Verifier
from goldcrest.policy import Policy, Question, Subject, Trigger
from goldcrest.policy.accounts import AccessReviews, review_account
from goldcrest.policy.requester import requester_of_user
from goldcrest.wellknown import (
    ANNOTATION_ACTION_GRANT,
    ANNOTATION_GRANT,
    ANNOTATION_STAMP,
    FINALIZER,
    MUTABLE_SPEC_FIELDS,
    OPA_ADMISSION,
    Kind,
)
from goldcrest_admission.requester import ADMINISTRATORS, Accounts
from goldcrest_admission.review import Raw, Review, annotations_of, finalizers_of, mapping

_ABSENT = object()
_WRITTEN_BY_API_SERVER = ("managedFields", "resourceVersion", "generation")


class UpdateReview:
    """Decides on changes of Jobs."""

    def __init__(self, *, accounts: Accounts, grants: Verifier, reviews: AccessReviews, policy: Policy) -> None:
        self._accounts = accounts
        self._grants = grants
        self._reviews = reviews
        self._policy = policy

    async def check(self, review: Review) -> None:
        """Whether this change may be made by this requester.

        Raises:
            Denied, InvalidInput, Unavailable: why not, as a sentence for people.
        """
        self._check_annotations(review)
        self._check_finalizer(review)
        if review.username == self._accounts.gateway:
            _check_only_action_grant(review)
        old, new = mapping(review.old, "spec"), review.spec
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name, _ABSENT) != new.get(name, _ABSENT))
        frozen = [name for name in changed if name not in MUTABLE_SPEC_FIELDS]
        if frozen:
            raise InvalidInput(
                f"spec.{frozen[0]}: field is immutable; only {', '.join(MUTABLE_SPEC_FIELDS)} may change. "
                "Make a new gjob instead"
            )
        if not changed:
            return
        if review.username == self._accounts.gateway:
            self._check_action_grant(review, changed)
        else:
            await self._check_manager(review, changed)

    def _check_annotations(self, review: Review) -> None:
        old, new = annotations_of(review.old), review.annotations
        for name in (ANNOTATION_GRANT, ANNOTATION_STAMP):
            if old.get(name) != new.get(name):
                raise Denied(f"annotation {name}: field is immutable")
        action = new.get(ANNOTATION_ACTION_GRANT)
        new_action = action is not None and action != old.get(ANNOTATION_ACTION_GRANT)
        if new_action and review.username != self._accounts.gateway:
            raise Denied(f"annotation {ANNOTATION_ACTION_GRANT} is the gateway's alone")

    def _check_finalizer(self, review: Review) -> None:
        removed = FINALIZER in finalizers_of(review.old) and FINALIZER not in finalizers_of(review.new)
        if removed and review.username != self._accounts.operator and ADMINISTRATORS not in review.groups:
            raise Denied(
                f"finalizer {FINALIZER} is removed by Goldcrest's operator once the job is cleaned up; "
                "an administrator (system:masters) may do so too"
            )

    def _check_action_grant(self, review: Review, changed: list[str]) -> None:
        grant = review.annotations.get(ANNOTATION_ACTION_GRANT)
        if grant is None:
            raise Denied("the gateway changes a field only with an action grant of delegation")
        if len(changed) > 1:
            raise Denied(f"an action grant is for one field; {', '.join(changed)} were changed")
        claims = self._grants.verify(grant, type_=ACTION_GRANT_TYPE)
        metadata = mapping(review.old, "metadata")
        expected: dict[str, Any] = {
            "kind": Kind.JOB.value,
            "namespace": review.namespace,
            "name": metadata.get("name"),
            "uid": metadata.get("uid"),
            "username": mapping(review.old, "spec").get("runAs"),
            "field": changed[0],
            "value": review.spec.get(changed[0]),
        }
        for claim, value in expected.items():
            given = claims.get(claim)
            if given != value or type(given) is not type(value):  # True equals 1 in Python
                raise Denied(f"the action grant is for another {claim}")
        expires = claims.get("exp")
        if not isinstance(expires, int) or time.time() > expires:
            raise Denied("the action grant has expired")

    async def _check_manager(self, review: Review, changed: list[str]) -> None:
        spec: Raw = mapping(review.old, "spec")
        system, user = str(spec.get("system")), str(spec.get("runAs"))
        requester = requester_of_user(review.user_info)
        wildcards = await review_account(
            self._reviews, requester, verb="manage", namespace=review.namespace, system=system, user=user
        )
        questions = [
            Question(
                trigger=Trigger.REQUEST,
                subject=Subject.of_kubernetes(requester),
                system=system,
                run_as=user,
                operation=f"job.{name}",
                kind=Kind.JOB.value,
                namespace=review.namespace,
                name=review.name,
                args={"value": review.spec[name]} if name in review.spec else {},
                wildcards=wildcards,
            )
            for name in changed
        ]
        for name, decision in zip(changed, await self._policy.decide_many(OPA_ADMISSION, questions), strict=True):
            if not decision.allow:
                raise Denied(f"spec.{name} may not be changed: {decision.reason}")


def _check_only_action_grant(review: Review) -> None:
    """Labels, annotations, owners and finalizers can stop, hide or delete a Job; the gateway needs none of them."""
    old, new = _settled(review.old), _settled(review.new)
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if changed:
        raise Denied(f"the gateway changes a field with an action grant, and nothing else: not metadata.{changed[0]}")


def _settled(resource: Raw) -> Raw:
    """Metadata without what the API server writes, and without the action grant; absent and empty are the same."""
    metadata = {k: v for k, v in mapping(resource, "metadata").items() if k not in _WRITTEN_BY_API_SERVER}
    annotations = {k: v for k, v in annotations_of(resource).items() if k != ANNOTATION_ACTION_GRANT}
    return {name: value for name, value in {**metadata, "annotations": annotations}.items() if value}
