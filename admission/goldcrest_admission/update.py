"""A changed Job or Task: only some fields may change, and only by those who may manage the account (T7)."""

from __future__ import annotations

import re
import time
from typing import Any, Final

from goldcrest.creation import mutable_fields
from goldcrest.errors import Denied, InvalidInput
from goldcrest.grants import ACTION_GRANT_TYPE, Verifier
from goldcrest.wellknown import (
    ANNOTATION_ACTION_GRANT,
    ANNOTATION_BODY_SHA256,
    ANNOTATION_GRANT,
    ANNOTATION_PAUSED,
    ANNOTATION_READ_AT,
    ANNOTATION_STAMP,
    ANNOTATION_TRACEPARENT,
    FINALIZER,
    LABEL_DIALECT,
    LABEL_SHARD,
    Kind,
)
from goldcrest_admission.manager import Managers
from goldcrest_admission.requester import ADMINISTRATORS, GARBAGE_COLLECTORS, Accounts
from goldcrest_admission.review import Raw, Review, annotations_of, finalizers_of, mapping

FROZEN_ANNOTATIONS: Final = (ANNOTATION_GRANT, ANNOTATION_STAMP, ANNOTATION_TRACEPARENT, ANNOTATION_BODY_SHA256)
ADMINISTRATORS_LABELS: Final = (LABEL_DIALECT, LABEL_SHARD)  # once the Job is made

TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

_ABSENT = object()
_GATEWAYS_ANNOTATIONS: Final = (ANNOTATION_ACTION_GRANT, ANNOTATION_READ_AT)
_WRITTEN_BY_API_SERVER = ("managedFields", "resourceVersion", "generation")


class UpdateReview:
    """Decides on changes of Jobs and Tasks."""

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
            _check_only_its_annotations(review)
        self._check_annotations(review)
        self._check_finalizer(review)
        _check_labels(review)
        old, new = mapping(review.old, "spec"), review.spec
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name, _ABSENT) != new.get(name, _ABSENT))
        mutable = mutable_fields(review.made_kind)
        frozen = [name for name in changed if name not in mutable]
        if frozen:
            raise InvalidInput(
                f"spec.{frozen[0]}: field is immutable; only {', '.join(mutable)} may change. "
                f"Make a new {review.made_kind.short} instead"
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
        if old.get(ANNOTATION_READ_AT) != new.get(ANNOTATION_READ_AT) and review.username != self._accounts.gateway:
            raise Denied(f"annotation {ANNOTATION_READ_AT} is the gateway's alone")

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
            "kind": review.made_kind.value,
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
        kind = review.made_kind.value.lower()
        doings: dict[str, tuple[str, Raw]] = {
            f"{kind}.{name}": (
                f"spec.{name} may not be changed",
                {"value": review.spec[name]} if name in review.spec else {},
            )
            for name in changed
        }
        if ADMINISTRATORS not in review.groups:
            old, new = annotations_of(review.old).get(ANNOTATION_PAUSED), review.annotations.get(ANNOTATION_PAUSED)
            if old != new:
                doings[f"{kind}.paused"] = (f"annotation {ANNOTATION_PAUSED} may not be changed", {"value": new or ""})
            if _owners(review.old) != _owners(review.new) and review.username not in GARBAGE_COLLECTORS:
                # Its garbage is collected when the owner is gone, which would be a deletion that nobody reviews.
                doings[f"{kind}.ownerReferences"] = ("metadata.ownerReferences may not be changed", {})
        if doings:
            await self._managers.check(review, doings)


def _check_labels(review: Review) -> None:
    old, new = mapping(mapping(review.old, "metadata"), "labels"), mapping(mapping(review.new, "metadata"), "labels")
    changed = [name for name in ADMINISTRATORS_LABELS if old.get(name) != new.get(name)]
    if changed and ADMINISTRATORS not in review.groups:
        raise Denied(f"label {changed[0]} is changed by administrators ({ADMINISTRATORS}) only")


def _owners(resource: Raw) -> object:
    return mapping(resource, "metadata").get("ownerReferences") or []


def _check_only_its_annotations(review: Review) -> None:
    """Labels, annotations, owners and finalizers can stop, hide or delete a Job; the gateway needs none of them, but to note that a
    Task's result was read.
    """
    _check_read_at(review)
    old, new = _settled(review.old), _settled(review.new)
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if changed:
        raise Denied(f"the gateway changes a field with an action grant, and nothing else: not metadata.{changed[0]}")


def _check_read_at(review: Review) -> None:
    """Written once, and only of a query that has ended: it goes sooner for it, and nothing else follows."""
    before, after = annotations_of(review.old).get(ANNOTATION_READ_AT), review.annotations.get(ANNOTATION_READ_AT)
    if before == after:
        return
    if review.made_kind is not Kind.TASK or before is not None or after is None or not TIME.fullmatch(after):
        raise Denied(f"the gateway writes annotation {ANNOTATION_READ_AT} of a Task once, with a time")


def _settled(resource: Raw) -> Raw:
    """Metadata without what the API server writes, and without the action grant; absent and empty are the same."""
    metadata = {k: v for k, v in mapping(resource, "metadata").items() if k not in _WRITTEN_BY_API_SERVER}
    annotations = {k: v for k, v in annotations_of(resource).items() if k not in _GATEWAYS_ANNOTATIONS}
    return {name: value for name, value in {**metadata, "annotations": annotations}.items() if value}
