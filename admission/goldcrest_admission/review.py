"""AdmissionReview in and out (admission.k8s.io/v1): parsed strictly, answered with a JSON patch (RFC 6902)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from goldcrest.creation import MADE_KINDS
from goldcrest.errors import GoldcrestError, InvalidInput, NotFound, QuotaExceeded, TooLarge, Unavailable
from goldcrest.wellknown import GROUP, Kind

API_VERSION: Final = "admission.k8s.io/v1"

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What the API server asks.

    Args:
        uid: id of the review, given back in the answer.
        operation: CREATE, UPDATE, DELETE or CONNECT.
        resource: plural and group, e.g. ``jobs.hpc.goldcrest.dev``.
        new: the object; for CREATE with ``generateName`` it has no name yet.
        old: the object before; empty on CREATE.
        dry_run: nothing will be stored; only the log is told.
    """

    uid: str
    operation: str
    resource: str
    kind: str
    namespace: str
    user_info: Raw
    new: Raw
    old: Raw
    dry_run: bool = False

    @property
    def made_kind(self) -> Kind:
        """The kind, as one that people make.

        Raises:
            InvalidInput: it is none; the webhook's configuration asks too much.
        """
        for kind in MADE_KINDS:
            if self.resource == f"{kind.plural}.{GROUP}":
                return kind
        told = ", ".join(f"{kind.plural}.{GROUP}" for kind in MADE_KINDS)
        raise InvalidInput(f"this webhook reviews {told}, not {self.resource}: correct its configuration")

    @property
    def username(self) -> str:
        return str(self.user_info["username"])

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(self.user_info.get("groups") or ())

    @property
    def spec(self) -> Raw:
        return mapping(self.new, "spec")

    @property
    def annotations(self) -> dict[str, str]:
        return annotations_of(self.new)

    @property
    def current(self) -> Raw:
        """The object, or as it was when it is being deleted."""
        return self.new or self.old

    @property
    def name(self) -> str:
        return str(mapping(self.current, "metadata").get("name") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The answer yes.

    Args:
        patch: changes to the object (RFC 6902).
        warnings: what kubectl shows beside it.
    """

    patch: Sequence[Raw] = ()
    warnings: Sequence[str] = ()


def parse_review(body: bytes) -> Review:
    """Read the body of a webhook call.

    Raises:
        InvalidInput: it is no AdmissionReview, or not of the form that the API server sends.
    """
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise InvalidInput("the body is not JSON") from error
    if not isinstance(value, dict) or value.get("apiVersion") != API_VERSION or value.get("kind") != "AdmissionReview":
        raise InvalidInput(f"the body is no AdmissionReview of {API_VERSION}")
    request = mapping(value, "request")
    user_info = mapping(request, "userInfo")
    groups = user_info.get("groups") or []
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise InvalidInput("userInfo.groups is not a list of text")
    kind, resource = mapping(request, "kind"), mapping(request, "resource")
    _text(user_info, "username")
    review = Review(
        uid=_text(request, "uid"),
        operation=_text(request, "operation"),
        resource=f"{_text(resource, 'resource')}.{_text(resource, 'group')}",
        kind=_text(kind, "kind"),
        namespace=_text(request, "namespace"),
        user_info=user_info,
        new=mapping(request, "object"),
        old=mapping(request, "oldObject"),
        dry_run=request.get("dryRun") is True,
    )
    for resource_object in (review.new, review.old):
        if resource_object:
            annotations_of(resource_object)
            finalizers_of(resource_object)
            mapping(resource_object, "spec")
    return review


def mapping(value: Mapping[str, Any], name: str) -> Raw:
    """An object in a field; none and null are empty.

    Raises:
        InvalidInput: it is something else.
    """
    content = value.get(name)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidInput(f"{name} is not an object")
    return content


def annotations_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """Annotations of a resource."""
    found = mapping(mapping(resource, "metadata"), "annotations")
    if not all(isinstance(value, str) for value in found.values()):
        raise InvalidInput("metadata.annotations has a value that is not text")
    return found


def finalizers_of(resource: Mapping[str, Any]) -> list[str]:
    """Finalizers of a resource."""
    found = mapping(resource, "metadata").get("finalizers") or []
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        raise InvalidInput("metadata.finalizers is not a list of text")
    return found


def _text(value: Mapping[str, Any], name: str) -> str:
    content = value.get(name)
    if not isinstance(content, str):
        raise InvalidInput(f"{name} is missing or not text")
    return content


def allowed(uid: str, admitted: Admitted) -> Raw:
    """The answer yes."""
    response: Raw = {"uid": uid, "allowed": True}
    if admitted.warnings:
        response["warnings"] = list(admitted.warnings)
    if admitted.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(list(admitted.patch))).decode()
    return _answer(response)


def refused(uid: str, error: GoldcrestError) -> Raw:
    """The answer no, with the sentence that kubectl prints."""
    match error:
        case InvalidInput() | NotFound():
            code, reason = 422, "Invalid"
        case TooLarge():
            code, reason = 413, "RequestEntityTooLarge"
        case QuotaExceeded():
            code, reason = 429, "TooManyRequests"
        case Unavailable():
            code, reason = 503, "ServiceUnavailable"
        case _:
            code, reason = 403, "Forbidden"
    status = {"code": code, "reason": reason, "message": error.message}
    return _answer({"uid": uid, "allowed": False, "status": status})


def _answer(response: Raw) -> Raw:
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}


def pointer(*parts: str) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
