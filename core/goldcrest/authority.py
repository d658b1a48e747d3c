"""The client of the delegation service: certificates for typed commands, grants for resources.

Requests for certificates are batched adaptively: sent at once while few are under way, collected only while two are (measured: a third to
a half more throughput under load, and nothing lost for one client).

The wire (JSON over HTTPS or a unix socket, ``Authorization: Bearer <service-account token>``):

* ``POST /v1/certificates`` ``{"requests": [R…]}`` → ``{"results": [{"id", "certificate"} or {"id", "error": E}]}`` with R =
  ``{"id", "publicKey", "kind", "system", "user", "op", "args", "payload", "sid", "trace"}`` and either ``"token"`` (a REST caller's JWT) with ``"route"`` or
  ``"resource": {"kind", "namespace", "name", "uid"}``. ``publicKey`` and ``certificate`` are base64 of the raw key and the wire form.
* ``POST /v1/grants`` ``{"token", "route", "kind", "namespace", "name", "spec", "trace"}`` → ``{"grant"}``
* ``POST /v1/action-grants`` ``{"token", "route", "kind", "namespace", "name", "uid", "field", "value",
  "trace"}`` → ``{"grant"}``
* ``route`` is the REST route that is served, as method and path template: ``DELETE /compute/jobs/{jobid}``. Policy sees it.
* ``GET /v1/blocked`` → ``{"users", "requesters", "version"}``: whom nothing is signed for, see :mod:`goldcrest.blocked`.
* E = ``{"code", "message", "retryable"}``, and where a better token would do ``"challenge"``; as the body of a status ≥ 400 for a whole request.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from goldcrest.blocked import BlockList
from goldcrest.commands.base import Command, session_body
from goldcrest.errors import (
    Blocked,
    DelegationUnavailable,
    Denied,
    DeniedForNow,
    GoldcrestError,
    InsufficientAuthentication,
    InvalidInput,
    LeaseNotHeld,
    NotFound,
    PolicyUnavailable,
    Unauthenticated,
    Unavailable,
)
from goldcrest.identity import RefusalCode
from goldcrest.keepalive import KeepAlive, NoAnswer
from goldcrest.measures import DEFECT, OK, ByLabels, Codes, Measures
from goldcrest.renewal import TlsFiles
from goldcrest.telemetry import Log, Trace
from goldcrest.tls import client_context
from goldcrest.tracing import CLIENT, span

REQUEST_SECONDS = 10.0
ANSWER_LIMIT = 16 * 1024 * 1024  # bytes: 32 certificates of up to 128 KiB each, in base64, and as much again
_BATCH = 32  # requests in one call
_UNDER_WAY = 2  # calls under way before requests are collected
_HOLDER_HEADER = "X-Goldcrest-Holder"
_TOKEN_SECONDS = 60  # a projected token is read again after this
_CODES: Final = Codes(RefusalCode)

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class ByToken:
    """A REST caller asks: their JWT is shown.

    Args:
        route: REST route that is served; empty when there is none: then policy takes it for every route.
    """

    token: str
    route: str = ""

    def dump(self) -> dict[str, Any]:
        return {"token": self.token, "route": self.route}


@dataclass(frozen=True, slots=True)
class ByResource:
    """The operator asks on behalf of a live resource. ``namespace`` is empty for a System (observer queries)."""

    kind: str
    namespace: str
    name: str
    uid: str

    def dump(self) -> dict[str, Any]:
        return {"resource": {"kind": self.kind, "namespace": self.namespace, "name": self.name, "uid": self.uid}}


Basis = ByToken | ByResource
"""On what ground a certificate is asked for."""

_ERRORS: dict[str, type[GoldcrestError]] = {
    cls.code: cls
    for cls in (
        InvalidInput,
        Unauthenticated,
        InsufficientAuthentication,
        Denied,
        DeniedForNow,
        Blocked,
        NotFound,
        PolicyUnavailable,
        DelegationUnavailable,
        LeaseNotHeld,
        Unavailable,
    )
}
# The gateway may still remember a token that delegation refuses: that is the caller's, to be told so.
_ERRORS |= dict.fromkeys(RefusalCode, Unauthenticated)


def error_of(value: Mapping[str, Any]) -> GoldcrestError:
    """The exception that an error answer means."""
    code, message = str(value.get("code", "Error")), str(value.get("message", "no reason was given"))
    if code == Unauthenticated.code:
        # It is our service account that was not accepted: whoever asks through us did nothing wrong, and cannot help it.
        return DelegationUnavailable(f"delegation does not accept our own token: {message}")
    kind = _ERRORS.get(code, DelegationUnavailable if value.get("retryable") else Denied)
    if issubclass(kind, Unauthenticated):
        challenge = value.get("challenge")
        told = {str(name): str(text) for name, text in challenge.items()} if isinstance(challenge, Mapping) else {}
        return kind(message, code=code, challenge=told)
    return kind(message)


def _result_of(result: Mapping[str, Any] | None) -> bytes | GoldcrestError:
    if result is not None and "certificate" in result:
        try:
            return base64.b64decode(result["certificate"], validate=True)
        except (TypeError, ValueError):
            return DelegationUnavailable("delegation answered with a certificate that is no base64")
    error = result.get("error") if result is not None else None
    if not isinstance(error, Mapping):
        return DelegationUnavailable("delegation gave no answer to this request")
    return error_of(error)


class Authority:
    """Delegation, as one of its callers.

    Args:
        url: ``https://host:port`` or ``unix:/path/of/socket``.
        ca_file: certificates that the server is verified against (https).
        token_file: projected service-account token with the audience of delegation.
        holder: identity in the operator's Lease; delegation signs for its holder only. Empty for callers without a Lease.
        measures: what is measured is shown there.
    """

    def __init__(
        self, *, url: str, ca_file: Path | None, token_file: Path, holder: str = "", measures: Measures | None = None
    ) -> None:
        measures = measures or Measures("authority")
        self._calls = ByLabels(measures.counter("delegation_calls", "Calls of delegation.", ["call", "outcome"]))
        self._seconds = ByLabels(
            measures.histogram("delegation_call_seconds", "Seconds of a call of delegation.", ["call"])
        )
        self._tls: TlsFiles | None = None
        context = None
        if url.startswith("https://"):
            context = client_context(ca_file)
            self._tls = TlsFiles(context, authorities=ca_file)
        self._http = KeepAlive(
            url,
            whose="delegation's",
            tls=context,
            limit=16,
            seconds=REQUEST_SECONDS,
            connect_seconds=2.0,
            most=ANSWER_LIMIT,
        )
        self._token_file = token_file
        self._holder = holder
        self._token = ""
        self._token_read = 0.0
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[bytes]]] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        await self._http.close()

    async def session_certificate(
        self, *, public_key: bytes, system: str, user: str, basis: Basis, trace: str
    ) -> bytes:
        """A certificate that opens a connection and nothing else.

        Raises:
            Denied, Unauthenticated, PolicyUnavailable, DelegationUnavailable.
        """
        return await self._certificate(session_body(system=system, user=user), public_key, basis, trace)

    async def command_certificate(
        self, command: Command, *, public_key: bytes, system: str, user: str, sid: str, basis: Basis, trace: str
    ) -> bytes:
        """A certificate for exactly this command, on the channel with this session id."""
        return await self._certificate(command.body(system=system, user=user, sid=sid), public_key, basis, trace)

    async def grant(
        self, *, token: str, route: str = "", kind: str, namespace: str, name: str, spec: Mapping[str, Any], trace: str
    ) -> str:
        """Delegation's word that the bearer of ``token`` may create this resource (T6)."""
        resource = {"kind": kind, "namespace": namespace, "name": name, "spec": dict(spec)}
        with span("grant", Trace.parse(trace), kind=CLIENT) as step:
            body = {"token": token, "route": route, **resource, "trace": step.header_or(trace)}
            return str((await self._post("/v1/grants", body))["grant"])

    async def action_grant(
        self,
        *,
        token: str,
        route: str = "",
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        field: str,
        value: object,
        trace: str,
    ) -> str:
        """Delegation's word that the bearer of ``token`` may set this mutable field (T6)."""
        body = {
            "token": token,
            "route": route,
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "uid": uid,
            "field": field,
            "value": value,
        }
        with span("action grant", Trace.parse(trace), kind=CLIENT) as step:
            return str((await self._post("/v1/action-grants", body | {"trace": step.header_or(trace)}))["grant"])

    async def blocked(self) -> BlockList:
        """Whom delegation signs nothing for now.

        Raises:
            Denied, Unauthenticated, DelegationUnavailable.
        """
        return BlockList.load(await self._call("GET", "/v1/blocked", None))

    async def _certificate(self, body: Mapping[str, Any], public_key: bytes, basis: Basis, trace: str) -> bytes:
        with span("certificate", Trace.parse(trace), kind=CLIENT, operation=body["op"]) as step:
            key, context = base64.b64encode(public_key).decode(), step.header_or(trace)
            return await self._signed({**body, **basis.dump(), "publicKey": key, "trace": context})

    async def _signed(self, request: dict[str, Any]) -> bytes:
        if self._under_way < _UNDER_WAY:
            return await self._signed_alone(request)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        return await future

    async def _signed_alone(self, request: dict[str, Any]) -> bytes:
        """Without a task: who gives up takes the connection along, as an answer would come over it that nobody waits for."""
        self._under_way += 1
        try:
            (result,) = await self._results([request])
        finally:
            self._under_way -= 1
            if self._waiting:
                self._under_way += 1
                task = asyncio.create_task(self._send_waiting())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if isinstance(result, GoldcrestError):
            raise result
        return result

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                await self._send([item for item in batch if not item[1].done()])
        finally:
            self._under_way -= 1

    async def _send(self, batch: list[tuple[dict[str, Any], asyncio.Future[bytes]]]) -> None:
        try:
            results = await self._results([request for request, _ in batch])
        except GoldcrestError as error:
            results = [type(error)(error.message, code=error.code) for _ in batch]
        except Exception:  # or they would wait for ever
            _log.exception("delegation.call.broken")
            results = [DelegationUnavailable("the call of delegation broke off; our log says why") for _ in batch]
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, GoldcrestError):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _results(self, requests: list[dict[str, Any]]) -> list[bytes | GoldcrestError]:
        """A certificate or an error for each request, in their order.

        Raises:
            GoldcrestError: the call itself failed.
        """
        body = {"requests": [{"id": number, **request} for number, request in enumerate(requests)]}
        answer = await self._post("/v1/certificates", body)
        try:
            results = {result["id"]: result for result in answer["results"]}
        except (KeyError, TypeError):
            results = {}  # each request is then told that it got no answer
        return [_result_of(results.get(number)) for number in range(len(requests))]

    async def _post(self, path: str, body: object) -> dict[str, Any]:
        try:
            content = orjson.dumps(body)
        except orjson.JSONEncodeError as error:
            raise InvalidInput(f"a request to delegation has no JSON form: {error}") from error
        return await self._call("POST", path, content)

    async def _call(self, method: str, path: str, content: bytes | None) -> dict[str, Any]:
        call, began, outcome = path.rpartition("/")[2], time.perf_counter(), DEFECT
        try:
            answer = await self._exchange(method, path, content)
            outcome = OK
            return answer
        except BaseException as error:
            outcome = _CODES.of(error)
            raise
        finally:
            self._calls[call, outcome].inc()
            self._seconds[(call,)].observe(time.perf_counter() - began)

    async def _exchange(self, method: str, path: str, content: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._caller_token()}", "Content-Type": "application/json"}
        if self._holder:
            headers[_HOLDER_HEADER] = self._holder
        if self._tls is not None:
            self._tls.refresh()
        try:
            status, answer = await self._http.ask(method, path, body=content or b"", headers=headers)
            data = orjson.loads(answer)
        except NoAnswer as error:
            raise DelegationUnavailable(f"delegation does not answer: {error}") from error
        except ValueError as error:
            raise DelegationUnavailable("delegation answered something that is no JSON") from error
        if not isinstance(data, dict):
            raise DelegationUnavailable("delegation answered something that is no object")
        if status >= 400:
            raise error_of(data)
        if status != 200:
            raise DelegationUnavailable(f"delegation answered with status {status}")
        return data

    def _caller_token(self) -> str:
        if time.monotonic() - self._token_read > _TOKEN_SECONDS or not self._token:
            try:
                self._token = self._token_file.read_text().strip()
            except OSError as error:
                raise DelegationUnavailable(f"our token for delegation cannot be read: {error}") from error
            self._token_read = time.monotonic()
        return self._token
