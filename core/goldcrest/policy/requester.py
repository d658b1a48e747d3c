"""Who asked for a resource, in the form of ``spec.requestedBy``: admission writes it, delegation compares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldcrest.errors import Denied, InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import RequestedBy
from goldcrest.policy.question import Subject
from goldcrest.wellknown import REST_NAME_PREFIX, TASK_ID_PATTERN, Via


def requester_of_grant(claims: Mapping[str, Any]) -> RequestedBy:
    """From the claims of a verified grant.

    Raises:
        Denied: the grant lacks a part.
    """
    subject = Subject.of_grant(claims)
    return RequestedBy(
        via=Via.GRANT,
        issuer=subject.issuer,
        subject=subject.subject,
        username=subject.username,
        groups=list(subject.groups),
    )


def requester_of_user(user_info: Mapping[str, Any]) -> RequestedBy:
    """From ``userInfo`` of an admission review.

    Raises:
        InvalidInput: more than 256 groups, or not in Kubernetes' form.
    """
    groups = user_info.get("groups") or []
    if isinstance(groups, list) and len(groups) > 256:
        raise InvalidInput(f"you are in {len(groups)} groups; Goldcrest keeps at most 256. Ask with fewer groups")
    return parse_model(
        RequestedBy,
        {
            "via": Via.KUBERNETES.value,
            "username": user_info.get("username"),
            "uid": user_info.get("uid") or None,
            "groups": groups,
        },
        what="userInfo",
    )


def check_grant_name(claims: Mapping[str, Any], name: str) -> None:
    """The grant's id is the task id in the resource's name: so the submission's token is known before it exists.

    Raises:
        Denied: it is another, or the name is not of this form.
    """
    task_id = name.removeprefix(REST_NAME_PREFIX)
    if not name.startswith(REST_NAME_PREFIX) or not TASK_ID_PATTERN.fullmatch(task_id):
        raise Denied(f"{name!r} is not the name of a resource made through REST (r- and 32 hex digits)")
    if claims.get("jti") != task_id:
        raise Denied("the grant's id is not the one in the resource's name")
