"""A new Job or Task: who asks, may they, does it make sense; then it is stamped (T7)."""

from __future__ import annotations

import secrets
import time
from typing import Any

from goldcrest.canonical import sha256_hex
from goldcrest.creation import FINALIZED_KINDS, creation_question, parse_spec
from goldcrest.errors import Denied
from goldcrest.grants import STAMP_TYPE, SigningKey, spec_digest
from goldcrest.models.job import JobSpec
from goldcrest.models.task import TaskSpec
from goldcrest.policy import Policy
from goldcrest.policy.accounts import AccessReviews, review_account
from goldcrest.policy.question import script_content
from goldcrest.policy.systems import Systems
from goldcrest.telemetry import Trace, current_trace
from goldcrest.wellknown import (
    ANNOTATION_STAMP,
    ANNOTATION_TRACEPARENT,
    FINALIZER,
    OPA_ADMISSION,
    Via,
    is_rest_name,
)
from goldcrest_admission.advice import advice_on_creation, advice_on_task
from goldcrest_admission.quota import TaskQuota
from goldcrest_admission.requester import Requester, Requesters
from goldcrest_admission.review import Admitted, Raw, Review, finalizers_of, mapping, pointer
from goldcrest_admission.scripts import Scripts


class CreateReview:
    """Decides on new Jobs and Tasks."""

    def __init__(
        self,
        *,
        requesters: Requesters,
        key: SigningKey,
        systems: Systems,
        reviews: AccessReviews,
        scripts: Scripts,
        policy: Policy,
        quota: TaskQuota,
    ) -> None:
        self._requesters = requesters
        self._scripts = scripts
        self._key = key
        self._systems = systems
        self._reviews = reviews
        self._policy = policy
        self._quota = quota

    async def mutate(self, review: Review) -> Admitted:
        """The changes that make the resource complete (requestedBy, stamp, finalizer), and what its requester should know.

        Raises:
            Denied, InvalidInput, NotFound, Unavailable: why it is refused, as a sentence for people.
        """
        requester = self._requesters.of(review)
        _check_name(review, via=requester.requested_by.via)
        kind = review.made_kind
        spec = parse_spec(kind, review.spec)
        config_map: bytes | None = None
        if not isinstance(spec, TaskSpec):
            config_map = await self._scripts.of(spec, requester, namespace=review.namespace)
            _check_script(spec, script_content(spec, config_map))
        await self._systems.get(spec.system)
        wildcards: tuple[str, ...] = ()
        if not requester.via_grant:
            wildcards = await review_account(
                self._reviews,
                requester.requested_by,
                verb="use",
                namespace=review.namespace,
                system=spec.system,
                user=spec.run_as,
            )
        question = creation_question(
            kind,
            spec,
            config_map=config_map,
            subject=requester.subject,
            namespace=review.namespace,
            name=review.name,
            wildcards=wildcards,
        )
        decision = await self._policy.decide(OPA_ADMISSION, question)
        if not decision.allow:
            raise decision.refusal(question)
        if isinstance(spec, TaskSpec):
            await self._quota.check(namespace=review.namespace, user=spec.run_as)
            return Admitted(patch=self._patch(review, requester), warnings=advice_on_task(spec))
        digest = sha256_hex(config_map) if config_map is not None else None
        patch = self._patch(review, requester, script_sha256=digest)
        return Admitted(patch=patch, warnings=advice_on_creation(spec, config_map))

    def validate(self, review: Review) -> None:
        """The resource as it will be stored is what was stamped or granted.

        Raises:
            Denied, InvalidInput.
        """
        self._requesters.check_result(review)
        _check_name(review, via=review.spec["requestedBy"]["via"])
        spec = parse_spec(review.made_kind, review.spec)
        if not isinstance(spec, TaskSpec):
            _check_stored_script(spec)
        if review.made_kind in FINALIZED_KINDS and FINALIZER not in finalizers_of(review.new):
            raise Denied(f"finalizer {FINALIZER} is missing: the mutating webhook of Goldcrest did not run")

    def _patch(self, review: Review, requester: Requester, *, script_sha256: str | None = None) -> list[Raw]:
        requested_by = requester.requested_by.dump()
        patch: list[Raw] = [{"op": "add", "path": pointer("spec", "requestedBy"), "value": requested_by}]
        if script_sha256 is not None:
            patch.append({"op": "add", "path": pointer("spec", "scriptSha256"), "value": script_sha256})
        if not requester.via_grant:
            if not mapping(mapping(review.new, "metadata"), "annotations"):
                patch.append({"op": "add", "path": pointer("metadata", "annotations"), "value": {}})
            added = {ANNOTATION_STAMP: self._stamp(review, requested_by, script_sha256)}
            if Trace.parse(review.annotations.get(ANNOTATION_TRACEPARENT)) is None:
                # kubectl brings no trace: it begins with this review.
                added[ANNOTATION_TRACEPARENT] = (current_trace.get() or Trace.new()).header
            patch += [
                {"op": "add", "path": pointer("metadata", "annotations", name), "value": value}
                for name, value in added.items()
            ]
        elif mapping(review.new, "metadata").get("managedFields"):
            # Nobody applies it again from a file: without this record of who set what the API server needs not keep it with each write
            # of a status, and whoever watches need not read it.
            patch.append({"op": "remove", "path": pointer("metadata", "managedFields")})
        present = finalizers_of(review.new)
        if review.made_kind in FINALIZED_KINDS and FINALIZER not in present:
            patch.append({"op": "add", "path": pointer("metadata", "finalizers"), "value": [*present, FINALIZER]})
        return patch

    def _stamp(self, review: Review, requested_by: dict[str, Any], script_sha256: str | None) -> str:
        """There is no name yet with ``generateName``: the stamp is over kind, namespace, spec and person then."""
        claims = {
            "kind": review.made_kind.value,
            "namespace": review.namespace,
            "name": review.name,
            "specSha256": spec_digest(review.spec),
            "requestedBy": requested_by,
            **({"scriptSha256": script_sha256} if script_sha256 is not None else {}),
            "nonce": secrets.token_hex(16),
            "iat": int(time.time()),
        }
        return self._key.sign(claims, type_=STAMP_TYPE)


def _check_name(review: Review, *, via: str) -> None:
    if via != Via.GRANT and is_rest_name(review.name):
        raise Denied(
            f"metadata.name {review.name} has the form of resources made through REST, whose task it would seem to be; "
            "choose another"
        )


def _check_stored_script(spec: JobSpec) -> None:
    if spec.script.config_map is None:
        _check_script(spec, script_content(spec))
    elif spec.script_sha256 is None:  # that it is the stamped one was seen with the stamp
        raise Denied("spec.scriptSha256 is missing: the mutating webhook of Goldcrest did not run")


def _check_script(spec: JobSpec, content: bytes | None) -> None:
    digest = spec.script.sha256 if content is None else sha256_hex(content)
    for name, given in (("script.sha256", spec.script.sha256), ("scriptSha256", spec.script_sha256)):
        if given is not None and given != digest:
            raise Denied(f"spec.{name} is not the SHA-256 of the script; leave it out or correct it")
