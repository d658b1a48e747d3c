"""Which check would allow or deny a certificate, without signing: ``goldcrest-delegation issue --explain``.

The checks are those of the service, with its settings, on what is stored and configured now. Who calls (TokenReview) and who holds the
Lease is not asked: it is the administrator who looks.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from goldcrest.blocked import BlockList
from goldcrest.errors import Blocked, GoldcrestError, InvalidInput
from goldcrest.policy import Question
from goldcrest.settings import read_settings
from goldcrest.wellknown import OPA_SIGNING, Kind
from goldcrest_delegation.auditing import plain
from goldcrest_delegation.callers import Caller, Role
from goldcrest_delegation.certificate import ED25519_KEY_BYTES
from goldcrest_delegation.context import Checks
from goldcrest_delegation.requests import NAMESPACE, RESOURCE_NAME, CertificateRequest, certificate_request
from goldcrest_delegation.settings import Settings
from goldcrest_delegation.standing import ResourceStanding, Standing, question_of

DENIED_STATUS: Final = 3

SHIPPED_RULES: Final = "policies/goldcrest; its data: data.goldcrest"
SITE_RULES: Final = "package goldcrest.site, in the site's own files"

Say = Callable[[str, str], None]
"""Prints a line: a word (ok, DENIED, …) and what was found."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``issue``."""
    parser.add_argument("--explain", action="store_true", help="required: outside of the service nothing is signed")
    basis = parser.add_mutually_exclusive_group(required=True)
    basis.add_argument("--token-file", type=Path, metavar="PATH", help="file with the token of a REST caller")
    basis.add_argument(
        "--resource", metavar="WHAT", help="Job/<namespace>/<name> or System/<name>, as the operator asks"
    )
    parser.add_argument(
        "--route",
        default="",
        metavar="ROUTE",
        help="with a token: REST route, e.g. 'GET /utilities/view' (default: not known)",
    )
    parser.add_argument("--system", default="", help="system (default: that of the resource)")
    parser.add_argument("--user", default="", help="Unix user (default: that of the resource)")
    parser.add_argument("--op", default="session", help="operation, e.g. fs.stat or slurm.submit (default: session)")
    parser.add_argument(
        "--args", metavar="JSON", help="its arguments (default: none; for a Job those that follow from it now)"
    )
    parser.add_argument(
        "--payload", default="{}", metavar="JSON", help="digest and size of its payload, or the most bytes (stream)"
    )


def run(arguments: argparse.Namespace) -> int:
    """``goldcrest-delegation issue --explain``: 0 when it would be signed, 3 when not."""
    if not arguments.explain:
        raise InvalidInput("outside of the service nothing is signed; add --explain to see what it would decide")
    return asyncio.run(_explain(arguments, _say))


def _say(check: str, found: str) -> None:
    sys.stdout.write(f"{check:<10} {plain(found)}\n")


async def _explain(arguments: argparse.Namespace, say: Say) -> int:
    async with AsyncExitStack() as stack:
        checks = await Checks.open(read_settings(Settings), stack, ask_lease=False)
        explanation = _Explanation(checks, say)
        try:
            await explanation.follow(arguments)
        except GoldcrestError as error:
            say("DENIED", f"{error.message} ({error.code}{', may pass by itself' if error.retryable else ''})")
            explanation.say_where(error)
            return DENIED_STATUS
        say("ALLOWED", "a certificate would be signed")
        return 0


class _Explanation:
    """The steps of the service, one after the other; the first that raises is the answer."""

    def __init__(self, checks: Checks, say: Say) -> None:
        self._checks = checks
        self._say = say
        self._check = "question"
        self._rule = ""
        self._blocked = BlockList()
        self._question: Question | None = None

    async def follow(self, arguments: argparse.Namespace) -> None:
        self._blocked = await self._checks.blocks.now()
        request, standing = await self._standing(arguments)
        why = self._blocked.why(requester=standing.requester, user=request.user)
        self._check = "block list" if why else "what follows"
        if not why:
            self._say("ok", f"block list: neither {standing.requester} nor Unix user {request.user} is on it")
        self._question = question_of(standing, request, self._blocked)
        if why:
            self._say("ok", f"block list: {why}; but this only makes less run of their job")
        self._say("ok", f"{request.operation} on {request.system} as {request.user} follows from it")
        self._check = "policy"
        [decision] = await self._checks.policy.decide_many(OPA_SIGNING, [self._question])
        self._rule = decision.rule
        if not decision.allow:
            raise decision.refusal(self._question)
        self._say("ok", f"policy: {decision.reason} (decision {decision.id})")

    def say_where(self, error: GoldcrestError) -> None:
        """Which check it was, which rule of which file, and on which input."""
        self._say("check", self._check)
        if self._rule:
            self._say("rule", f"{self._rule} ({_place(self._rule)})")
        if error.code == "Blocked":
            self._say("rule", "a line of the block file, or of data.goldcrest.blocked")
        if self._question is not None:
            self._say("input", orjson.dumps(self._question.dump()).decode())

    async def _standing(self, arguments: argparse.Namespace) -> tuple[CertificateRequest, Standing]:
        if arguments.token_file is not None:
            basis = {"token": _token(arguments.token_file), "route": arguments.route}
            request = _request(arguments, args=_json(arguments.args or "{}"), **basis)
            assert request.token is not None  # noqa: S101 - given just above
            self._check = "token"
            standing = await self._checks.tokens.standing(request.token, system=request.system)
            identity = standing.identity
            self._say(
                "ok",
                f"token: of {identity.issuer}, for Unix user {identity.username}; system {request.system} is known",
            )
            return request, standing
        self._check = "resource"
        raw = await self._resource(arguments.resource)
        reference = {
            "kind": raw["kind"],
            "namespace": raw["metadata"].get("namespace", ""),
            "name": raw["metadata"]["name"],
            "uid": raw["metadata"]["uid"],
        }
        if raw["kind"] == Kind.SYSTEM:
            del reference["namespace"]
        arguments.system = arguments.system or _default_system(raw)
        arguments.user = arguments.user or _default_user(raw)
        given = "{}" if arguments.args is None else arguments.args
        chosen = arguments.op == "session" or arguments.args is not None
        request = _request(arguments, resource=reference, args=_json(given), op=None if chosen else "session")
        assert request.resource is not None  # noqa: S101 - given just above
        caller = Caller(Role.OPERATOR, "the administrator")
        found = await self._checks.resources.standing(
            request.resource, caller, blocked=self._blocked, trail=lambda c, text: self._say("ok", f"{c}: {text}")
        )
        return (request if chosen else self._following(request, found, arguments)), found

    async def _resource(self, text: str) -> dict[str, Any]:
        parts = text.split("/")
        valid = (
            (parts[0] in (Kind.JOB.value, Kind.TASK.value) and len(parts) == 3 and NAMESPACE.fullmatch(parts[1]))
            or (parts[0] == Kind.SYSTEM.value and len(parts) == 2)
        ) and RESOURCE_NAME.fullmatch(parts[-1])
        if not valid:
            raise InvalidInput(f"{text!r} is none of Job/<namespace>/<name>, Task/<namespace>/<name>, System/<name>")
        raw = await self._checks.kube.get(Kind(parts[0]), parts[-1], namespace=parts[1] if len(parts) == 3 else None)
        return {"kind": parts[0], **raw}

    def _following(
        self, request: CertificateRequest, standing: object, arguments: argparse.Namespace
    ) -> CertificateRequest:
        """The command of this name that follows from the resource as it is."""
        self._check = "what follows"
        commands = standing.commands if isinstance(standing, ResourceStanding) else ()
        command = next((command for command in commands if command.op == arguments.op), None)
        if command is None and isinstance(standing, ResourceStanding) and standing.blocked:
            self._check = "block list"
            raise Blocked(standing.blocked)
        if command is None:
            told = ", ".join(sorted({command.op for command in commands})) or "nothing"
            raise InvalidInput(f"no {arguments.op} follows from it in its present state, but {told}; or give --args")
        return replace(request, command=command, sid=_sid())


def _place(rule: str) -> str:
    """Where a rule and its data are."""
    return SITE_RULES if rule.startswith("site: ") else SHIPPED_RULES


def _request(arguments: argparse.Namespace, *, args: Any, op: str | None = None, **basis: Any) -> CertificateRequest:
    op = op or arguments.op
    kind = "session" if op == "session" else "command"
    value = {
        "kind": kind,
        "op": op,
        "system": arguments.system,
        "user": arguments.user,
        "args": args,
        "payload": _json(arguments.payload) if kind == "command" else {},
        "publicKey": base64.b64encode(bytes(ED25519_KEY_BYTES)).decode(),
        "trace": secrets.token_hex(16),
        **basis,
    }
    return certificate_request({**value, "sid": _sid()} if kind == "command" else value)


def _sid() -> str:
    return secrets.token_hex(16)


def _default_system(raw: Mapping[str, Any]) -> str:
    return str(raw["metadata"]["name"] if raw["kind"] == Kind.SYSTEM else raw["spec"].get("system", ""))


def _default_user(raw: Mapping[str, Any]) -> str:
    spec = raw["spec"]
    return str(spec.get("scheduler", {}).get("observer", "") if raw["kind"] == Kind.SYSTEM else spec.get("runAs", ""))


def _token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the token file {path} cannot be read: {error}") from error


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{text[:80]!r} is not JSON: {error}") from error
