"""Asks OPA. Only a literal ``allow: true`` allows; anything odd is no answer (T11)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from goldcrest.errors import (
    Denied,
    DeniedForNow,
    GoldcrestError,
    InsufficientAuthentication,
    PolicyUnavailable,
)
from goldcrest.keepalive import KeepAlive, NoAnswer
from goldcrest.measures import OTHER, ByLabels, Measures
from goldcrest.policy.challenge import challenge_of
from goldcrest.policy.question import Door, Question
from goldcrest.renewal import TlsFiles
from goldcrest.telemetry import Log
from goldcrest.tls import client_context
from goldcrest.tracing import CLIENT, span
from goldcrest.wellknown import OPA_ADMISSION, OPA_BLOCKED, OPA_PROBLEMS, OPA_SIGNING

DECIDE_SECONDS: Final = 3.0  # the webhook that waits for it has five
ANSWER_LIMIT: Final = 1024 * 1024  # bytes
REASON_LIMIT: Final = 1024  # characters shown to a client

_TEXT_LIMIT = 512  # characters of a rule's name or of a reason to break the glass
_NAMES: Final = {
    OPA_ADMISSION: "admission",
    OPA_SIGNING: "signing",
    OPA_BLOCKED: "blocklist",
    OPA_PROBLEMS: "problems",
}
_NO_REASON = "policy gave no reason"

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """What OPA said.

    Args:
        id: finds it in OPA's decision log: OPA's own id when it keeps one, else ``decisionId`` of the input.
        rule: which rule of which file refused, when policy says so.
        challenge: what sign-in would be enough, when policy says so.
        passes: it is a no that passes by itself, e.g. with a maintenance window.
        break_glass: why it is allowed although it usually is not; empty for what is allowed to everybody.
    """

    allow: bool
    reason: str
    id: str = ""
    rule: str = ""
    challenge: Mapping[str, str] = field(default_factory=dict)
    passes: bool = False
    break_glass: str = ""

    def refusal(self, question: Question) -> GoldcrestError:
        """What is raised when it does not allow: only who holds a token now can get a better one, and only a no that passes by itself
        is asked again."""
        if self.passes:
            return DeniedForNow(self.reason)
        if self.challenge and question.subject.via is Door.TOKEN:
            return InsufficientAuthentication(self.reason, challenge=self.challenge)
        return Denied(self.reason)


class Policy:
    """A client of one OPA server. Made inside a running event loop; close it with :meth:`close`.

    Args:
        url: ``unix:/path/of/socket`` or ``https://host:port``.
        ca_file: certificates that an https server is verified against; None takes the system's.
        client_cert, client_key: what we show to an https server that asks for it (mTLS), both or neither.
        seconds: time-out of one call.
        measures: what is measured is shown there.
    """

    def __init__(
        self,
        *,
        url: str,
        ca_file: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        seconds: float = DECIDE_SECONDS,
        measures: Measures | None = None,
    ) -> None:
        measures = measures or Measures("policy")
        self._decisions = ByLabels(
            measures.counter("opa_decisions", "Questions to OPA, by what came of them.", ["decision", "outcome"])
        )
        self._seconds = ByLabels(
            measures.histogram(
                "opa_seconds", "Seconds of a call of OPA; one call may hold many questions.", ["decision"]
            )
        )
        self._tls: TlsFiles | None = None
        context = None
        if url.startswith("https://"):
            context = client_context(ca_file, certificate=client_cert, key=client_key)
            self._tls = TlsFiles(context, certificate=client_cert, key=client_key, authorities=ca_file)
        self._http = KeepAlive(
            url,
            whose="OPA's",
            tls=context,
            limit=32,
            seconds=seconds,
            connect_seconds=min(seconds, 1.0),
            most=ANSWER_LIMIT,
        )

    async def close(self) -> None:
        await self._http.close()

    async def decide(self, path: str, question: Question) -> Decision:
        """One question to the decision at ``path``, e.g. ``goldcrest/admission/decision``.

        Raises:
            PolicyUnavailable: no answer, or none in the agreed form.
        """
        result, decision_id = await self._ask(path, question.dump())
        return self._counted(path, _noted(question, _decision(result, decision_id)))

    async def decide_many(self, path: str, questions: Sequence[Question]) -> list[Decision]:
        """Several questions in one call, answers in their order; one without exactly one answer is denied.

        Raises:
            PolicyUnavailable: no answer, or none in the agreed form.
        """
        if not questions:
            return []
        if len(questions) == 1:  # the usual case: OPA has less to do for one
            return [await self.decide(path, questions[0])]
        asked = [{"id": str(number), **question.dump()} for number, question in enumerate(questions)]
        result, decision_id = await self._ask(path, {"questions": asked})
        answers = result.get("answers")
        if not isinstance(answers, list):
            raise PolicyUnavailable("OPA answered a batch without answers; check the policy that is loaded")
        by_id: dict[object, list[dict[str, Any]]] = {}
        for answer in answers:
            if isinstance(answer, dict) and isinstance(answer.get("id"), str):
                by_id.setdefault(answer["id"], []).append(answer)
        return [
            self._counted(path, _noted(question, _only(by_id.get(str(number), []), decision_id)))
            for number, question in enumerate(questions)
        ]

    def _counted(self, path: str, decision: Decision) -> Decision:
        self._decisions[_name(path), "allowed" if decision.allow else "denied"].inc()
        return decision

    async def blocked(self) -> frozenset[str]:
        """The names that the site's data blocks, as requesters and as Unix users.

        Raises:
            PolicyUnavailable: no answer, or none in the agreed form.
        """
        result, _ = await self._ask(OPA_BLOCKED, {})
        names = result.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise PolicyUnavailable(f"OPA gave no block list; check that the policy {OPA_BLOCKED} is loaded")
        return frozenset(names)

    async def answers(self) -> bool:
        """Whether OPA is there and has its policies."""
        try:
            status, _ = await self._http.ask("GET", "/health?bundles")
        except NoAnswer:
            return False
        return status == 200

    async def problems(self) -> list[str]:
        """What is wrong with the site's data: a sentence each, none when it is as it should be.

        Raises:
            PolicyUnavailable: no answer, or none in the agreed form.
        """
        # Without strictness: that a date cannot be read is what is looked for.
        result = (await self._post(OPA_PROBLEMS, {}, strict=False)).get("result")
        if not isinstance(result, list) or not all(isinstance(problem, str) for problem in result):
            raise PolicyUnavailable(f"OPA does not check its data; load all of policies/, which has {OPA_PROBLEMS}")
        return result

    async def _ask(self, path: str, question: dict[str, Any]) -> tuple[dict[str, Any], str]:
        own_id = secrets.token_hex(16)
        answer = await self._post(path, {"decisionId": own_id, **question}, strict=True)
        result = answer.get("result")
        if not isinstance(result, dict):
            raise PolicyUnavailable(f"OPA gave no decision; check that the policy {path} is loaded")
        return result, str(answer.get("decision_id") or own_id)

    async def _post(self, path: str, question: dict[str, Any], *, strict: bool) -> dict[str, Any]:
        name, began = _name(path), time.perf_counter()
        try:
            with span("OPA", kind=CLIENT, decision=name):
                return await self._exchange(path, question, strict=strict)
        except PolicyUnavailable:
            self._decisions[name, "unavailable"].inc()
            raise
        finally:
            self._seconds[(name,)].observe(time.perf_counter() - began)

    async def _exchange(self, path: str, question: dict[str, Any], *, strict: bool) -> dict[str, Any]:
        # An error in a rule would else leave the rule out: a rule that denies would allow.
        query = "?strict-builtin-errors=true" if strict else ""
        if self._tls is not None:
            self._tls.refresh()
        try:
            status, body = await self._http.ask(
                "POST",
                f"/v1/data/{path}{query}",
                body=orjson.dumps({"input": question}),
                headers={"Content-Type": "application/json"},
            )
        except NoAnswer as error:
            raise PolicyUnavailable(f"OPA does not answer: {error}; it is tried again") from error
        try:
            answer = orjson.loads(body)
        except ValueError:
            answer = None
        if status != 200 or not isinstance(answer, dict):
            raise PolicyUnavailable(f"OPA gave no decision (status {status}{_where(answer)}); check the policy {path}")
        return answer


def _name(path: str) -> str:
    """Short name of a decision, for labels."""
    return _NAMES.get(path, OTHER)


def _where(answer: object) -> str:
    """``, an error in site.rego line 3``: where a rule failed. OPA's own words may hold what users sent, and stay in its log."""
    try:
        place = answer["errors"][0]["location"]  # type: ignore[index]
        return f", an error in {Path(str(place['file'])).name[:64]} line {int(place['row'])}"
    except (KeyError, IndexError, TypeError, ValueError):
        return ""


def _noted(question: Question, decision: Decision) -> Decision:
    """A broken glass is seen in the log of whoever asked, too."""
    if decision.allow and decision.break_glass:
        _log.warning(
            "policy.break_glass",
            reason=decision.break_glass,
            operation=question.operation,
            requester=question.subject.username,
            system=question.system,
            run_as=question.run_as,
            namespace=question.namespace,
            name=question.name,
            decision=decision.id,
        )
    return decision


def _only(answers: list[dict[str, Any]], decision_id: str) -> Decision:
    if len(answers) != 1:
        told = "no answer" if not answers else f"{len(answers)} answers"
        return Decision(False, f"policy gave {told} to this question", decision_id)
    return _decision(answers[0], decision_id)


def _decision(result: dict[str, Any], decision_id: str) -> Decision:
    reason = result.get("reason")
    text = reason[:REASON_LIMIT] if isinstance(reason, str) and reason else _NO_REASON
    return Decision(
        allow=result.get("allow") is True,
        reason=text,
        id=decision_id,
        rule=_text(result.get("rule")),
        challenge=challenge_of(result.get("challenge")),
        passes=result.get("retry") is True,
        break_glass=_text(result.get("breakGlass")),
    )


def _text(value: object) -> str:
    return value[:_TEXT_LIMIT] if isinstance(value, str) else ""
