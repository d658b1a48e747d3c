"""The webhook: ``POST /mutate`` and ``POST /validate``, called by the API server.

Nothing is written anywhere, so a dry run is answered like any other. ``/mutate`` is also asked about changes and deletions, where it
changes nothing: it is called before the API server's own policies (dev/manifests/policies.yaml), and so our log has each refusal.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldcrest.errors import GoldcrestError, InvalidInput, TooLarge, Unavailable
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.tracing import code_of, entrance
from goldcrest.wellknown import ANNOTATION_TRACEPARENT
from goldcrest_admission.advice import advice_on_change
from goldcrest_admission.context import Context
from goldcrest_admission.metrics import Metrics
from goldcrest_admission.review import Admitted, Raw, Review, allowed, mapping, parse_review, refused

BODY_LIMIT: Final = 8 * 1024 * 1024  # bytes: an object and its old form, each at most etcd's 1.5 MiB

_log = Log(__name__)

_NOT_REVIEWED: Final = "this webhook reviews CREATE, UPDATE and DELETE, not {}: correct its configuration"

_Decide = Callable[[Review], Awaitable[Admitted]]


def build_app(context: Context) -> Starlette:
    """The application over a context that was built once."""

    async def mutate(review: Review) -> Admitted:
        match review.operation:
            case "CREATE":
                return await context.create.mutate(review)
            case "UPDATE":
                await context.update.check(review)
                return Admitted(warnings=advice_on_change(review.made_kind, mapping(review.old, "spec"), review.spec))
            case "DELETE":
                await context.delete.check(review)
                return Admitted()
        raise InvalidInput(_NOT_REVIEWED.format(review.operation))

    async def validate(review: Review) -> Admitted:
        match review.operation:
            case "CREATE":
                context.create.validate(review)
            case "UPDATE":
                await context.update.check(review)
            case "DELETE":
                await context.delete.check(review)
            case _:
                raise InvalidInput(_NOT_REVIEWED.format(review.operation))
        return Admitted()

    async def alive(_: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def ready(_: Request) -> Response:
        fault = await context.readiness.fault()
        if fault:
            return Response(fault + "\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    return Starlette(
        routes=[
            Route("/mutate", _webhook(mutate, context.metrics), methods=["POST"]),
            Route("/validate", _webhook(validate, context.metrics), methods=["POST"]),
            Route("/livez", alive),
            Route("/readyz", ready),
        ]
    )


def _webhook(decide: _Decide, metrics: Metrics) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        began, call = time.perf_counter(), request.url.path.rpartition("/")[2]
        try:
            review = parse_review(await _body(request))
        except GoldcrestError as error:
            _log.warning("admission.malformed", path=request.url.path, error=error.message)
            metrics.review(call=call, operation="", error=error, seconds=time.perf_counter() - began)
            return Response(error.message + "\n", 400, media_type="text/plain")
        parent = _trace_of(review)
        # kubectl brings no trace: one begins here, so that all that follows can be found by it.
        trace = Trace.continued(parent.header if parent else None)
        token = current_trace.set(trace)
        failure: Exception | None = None
        try:
            with entrance(f"admission {call}", trace, parent, operation=review.operation) as step:
                response, failure = await reviewed(request, review)
                if failure is not None:
                    step.fail(code_of(failure))
            return response
        finally:
            seconds = time.perf_counter() - began
            metrics.review(call=call, operation=review.operation, error=failure, seconds=seconds)
            current_trace.reset(token)

    async def reviewed(request: Request, review: Review) -> tuple[Response, Exception | None]:
        try:
            _ = review.made_kind
            return _json(_logged(review, allowed(review.uid, await decide(review)))), None
        except GoldcrestError as error:
            return _json(_logged(review, refused(review.uid, error), error)), error
        except Exception as error:
            _log.exception("admission.failed", path=request.url.path, namespace=review.namespace, name=review.name)
            return _json(refused(review.uid, Unavailable("Goldcrest's admission failed; its log says why"))), error

    return answer


def _logged(review: Review, answer: Raw, error: GoldcrestError | None = None) -> Raw:
    spec = mapping(review.current, "spec")
    fields: dict[str, Any] = {
        "operation": review.operation,
        "kind": review.kind,
        "namespace": review.namespace,
        "name": review.name or str(mapping(review.current, "metadata").get("generateName", "")),
        "user": review.username,
        "run_as": str(spec.get("runAs", ""))[:64],
        "system": str(spec.get("system", ""))[:64],
        "dry_run": review.dry_run,
        **_said_by_us(review),
    }
    if error is None:
        _log.info("admission.allowed", **fields)
    else:
        _log.info("admission.refused", code=error.code, reason=error.message, **fields)
    return answer


def _said_by_us(review: Review) -> Raw:
    """What admission or the gateway wrote into the resource: on whose word it is there, and in which trace."""
    trace = _trace_of(review)
    username = _part(_part(review.current.get("spec"), "requestedBy"), "username")
    return {
        **({"requested_by": str(username)[:256]} if username else {}),
        **({"trace_id": trace.trace_id} if trace else {}),
    }


def _trace_of(review: Review) -> Trace | None:
    annotations = _part(review.current.get("metadata"), "annotations")
    return Trace.parse(str(_part(annotations, ANNOTATION_TRACEPARENT)))


def _part(value: object, name: str) -> object:
    """A field of what should be an object; "" where it is none: a refusal of it is logged here too."""
    return value.get(name) or "" if isinstance(value, dict) else ""


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > BODY_LIMIT:
            raise TooLarge(f"the review is larger than {BODY_LIMIT} bytes")
    return bytes(data)


def _json(content: Raw) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
