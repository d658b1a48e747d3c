"""The beginning of every request of every dialect: who calls, and whether they may now."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from goldcrest.errors import Unauthenticated
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.context import Context
from goldcrest_api.request_scope import context_of, note_headers, note_user, trace_of
from goldcrest_api.services.rates import Asker


@dataclass(frozen=True, slots=True)
class Entered:
    """An authenticated request."""

    context: Context
    caller: Caller
    trace: Trace


async def enter(request: Request, *, unnamed_prefix: str = "") -> Entered:
    """Who calls. The first thing that every route does.

    Args:
        unnamed_prefix: what the names of routes leave out, in policy, limits and logs of delegation. Only the first dialect has one: its
            routes had their names before there were others.

    Raises:
        Unauthenticated: it cannot be told who calls.
        Unavailable: tokens cannot be verified now.
        TooManyRequests: they call too often; the application answers that.
    """
    context = context_of(request)
    value = request.headers.get(context.settings.auth_header_name)
    if value is None:
        raise Unauthenticated("no token was sent", code="TokenMissing")
    token = value.replace("Bearer ", "").strip()
    identity = await context.verifier.verify(token)
    caller = Caller.of(identity, token, route=_route(request, unnamed_prefix))
    note_user(request, caller.user)
    client = identity.client or (request.client.host if request.client else "")
    asker = Asker(issuer=caller.issuer, user=caller.user, client=client, route=caller.route)
    note_headers(request, await context.rates.count(asker))
    return Entered(context, caller, trace_of(request))


def _route(request: Request, unnamed_prefix: str) -> str:
    """The route as the table of its dialect has it."""
    path = str(getattr(request.scope.get("route"), "path", ""))
    return f"{request.method} {path.removeprefix(unnamed_prefix)}" if path else ""
