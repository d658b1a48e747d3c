"""A changed Job: only some fields may change, and only by those who may manage the account (T7)."""

from __future__ import annotations

import time
from typing import Any, Final

from goldcrest.errors import Denied, InvalidInput
from goldcrest.grants import ACTION_GRANT_TYPE, Verifier
from goldcrest.wellknown import (
    ANNOTATION_ACTION_GRANT,
    ANNOTATION_BODY_SHA256,
    ANNOTATION_GRANT,
    ANNOTATION_PAUSED,
    ANNOTATION_STAMP,
    ANNOTATION_TRACEPARENT,
    FINALIZER,
    LABEL_DIALECT,
    LABEL_SHARD,
    MUTABLE_SPEC_FIELDS,
    Kind,
)
from goldcrest_admission.manager import Managers
from goldcrest_admission.requester import ADMINISTRATORS, GARBAGE_COLLECTORS, Accounts
from goldcrest_admission.review import Raw, Review, annotations_of, finalizers_of, mapping

FROZEN_ANNOTATIONS: Final = (ANNOTATION_GRANT, ANNOTATION_STAMP, ANNOTATION_TRACEPARENT, ANNOTATION_BODY_SHA256)
ADMINISTRATORS_LABELS: Final = (LABEL_DIALECT, LABEL_SHARD)  # once the Job is made

_ABSENT = object()
_WRITTEN_BY_API_SERVER = ("managedFields", "resourceVersion", "generation")


class UpdateReview:
    """Decides on changes of Jobs."""

    def __init__(self, *, accounts: Accounts, grants: Verifier, managers: Managers) -> None:
        self._accounts = accounts
        self._grants = grants
        self._managers = managers

    async def check(self, review: Review) -> None:
        """Whether this change may be made by this requester.

        Raises:
            Denied, InvalidInput, Unavailable: why not, as a sentence for people.
        """
        if review.username == self._accounts.gateway:
            _check_only_action_grant(review)
        self._check_annotations(review)
        self._check_finalizer(review)
        _check_labels(review)
        old, new = mapping(review.old, "spec"), review.spec
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name, _ABSENT) != new.get(name, _ABSENT))
        frozen = [name for name in changed if name not in MUTABLE_SPEC_FIELDS]
        if frozen:
            raise InvalidInput(
                f"spec.{frozen[0]}: field is immutable; only {', '.join(MUTABLE_SPEC_FIELDS)} may change. "
                "Make a new gjob instead"
            )
        if review.username == self._accounts.gateway:
            if changed:
                self._check_action_grant(review, changed)
        else:
            await self._check_manager(review, changed)

    def _check_annotations(self, review: Review) -> None:
        old, new = annotations_of(review.old), review.annotations
        for name in FROZEN_ANNOTATIONS:
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
        doings: dict[str, tuple[str, Raw]] = {
            f"job.{name}": (
                f"spec.{name} may not be changed",
                {"value": review.spec[name]} if name in review.spec else {},
            )
            for name in changed
        }
        if ADMINISTRATORS not in review.groups:
            old, new = annotations_of(review.old).get(ANNOTATION_PAUSED), review.annotations.get(ANNOTATION_PAUSED)
            if old != new:
                doings["job.paused"] = (f"annotation {ANNOTATION_PAUSED} may not be changed", {"value": new or ""})
            if _owners(review.old) != _owners(review.new) and review.username not in GARBAGE_COLLECTORS:
                # Its garbage is collected when the owner is gone, which would be a deletion that nobody reviews.
                doings["job.ownerReferences"] = ("metadata.ownerReferences may not be changed", {})
        if doings:
            await self._managers.check(review, doings)


def _check_labels(review: Review) -> None:
    old, new = mapping(mapping(review.old, "metadata"), "labels"), mapping(mapping(review.new, "metadata"), "labels")
    changed = [name for name in ADMINISTRATORS_LABELS if old.get(name) != new.get(name)]
    if changed and ADMINISTRATORS not in review.groups:
        raise Denied(f"label {changed[0]} is changed by administrators ({ADMINISTRATORS}) only")


def _owners(resource: Raw) -> object:
    return mapping(resource, "metadata").get("ownerReferences") or []


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
