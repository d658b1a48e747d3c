"""Grants: delegation's word that a REST caller may make this resource, or change one field of it (T6)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldcrest.canonical import canonical, sha256_hex
from goldcrest.creation import Spec, creation_question, made_kind, operation_of, parse_spec
from goldcrest.errors import Denied, GoldcrestError, InvalidInput, NotFound
from goldcrest.faults import NO_FAULTS, FaultPoints
from goldcrest.grants import ACTION_GRANT_TYPE, GRANT_SECONDS, GRANT_TYPE, SigningKey, grant_claims, spec_digest
from goldcrest.identity import Identity, TokenVerifier
from goldcrest.kube import Kube
from goldcrest.policy import Policy, Question, Trigger
from goldcrest.policy.systems import Systems
from goldcrest.telemetry import Trace
from goldcrest.tracing import SERVER, span
from goldcrest.wellknown import (
    MUTABLE_SPEC_FIELDS,
    OPA_ADMISSION,
    REST_NAME_PREFIX,
    STAMPED_SPEC_FIELDS,
    TASK_ID_PATTERN,
    Kind,
    namespace_of_user,
)
from goldcrest_delegation.audit import AuditLine, AuditLog
from goldcrest_delegation.blocking import Blocks
from goldcrest_delegation.callers import Caller, Role
from goldcrest_delegation.metrics import Metrics
from goldcrest_delegation.requests import NAMESPACE, RESOURCE_NAME, UID, matched, rest_route, text, trace_id
from goldcrest_delegation.standing import check_reach, subject_of

_TOKEN_CHARACTERS = 64 * 1024


@dataclass(slots=True)
class _Notes:
    """What is known for the audit line, whenever it ends."""

    requester: str = ""
    run_as: str = ""
    system: str = ""
    operation: str = ""
    digest: str = ""
    origin: str = ""
    namespace: str = ""
    name: str = ""
    decision: str = ""
    rule: str = ""
    break_glass: str = ""
    route: str = ""
    trace: str = ""
    exists: bool = False
    """Whether there is a System of that name."""


class Granter:
    """Makes grants and action grants for the gateway.

    Args:
        user_namespaces: namespaces of Unix users that have another than the usual one.
    """

    def __init__(
        self,
        *,
        key: SigningKey,
        tokens: TokenVerifier,
        systems: Systems,
        kube: Kube,
        blocks: Blocks,
        policy: Policy,
        audit: AuditLog,
        user_namespaces: Mapping[str, str],
        metrics: Metrics,
        faults: FaultPoints = NO_FAULTS,
    ) -> None:
        self._metrics = metrics
        self._faults = faults
        self._key = key
        self._tokens = tokens
        self._systems = systems
        self._kube = kube
        self._blocks = blocks
        self._policy = policy
        self._audit = audit
        self._user_namespaces = dict(user_namespaces)

    async def grant(self, caller: Caller, body: Mapping[str, Any]) -> str:
        """Answer ``POST /v1/grants``.

        Raises:
            Unauthenticated, Denied, InvalidInput, NotFound, Unavailable.
        """
        notes = _Notes(operation=_operation(body, "create"))
        with span("grant", _context(body), kind=SERVER):
            self._faults.point("before-grant", notes.operation)
            try:
                grant = await self._grant(caller, body, notes)
            except GoldcrestError as error:
                self._note("grant", caller, notes, error)
                raise
            self._note("grant", caller, notes, None)
            self._faults.point("after-grant", notes.operation)
        return grant

    def _note(self, event: str, caller: Caller, notes: _Notes, error: GoldcrestError | None) -> None:
        self._metrics.grant(system=notes.system if notes.exists else "", operation=notes.operation, error=error)
        try:
            self._audit.write([_line(event, caller, notes, error)])
        except GoldcrestError:
            self._metrics.audit_failed()
            raise

    async def _grant(self, caller: Caller, body: Mapping[str, Any], notes: _Notes) -> str:
        _check_caller(caller)
        notes.trace = trace_id(body)
        notes.namespace = matched(body, "namespace", NAMESPACE)
        notes.name = matched(body, "name", RESOURCE_NAME)
        kind = made_kind(text(body, "kind", most=32))
        spec = _spec(kind, body)
        notes.run_as, notes.system, notes.operation = spec.run_as, spec.system, operation_of(kind, spec)
        identity = await self._identity(body, notes)
        (await self._blocks.now()).check(requester=identity.username, user=spec.run_as)
        check_reach(identity, user=spec.run_as, system=spec.system)
        task_id = notes.name.removeprefix(REST_NAME_PREFIX)
        if not notes.name.startswith(REST_NAME_PREFIX) or not TASK_ID_PATTERN.fullmatch(task_id):
            raise InvalidInput(f"name {notes.name!r} must be {REST_NAME_PREFIX} and 32 hex digits")
        home = self._user_namespaces.get(spec.run_as) or namespace_of_user(spec.run_as)
        if notes.namespace != home:
            raise Denied(f"resources of {spec.run_as} are made in namespace {home}, not in {notes.namespace}")
        await self._systems.get(spec.system)
        notes.exists = True
        notes.digest = spec_digest(body["spec"])
        notes.origin = task_id
        route = notes.route = rest_route(body)
        subject = subject_of(identity, route=route)
        question = creation_question(kind, spec, subject=subject, namespace=notes.namespace, name=notes.name)
        await self._allowed(question, notes)
        claims = grant_claims(
            issuer=identity.issuer,
            subject=identity.subject,
            username=identity.username,
            run_as=spec.run_as,
            system=spec.system,
            kind=kind.value,
            namespace=notes.namespace,
            name=notes.name,
            spec=body["spec"],
            jti=task_id,
            policy_claims={**identity.policy_claims(), "route": route},
        )
        return self._key.sign(claims, type_=GRANT_TYPE)

    async def action_grant(self, caller: Caller, body: Mapping[str, Any]) -> str:
        """Answer ``POST /v1/action-grants``.

        Raises:
            Unauthenticated, Denied, InvalidInput, NotFound, Unavailable.
        """
        notes = _Notes(operation=_operation(body, "change"))
        with span("action grant", _context(body), kind=SERVER):
            self._faults.point("before-grant", notes.operation)
            try:
                grant = await self._action_grant(caller, body, notes)
            except GoldcrestError as error:
                self._note("action-grant", caller, notes, error)
                raise
            self._note("action-grant", caller, notes, None)
            self._faults.point("after-grant", notes.operation)
        return grant

    async def _action_grant(self, caller: Caller, body: Mapping[str, Any], notes: _Notes) -> str:
        _check_caller(caller)
        notes.trace = trace_id(body)
        notes.namespace = matched(body, "namespace", NAMESPACE)
        notes.name = matched(body, "name", RESOURCE_NAME)
        notes.origin = matched(body, "uid", UID)
        field = text(body, "field", most=64)
        kind = made_kind(text(body, "kind", most=32))
        if field not in MUTABLE_SPEC_FIELDS or "value" not in body:
            raise InvalidInput(f"field must be one of {', '.join(MUTABLE_SPEC_FIELDS)}, with a value")
        notes.operation = f"{kind.value.lower()}.{field}"
        identity = await self._identity(body, notes)
        raw = await self._kube.get(kind, notes.name, namespace=notes.namespace)
        present = raw.get("spec") or {}
        # To a caller who is not its user, a resource does not exist (T5).
        if raw["metadata"].get("uid") != notes.origin or present.get("runAs") != identity.username:
            raise NotFound(
                f"there is no {kind.short} {notes.namespace}/{notes.name} of {identity.username} with this uid"
            )
        changed = parse_spec(kind, {**present, field: body["value"]})
        notes.run_as, notes.system, notes.exists = changed.run_as, changed.system, True
        notes.route = rest_route(body)
        (await self._blocks.now()).check(requester=identity.username, user=changed.run_as)
        check_reach(identity, user=changed.run_as, system=changed.system)
        notes.digest = sha256_hex(canonical({"field": field, "value": body["value"]}))
        await self._allowed(
            Question(
                trigger=Trigger.REQUEST,
                subject=subject_of(identity, route=notes.route),
                system=changed.system,
                run_as=changed.run_as,
                operation=notes.operation,
                kind=kind.value,
                namespace=notes.namespace,
                name=notes.name,
                args={"value": body["value"]},
            ),
            notes,
        )
        issued = int(time.time())
        claims = {
            "iss": identity.issuer,
            "sub": identity.subject,
            "username": identity.username,
            "kind": kind.value,
            "namespace": notes.namespace,
            "name": notes.name,
            "uid": notes.origin,
            "field": field,
            "value": body["value"],
            "jti": secrets.token_hex(16),
            "iat": issued,
            "exp": issued + GRANT_SECONDS,
        }
        return self._key.sign(claims, type_=ACTION_GRANT_TYPE)

    async def _identity(self, body: Mapping[str, Any], notes: _Notes) -> Identity:
        identity = await self._tokens.verify(text(body, "token", most=_TOKEN_CHARACTERS))
        notes.requester = identity.username
        return identity

    async def _allowed(self, question: Question, notes: _Notes) -> None:
        decision = await self._policy.decide(OPA_ADMISSION, question)
        notes.decision, notes.rule, notes.break_glass = decision.id, decision.rule, decision.break_glass
        if not decision.allow:
            raise decision.refusal(question)


def _context(body: Mapping[str, Any]) -> Trace | None:
    given = body.get("trace")
    return Trace.parse(given) if isinstance(given, str) else None


def _check_caller(caller: Caller) -> None:
    if caller.role is not Role.GATEWAY:
        raise Denied("grants are made for the gateway only")


def _operation(body: Mapping[str, Any], verb: str) -> str:
    """For the audit line of a request that is refused before more is known."""
    return f"{Kind.TASK if body.get('kind') == Kind.TASK.value else Kind.JOB}.{verb}".lower()


def _spec(kind: Kind, body: Mapping[str, Any]) -> Spec:
    spec = body.get("spec")
    if not isinstance(spec, dict):
        raise InvalidInput("spec must be an object")
    stamped = [name for name in STAMPED_SPEC_FIELDS if name in spec]
    if stamped:
        raise InvalidInput(f"spec.{stamped[0]} is written by admission; leave it out")
    return parse_spec(kind, spec)


def _line(event: str, caller: Caller, notes: _Notes, error: GoldcrestError | None) -> AuditLine:
    return AuditLine(
        event="grant" if event == "grant" else "action-grant",
        outcome="refused" if error else "signed",
        caller=caller.account,
        requester=notes.requester,
        run_as=notes.run_as,
        system=notes.system,
        operation=notes.operation,
        digest=notes.digest,
        origin=notes.origin,
        namespace=notes.namespace,
        name=notes.name,
        decision=notes.decision,
        rule=notes.rule,
        break_glass=notes.break_glass,
        code=error.code if error else "",
        reason=error.message if error else "",
        route=notes.route,
        trace=notes.trace,
    )
