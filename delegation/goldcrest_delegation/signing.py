"""Batches of requests for certificates: evidence, one call to policy, signatures, one write to the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldcrest.blocked import BlockList
from goldcrest.canonical import canonical, sha256_hex
from goldcrest.errors import Blocked, Denied, GoldcrestError, InvalidInput, Unauthenticated
from goldcrest.faults import NO_FAULTS, FaultPoints
from goldcrest.policy import Decision, Policy, Question, Trigger
from goldcrest.telemetry import Trace, current_trace
from goldcrest.tracing import SERVER, now, record, recording
from goldcrest.wellknown import OPA_SIGNING
from goldcrest_delegation.audit import AuditLine, AuditLog
from goldcrest_delegation.blocking import Blocks
from goldcrest_delegation.ca import Certificate, CertificateAuthority, Draft, certificate_key_id
from goldcrest_delegation.callers import Caller, Role
from goldcrest_delegation.evidence import ResourceEvidence, TokenEvidence
from goldcrest_delegation.metrics import Metrics
from goldcrest_delegation.requests import BATCH_LIMIT, CertificateRequest, ResourceReference, certificate_request
from goldcrest_delegation.standing import Standing, question_of

Result = Certificate | GoldcrestError


@dataclass(slots=True)
class _Item:
    """One request on its way through the steps; ``error`` ends it."""

    request: CertificateRequest | None = None
    standing: Standing | None = None
    question: Question | None = None
    decision: Decision | None = None
    draft: Draft | None = None
    certificate: Certificate | None = None
    error: GoldcrestError | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether policy said yes, and nothing else says no."""
        return self.error is None and self.decision is not None and self.decision.allow


class Signer:
    """Decides on requests for certificates, and signs."""

    def __init__(
        self,
        *,
        authority: CertificateAuthority,
        tokens: TokenEvidence,
        resources: ResourceEvidence,
        blocks: Blocks,
        policy: Policy,
        audit: AuditLog,
        metrics: Metrics,
        faults: FaultPoints = NO_FAULTS,
    ) -> None:
        self._metrics = metrics
        self._faults = faults
        self._authority = authority
        self._tokens = tokens
        self._resources = resources
        self._blocks = blocks
        self._policy = policy
        self._audit = audit

    async def certificates(self, caller: Caller, values: Sequence[object]) -> list[Result]:
        """A certificate or an error for each request, in their order.

        Raises:
            InvalidInput: too many requests.
            Unavailable: the audit log cannot be written.
        """
        if len(values) > BATCH_LIMIT:
            raise InvalidInput(f"{len(values)} requests in one call; at most {BATCH_LIMIT}")
        times = [now()]
        items = [_read(value, caller) for value in values]
        current_trace.set(_common_trace(items))
        await self._find_standings(caller, items, await self._blocks.now())
        blocked = await self._blocks.now()  # finding out may have taken a while
        for item in items:
            _ask(item, blocked)
        times.append(now())
        await self._decide_and_draft(items)
        times.append(now())
        self._at("before-signing", items)
        await self._sign(items)
        self._at("after-signing", items)
        times.append(now())
        self._write([_line(caller, item) for item in items])
        self._at("after-audit", items)
        times.append(now())
        asyncio.get_running_loop().call_soon(self._tell, items, times)  # the answer does not wait for it
        return [_result(item) for item in items]

    def _at(self, point: str, items: Sequence[_Item]) -> None:
        for item in items:
            if item.error is None and item.request is not None:
                self._faults.point(point, item.request.operation)

    def _write(self, lines: Sequence[AuditLine]) -> None:
        try:
            self._audit.write(lines)
        except GoldcrestError:
            self._metrics.audit_failed()
            raise

    def _tell(self, items: Sequence[_Item], times: Sequence[float]) -> None:
        """Count each request, and make its spans: what was done for the batch was done for each of it."""
        self._metrics.batch(len(items))
        for item in items:
            request = item.request
            if request is None:
                self._metrics.certificate(system="", operation="", error=item.error)
                continue
            # A question means that the System is there, and the one that the token or the resource is for.
            system = request.system if item.question is not None else ""
            self._metrics.certificate(system=system, operation=request.operation, error=item.error)
            if recording(request.context):
                _record(request, item, times)

    async def _find_standings(self, caller: Caller, items: Sequence[_Item], blocked: BlockList) -> None:
        """Each token and each resource of a batch is looked at once."""
        wanted: dict[tuple[str, str] | ResourceReference, list[_Item]] = {}
        for item in items:
            if item.error is None and item.request is not None:
                request = item.request
                key = (request.token, request.system) if request.token is not None else request.resource
                assert key is not None  # noqa: S101 - one of both is set
                wanted.setdefault(key, []).append(item)

        async def find(key: tuple[str, str] | ResourceReference) -> Standing | GoldcrestError:
            try:
                if isinstance(key, ResourceReference):
                    return await self._resources.standing(key, caller, blocked=blocked)
                return await self._tokens.standing(key[0], system=key[1])
            except GoldcrestError as error:
                return error

        if len(wanted) == 1:  # as with each command that comes alone: no task of its own
            found = [await find(key) for key in wanted]
        else:
            found = await asyncio.gather(*map(find, wanted))
        for outcome, waiting in zip(found, wanted.values(), strict=True):
            for item in waiting:
                if isinstance(outcome, GoldcrestError):
                    item.error = outcome
                else:
                    item.standing = outcome

    async def _decide_and_draft(self, items: Sequence[_Item]) -> None:
        """Certificates are laid out while policy decides. Nothing is signed before its answer."""

        def draft() -> None:
            for item in items:
                if item.draft is None:
                    self._draft(item)

        drafting = asyncio.get_running_loop().call_soon(
            draft
        )  # when the question has gone out, where a connection is open
        try:
            await self._decide(items)
        finally:
            drafting.cancel()  # does nothing to what is over
        draft()  # what was not: policy did not take its time

    async def _decide(self, items: Sequence[_Item]) -> None:
        asked = [item for item in items if item.question is not None]
        questions = [item.question for item in asked if item.question is not None]
        try:
            decisions = await self._policy.decide_many(OPA_SIGNING, questions)
        except GoldcrestError as error:
            for item in asked:
                item.error = error
            return
        for item, decision in zip(asked, decisions, strict=True):
            item.decision = decision
            if not decision.allow and item.question is not None:
                item.error = decision.refusal(item.question)
        await self._tell_blocked_apart([item for item in asked if item.error is not None])

    async def _tell_blocked_apart(self, refused: Sequence[_Item]) -> None:
        """OPA knows a name that was just put into its data before we do: then it is no refusal for good."""
        blocked = await self._blocks.newest() if refused else BlockList()
        for item in refused:
            assert item.standing is not None  # noqa: S101 - it was asked for
            assert item.request is not None  # noqa: S101
            why = blocked.why(requester=item.standing.requester, user=item.request.user)
            if why and item.question is not None and item.question.trigger is not Trigger.CONTAINMENT:
                item.error = Blocked(why)

    async def _sign(self, items: Sequence[_Item]) -> None:
        drafted = [(item, item.draft) for item in items if item.draft is not None and item.is_allowed]
        try:
            certificates = await self._authority.sign([draft for _, draft in drafted])
        except GoldcrestError as error:
            for item, _ in drafted:
                item.error = error
            return
        for (item, _), certificate in zip(drafted, certificates, strict=True):
            item.certificate = certificate

    def _draft(self, item: _Item) -> None:
        request, standing = item.request, item.standing
        if item.error is not None or request is None or standing is None or item.question is None:
            return
        try:
            item.draft = self._authority.draft(
                public_key=request.public_key,
                user=request.user,
                key_id=certificate_key_id(requester=standing.requester, origin=standing.origin, trace=request.trace),
                filter_path=standing.filter_path,
                command=request.body(),
            )
        except GoldcrestError as error:
            item.error = error


def _common_trace(items: Sequence[_Item]) -> Trace | None:
    """The trace that all requests of a batch are of, for the logs; unrecorded, as spans are made of each request afterwards."""
    traces = {item.request.context for item in items if item.request is not None}
    (only,) = traces if len(traces) == 1 else (None,)
    return Trace(only.trace_id, only.span_id, sampled=False) if only is not None else None


def _record(request: CertificateRequest, item: _Item, times: Sequence[float]) -> None:
    whole = record(
        "certificate",
        request.context,
        began=times[0],
        ended=times[-1],
        kind=SERVER,
        error=item.error.code if item.error else "",
        operation=request.operation,
        system=request.system,
        user=request.user,
    )
    for name, began, ended in zip(("evidence", "OPA", "sign", "audit"), times, times[1:], strict=False):
        record(name, whole, began=began, ended=ended)


def _read(value: object, caller: Caller) -> _Item:
    item = _Item()
    try:
        item.request = certificate_request(value)
        if caller.role is Role.GATEWAY and item.request.resource is not None:
            raise Denied("the gateway asks with a caller's token, never with a resource")
        if caller.role is Role.OPERATOR and item.request.token is not None:
            raise Denied("the operator asks with a resource, never with a token")
    except GoldcrestError as error:
        item.error = error
    return item


def _ask(item: _Item, blocked: BlockList) -> None:
    if item.error is None and item.standing is not None and item.request is not None:
        try:
            item.question = question_of(item.standing, item.request, blocked)
        except GoldcrestError as error:
            item.error = error


def _result(item: _Item) -> Result:
    if item.certificate is not None and item.error is None:
        return item.certificate
    return item.error or Denied("nothing decided on this request")


def _line(caller: Caller, item: _Item) -> AuditLine:
    request, standing, certificate, error = item.request, item.standing, item.certificate, item.error
    resource = (standing.resource if standing else None) or (request.resource if request else None)
    return AuditLine(
        event="certificate",
        outcome="signed" if certificate is not None and error is None else "refused",
        caller=caller.account,
        requester=standing.requester if standing else "",
        run_as=request.user if request else "",
        system=request.system if request else "",
        operation=request.operation if request else "",
        digest=certificate.command_sha256 if certificate else _digest(request),
        serial=certificate.serial if certificate else None,
        key_id=certificate.key_id if certificate else "",
        origin=standing.origin if standing else resource.uid if resource else "",
        namespace=resource.namespace if resource else "",
        name=resource.name if resource else "",
        decision=item.decision.id if item.decision else "",
        rule=item.decision.rule if item.decision else "",
        break_glass=item.decision.break_glass if item.decision else "",
        code=error.code if error else "",
        reason=error.message if error else item.decision.reason if item.decision else "",
        route=request.route if request else "",
        trace=request.trace if request else "",
    )


def _digest(request: CertificateRequest | None) -> str:
    return sha256_hex(canonical(request.body())) if request is not None else ""


def error_body(error: GoldcrestError) -> Mapping[str, Any]:
    """E of the interface: what a client of delegation makes an exception of."""
    body: dict[str, Any] = {"code": error.code, "message": error.message, "retryable": error.retryable}
    if isinstance(error, Unauthenticated) and error.challenge:
        body["challenge"] = error.challenge
    return body
