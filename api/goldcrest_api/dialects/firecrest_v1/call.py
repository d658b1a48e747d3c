"""The beginning of every request: who calls, and which machine is meant (contract 3.1, 3.2, 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request

from goldcrest.errors import InsufficientAuthentication, InvalidInput, TooLarge, Unauthenticated, Unavailable
from goldcrest.identity import RefusalCode
from goldcrest.telemetry import Trace
from goldcrest_api.body import read_form
from goldcrest_api.caller import Caller
from goldcrest_api.challenge import bearer_challenge
from goldcrest_api.codes import UNKNOWN_SYSTEM
from goldcrest_api.context import Context
from goldcrest_api.dialects.firecrest_v1.answers import Refusal
from goldcrest_api.dialects.firecrest_v1.texts import MACHINE_NOT_AVAILABLE, RETRY_AFTER, UNKNOWN_MACHINE
from goldcrest_api.entering import enter
from goldcrest_api.maintenance import MAINTENANCE
from goldcrest_api.request_scope import maintenance_of, note_code, note_system
from goldcrest_api.services.streams import Stream, TooManyStreams
from goldcrest_api.system_cache import SystemView

BASE_PATH = "/v1"  # where the dialect is documented; its routes are also served without

_GENERAL = "Bad header or JWT, general exception raised"
CLOSE = {"Connection": "close"}  # what is left of the body is not waited for
_IN_ITS_OWN_WORDS = {"MissingScope", InsufficientAuthentication.code}
_REASONS = {
    "TokenMissing": "No Auth Header given",
    "TokenExpired": "JWT token has expired",
    "InvalidSignature": "JWT token has invalid signature",
    "InvalidAudience": "Invalid audience in JWT token",
    "InvalidAlgorithm": "JWT token has invalid signature algorithm",
}


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated request."""

    context: Context
    caller: Caller
    trace: Trace
    request: Request

    def machine(
        self, *, description: str | None, error: str = "Machine does not exist", prefix: str | None = None
    ) -> SystemView:
        """The System that ``X-Machine-Name`` names.

        Args:
            description: of the answer for an unknown machine; None: it has none.
            error: likewise.
            prefix: description of the answer when none is named, with the usual sentence as ``error``; None: the sentence alone.
        """
        name = self.request.headers.get("x-machine-name")
        if name is None:
            sentence = "No machine name given"
            if prefix is None:
                raise Refusal(400, description=sentence)
            raise Refusal(400, description=prefix, error=sentence)
        system = self.context.systems.get(name)
        if system is None:
            raise Refusal(400, description=description, error=error, headers=UNKNOWN_MACHINE, code=UNKNOWN_SYSTEM)
        note_system(self.request, system.name)
        closed = maintenance_of(self.request)
        if name in closed.systems:
            message = closed.systems[name]
            note_code(self.request, MAINTENANCE.name, message)
            headers = MACHINE_NOT_AVAILABLE | {"Retry-After": str(closed.retry_seconds)}
            told = {"description": message, "error": error}
            if description is not None:
                told = {"description": description, "error": message}
            raise Refusal(400, **told, headers=headers, code=MAINTENANCE)
        return system

    async def form(
        self,
        *,
        description: str,
        too_large: str = "Failed to upload batch script. The file is over {mib:g} MB",
    ) -> FormData:
        """The form in the body.

        Args:
            description: of the answer when it cannot be read.
            too_large: of the answer when it has too many bytes; ``{bytes}`` and ``{mib}`` stand for how many are allowed.
        """
        limits = self.context.settings.limits
        most = limits.body_bytes
        try:
            return await read_form(self.request, limit=most, fields=limits.form_fields, seconds=limits.body_seconds)
        except TooLarge as error:
            sentence = too_large.format(bytes=most, mib=most / 2**20)
            raise Refusal(413, description=sentence, headers=CLOSE) from error
        except InvalidInput as error:
            raise Refusal(400, description=description, error=error.message, headers=CLOSE) from error


async def authenticated(request: Request, *, nameless: Callable[[], Refusal] | None = None) -> Call:
    """Who calls. The first thing that every route does; ends the request with 401 when it cannot be told, with 429 when they call too often.

    Args:
        nameless: makes the answer to a good token that names no user, where that is not 401 (contract 3.2); nothing is done for it either way.
    """
    try:
        entered = await enter(request, unnamed_prefix=BASE_PATH)
    except Unauthenticated as error:
        if nameless is not None and error.code == RefusalCode.NO_USER:
            raise nameless() from error
        raise unauthenticated(error) from error
    except Unavailable as error:
        raise Refusal(
            503, description="Tokens cannot be verified at the moment", error=error.message, headers=RETRY_AFTER
        ) from error
    return Call(entered.context, entered.caller, entered.trace, request)


@contextmanager
def stream_slot(call: Call, *, description: str) -> Iterator[Stream]:
    """The caller's leave for one more answer that goes on; ends the request with 429 when there is none, with 401 when the token's time is over.

    Args:
        description: of that answer.
    """
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(call.context.streams.open(call.caller))
        except Unauthenticated as error:
            raise unauthenticated(error) from error
        except TooManyStreams as error:
            raise Refusal(429, description=description, error=error.message, headers=RETRY_AFTER) from error
        yield stream


def unauthenticated(error: Unauthenticated) -> Refusal:
    """The answer to a token that is missing or not accepted (contract 3.2); the header tells programs what to do."""
    # The verifier's own sentence names the missing scope, in the contract's words; policy's says what sign-in it wants.
    reason = error.message if error.code in _IN_ITS_OWN_WORDS else _REASONS.get(error.code, _GENERAL)
    return Refusal(401, description=reason, headers={"WWW-Authenticate": bearer_challenge(error)})
