"""What OPA is asked: typed here, and never with tokens, script text, values of variables or URLs (T11)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from goldcrest.canonical import sha256_hex
from goldcrest.errors import Denied, InvalidInput
from goldcrest.models.job import JobSpec, RequestedBy
from goldcrest.sbatch import effective, resources


class Trigger(StrEnum):
    """Why it is asked."""

    REQUEST = "request"
    CLEANUP = "cleanup"  # what a deleted resource leaves behind is cancelled: present rights do not count (T8)
    CONTAINMENT = "containment"  # a blocked user's jobs are kept from starting, or ended (docs/decisions/0009)
    OBSERVE = "observe"  # a read-only query of a System's observer, without a user


class Door(StrEnum):
    """How the subject is known."""

    TOKEN = "Token"  # noqa: S105 - a JWT that was verified just now
    GRANT = "Grant"  # a JWT that was verified when the resource was made
    KUBERNETES = "Kubernetes"
    OBSERVER = "Observer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks.

    Args:
        asked_at: epoch seconds at which the token was shown; 0 for who has none.
        route: REST route that the token was shown for, as the gateway says (``GET /utilities/view``); empty when it is not known.
    """

    via: Door
    username: str
    issuer: str = ""
    subject: str = ""
    groups: Sequence[str] = ()
    scopes: Sequence[str] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    asked_at: int = 0
    route: str = ""

    @classmethod
    def of_grant(cls, claims: Mapping[str, Any]) -> Subject:
        """The subject that a verified grant names.

        Raises:
            Denied: the grant lacks a part.
        """
        kept = claims.get("claims")
        try:
            if not isinstance(kept, Mapping):
                raise TypeError
            return cls(
                via=Door.GRANT,
                username=str(claims["username"]),
                issuer=str(claims["iss"]),
                subject=str(claims["sub"]),
                groups=tuple(map(str, kept.get("groups", ()))),
                scopes=tuple(map(str, kept.get("scopes", ()))),
                claims=dict(kept.get("token", {})),
                asked_at=int(claims["iat"]),
                route=str(kept.get("route", "")),  # grants of older releases have none
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Denied("the grant does not say whom it is for") from error

    @classmethod
    def of_kubernetes(cls, requested_by: RequestedBy) -> Subject:
        return cls(via=Door.KUBERNETES, username=requested_by.username, groups=requested_by.groups)

    @classmethod
    def observer(cls, user: str) -> Subject:
        return cls(via=Door.OBSERVER, username=user)

    def dump(self) -> dict[str, Any]:
        return {
            "via": self.via.value,
            "username": self.username,
            "issuer": self.issuer,
            "subject": self.subject,
            "groups": list(self.groups),
            "scopes": list(self.scopes),
            "claims": dict(self.claims),
            "askedAt": self.asked_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question to OPA.

    Args:
        operation: of a command (``slurm.submit``), ``session``, or of a resource (``job.create``, ``job.cancel``).
        args: typed arguments of the command, as they are signed.
        payload: digest and size of the command's payload, or the most bytes of one that is sent on as it comes (``stream``).
        fields: effective fields of the resource, see :func:`asked_by`.
        resources: what they ask for at most, see :func:`goldcrest.sbatch.resources`.
        wildcards: subjects of the account reviews that hold a wildcard (T7); policy denies unless it lists them.
    """

    trigger: Trigger
    subject: Subject
    system: str
    run_as: str
    operation: str
    kind: str = ""
    namespace: str = ""
    name: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, int] = field(default_factory=dict)
    wildcards: Sequence[str] = ()

    def dump(self) -> dict[str, Any]:
        return {
            "trigger": self.trigger.value,
            "subject": self.subject.dump(),
            "route": self.subject.route,
            "system": self.system,
            "runAs": self.run_as,
            "operation": self.operation,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "args": dict(self.args),
            "payload": dict(self.payload),
            "fields": dict(self.fields),
            "resources": dict(self.resources),
            "wildcards": list(self.wildcards),
        }


_NOT_SHOWN = {"script", "scriptSha256", "environment", "requestedBy", "system", "runAs", "schedulerOptions"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a Job asks of the scheduler, as policy sees it."""

    fields: Mapping[str, Any]
    resources: Mapping[str, int]


def asked_by(spec: JobSpec, config_map: bytes | None = None) -> Asked:
    """The fields of a Job as policy sees them: digests instead of the script, names instead of variables.

    Options of the scheduler are the effective ones (T9), wherever they were said: in a field, in ``schedulerOptions`` or in
    a line of the script.

    Args:
        config_map: what the ConfigMap holds that the spec names as its script.

    Raises:
        InvalidInput: a script or an option that is refused.
    """
    content = script_content(spec, config_map)
    asked = effective(spec, content)
    fields = {name: value for name, value in spec.dump().items() if name not in _NOT_SHOWN}
    fields |= asked.options.dump()
    if asked.work_directory is not None:
        fields["workingDirectory"] = asked.work_directory
    fields["environment"] = sorted(spec.environment)
    if content is not None:
        fields["script"] = {"sha256": sha256_hex(content), "size": len(content)}
    else:
        fields["script"] = {"path": spec.script.path, "sha256": spec.script.sha256}
    return Asked(fields, resources(asked.options))


def script_content(spec: JobSpec, config_map: bytes | None = None) -> bytes | None:
    """Bytes of a script that the spec holds, or that were read for it; None when it names a file on the system.

    Raises:
        InvalidInput: not exactly one form, no base64, nothing in it, a file without digest, or a ConfigMap that nobody read.
    """
    script = spec.script
    forms = {"inline": script.inline, "base64": script.base64, "configMap": script.config_map, "path": script.path}
    given = [name for name, value in forms.items() if value is not None]
    if len(given) != 1:
        told = " and ".join(given) or "none"
        raise InvalidInput(f"spec.script needs exactly one of inline, base64, configMap and path; {told} was given")
    if script.path is not None:
        if script.sha256 is None:
            raise InvalidInput("spec.script.path needs spec.script.sha256, the SHA-256 of that file")
        return None
    if script.config_map is not None:
        if config_map is None:
            raise InvalidInput("spec.script.configMap is for gjobs that are made through the Kubernetes API")
        content = config_map
    elif script.base64 is not None:
        try:
            content = base64.b64decode(script.base64, validate=True)
        except binascii.Error as error:
            raise InvalidInput(f"spec.script.base64 is not base64: {error}") from error
    else:
        content = (script.inline or "").encode()
    if not content.strip():
        raise InvalidInput("spec.script is empty: write the commands of the job, beginning with #!/bin/bash")
    return content
