"""What callers send, read field by field: no model classes on the signing path, which is measured in microseconds."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import goldcrest.commands  # noqa: F401 - registers all operations
from goldcrest.canonical import Json
from goldcrest.commands.base import SHA256, Command, Payload, command_from, session_body
from goldcrest.errors import InvalidInput
from goldcrest.telemetry import Trace
from goldcrest.wellknown import Kind
from goldcrest_delegation.certificate import ED25519_KEY_BYTES

BATCH_LIMIT: Final = 64  # requests in one call

# These become parts of URLs and of principals: nothing but what Kubernetes and Unix allow.
SYSTEM_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
NAMESPACE: Final = SYSTEM_NAME
RESOURCE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
UNIX_USER: Final = re.compile(r"[a-z_][a-z0-9_.-]{0,30}[a-z0-9_.$-]?")
UID: Final = re.compile(r"[0-9a-f-]{1,64}")
SID: Final = re.compile(r"[0-9a-f]{32}")
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_ROUTE: Final = re.compile(r"[A-Z]{3,7} /[A-Za-z0-9_.~{}/-]{0,255}")
_MOST_BYTES: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class ResourceReference:
    """A resource that the operator acts for; ``namespace`` is empty for a System."""

    kind: Kind
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRequest:
    """One request for a certificate. ``command`` is None for one that opens a session; one of token and resource is set.

    ``route`` goes with a token, and is empty when it is not known.
    """

    public_key: bytes
    system: str
    user: str
    command: Command | None
    sid: str
    trace: str
    token: str | None
    route: str
    resource: ResourceReference | None
    context: Trace | None = None
    """The caller's span, when it names one: for our own spans."""

    @property
    def operation(self) -> str:
        return self.command.op if self.command is not None else "session"

    def body(self) -> dict[str, Json]:
        """What is signed (T2)."""
        if self.command is None:
            return session_body(system=self.system, user=self.user)
        return self.command.body(system=self.system, user=self.user, sid=self.sid)


def certificate_request(value: object) -> CertificateRequest:
    """Read one request of a batch.

    Raises:
        InvalidInput: naming the field.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput("a request must be an object")
    system = matched(value, "system", SYSTEM_NAME)
    kind = text(value, "kind", most=16)
    token = text(value, "token", most=64 * 1024) if "token" in value else None
    resource = _resource(value["resource"]) if "resource" in value else None
    if (token is None) == (resource is None):
        raise InvalidInput("a request needs exactly one of token and resource")
    if resource is not None and "route" in value:
        raise InvalidInput("route goes with a token, not with a resource")
    trace, context = _trace(value)
    return CertificateRequest(
        public_key=_public_key(value),
        system=system,
        user=matched(value, "user", UNIX_USER),
        command=_command(value, kind),
        sid=matched(value, "sid", SID) if kind == "command" else "",
        trace=trace,
        context=context,
        token=token,
        route=rest_route(value) if resource is None else "",
        resource=resource,
    )


def _command(value: Mapping[str, Any], kind: str) -> Command | None:
    op, args, payload = text(value, "op", most=64), value.get("args"), value.get("payload")
    if not isinstance(args, Mapping) or not isinstance(payload, Mapping):
        raise InvalidInput("args and payload must be objects")
    if kind == "session":
        if op != "session" or args or payload or "sid" in value:
            raise InvalidInput("a session has op session, and neither args, payload nor sid")
        return None
    if kind != "command":
        raise InvalidInput(f"kind {kind!r} is neither command nor session")
    return command_from(op, args, _payload(payload))


def _payload(value: Mapping[str, Any]) -> Payload | None:
    if not value:
        return None
    if set(value) == {"stream"} and type(value["stream"]) is int and 0 <= value["stream"] <= _MOST_BYTES:
        return Payload.streamed(value["stream"])
    sha256, size = value.get("sha256"), value.get("size")
    if (
        set(value) != {"sha256", "size"}
        or not isinstance(sha256, str)
        or not SHA256.fullmatch(sha256)
        or type(size) is not int
        or not 0 <= size <= _MOST_BYTES
    ):
        raise InvalidInput("payload needs sha256 (64 hex digits) and size (bytes), or stream (bytes), and nothing else")
    return Payload(sha256, size)


def _resource(value: object) -> ResourceReference:
    if not isinstance(value, Mapping) or not set(value) <= {"kind", "namespace", "name", "uid"}:
        raise InvalidInput("resource needs kind, namespace, name and uid")
    kind = text(value, "kind", most=32)
    if kind not in (Kind.JOB.value, Kind.TASK.value, Kind.SYSTEM.value):
        raise InvalidInput(f"kind {kind!r} of the resource is not known")
    return ResourceReference(
        Kind(kind),
        matched(value, "namespace", NAMESPACE) if kind != Kind.SYSTEM.value else "",
        matched(value, "name", RESOURCE_NAME),
        matched(value, "uid", UID),
    )


def _public_key(value: Mapping[str, Any]) -> bytes:
    try:
        key = base64.b64decode(text(value, "publicKey", most=1024), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("publicKey is not base64") from error
    if len(key) != ED25519_KEY_BYTES:
        raise InvalidInput(f"publicKey must be the {ED25519_KEY_BYTES} raw bytes of an Ed25519 key")
    return key


def trace_id(value: Mapping[str, Any]) -> str:
    """32 hex digits, given alone or as a whole ``traceparent``."""
    return _trace(value)[0]


def _trace(value: Mapping[str, Any]) -> tuple[str, Trace | None]:
    """The id, and the caller's span where it names one."""
    given = text(value, "trace", most=64)
    if _TRACE_ID.fullmatch(given):
        return given, None
    trace = Trace.parse(given)
    if trace is None:
        raise InvalidInput("trace is not the id of a W3C trace (32 hex digits)")
    return trace.trace_id, trace


def rest_route(value: Mapping[str, Any]) -> str:
    """The REST route that the gateway names, e.g. ``DELETE /compute/jobs/{jobid}``; empty when it names none."""
    if value.get("route", "") == "":
        return ""
    return matched(value, "route", _ROUTE)


def text(value: Mapping[str, Any], name: str, *, most: int) -> str:
    """A field that must be text of at most ``most`` characters."""
    content = value.get(name)
    if not isinstance(content, str) or len(content) > most:
        raise InvalidInput(f"{name} must be text of at most {most} characters")
    return content


def matched(value: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    """A field that must have a certain form."""
    content = text(value, name, most=512)
    if not pattern.fullmatch(content):
        raise InvalidInput(f"{name} {content[:64]!r} is not of the form that is needed")
    return content
