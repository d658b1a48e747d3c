"""``/reservations``: advance reservations through the site's own command (contract section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands.reservations import DEFAULT_COMMAND, NAME, NODES_LIMIT, TIME, WORD
from goldcrest.errors import (
    CommandFailed,
    CommandRefused,
    ConnectionRefused,
    Denied,
    DeniedForNow,
    GoldcrestError,
    LoginDenied,
    Unauthenticated,
    Unavailable,
)
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.call import Call, authenticated, unauthenticated
from goldcrest_api.dialects.firecrest_v1.texts import (
    CONNECTION_REFUSED,
    MACHINE_NOT_AVAILABLE,
    NO_PERMISSION_MACHINE_OR_PATH,
    NOT_ALLOWED,
    PERMISSION_DENIED,
    RETRY_AFTER,
    RETRY_LATER,
    TIMED_OUT,
)
from goldcrest_api.services.reservations import ToolTimedOut
from goldcrest_api.system_cache import SystemView

_LISTING: Final = "Error listing reservation"
_CREATING: Final = "Error creating reservation"
_UPDATING: Final = "Error updating reservation"
_DELETING: Final = "Error deleting reservation"
_DENIED_WORDS: Final = ("Permission", "SystemAdministrator")  # of the tool: they are its protocol (D9)
_COUNT: Final = re.compile(r"[0-9]{1,7}")


async def some(request: Request) -> Response:
    """All reservations of a system."""
    call = await authenticated(request)
    system = _machine(call, _LISTING)
    try:
        found = await call.context.reservations.all(system, call.caller, call.trace)
    except GoldcrestError as error:
        raise _refusal(error, system, _LISTING) from error
    return SortedJson({"success": found})


async def create(request: Request) -> Response:
    """Make a reservation."""
    call = await authenticated(request)
    system = _machine(call, _CREATING)
    form = await call.form(description=_CREATING)
    name = _matching(form, "reservation", NAME, error=_CREATING)
    account = _matching(form, "account", WORD, error=_CREATING)
    wanted = _wanted(form, error=_CREATING)
    try:
        said = await call.context.reservations.create(
            name,
            account=account,
            nodes=wanted.nodes,
            node_type=wanted.node_type,
            start=wanted.start,
            end=wanted.end,
            system=system,
            caller=call.caller,
            trace=call.trace,
        )
    except GoldcrestError as error:
        raise _refusal(error, system, _CREATING) from error
    return SortedJson({"success": said.rstrip("\n")}, status_code=201)


async def update(request: Request) -> Response:
    """Change the size or the time of a reservation."""
    call = await authenticated(request)
    system = _machine(call, _UPDATING)
    name = _named(request, error=_UPDATING)
    wanted = _wanted(await call.form(description=_UPDATING), error=_UPDATING)
    try:
        said = await call.context.reservations.update(
            name,
            nodes=wanted.nodes,
            node_type=wanted.node_type,
            start=wanted.start,
            end=wanted.end,
            system=system,
            caller=call.caller,
            trace=call.trace,
        )
    except GoldcrestError as error:
        raise _refusal(error, system, _UPDATING) from error
    return SortedJson({"success": said.rstrip("\n")})


async def delete(request: Request) -> Response:
    """Give a reservation up."""
    call = await authenticated(request)
    system = _machine(call, _DELETING)
    name = _named(request, error=_DELETING)
    try:
        await call.context.reservations.delete(name, system=system, caller=call.caller, trace=call.trace)
    except GoldcrestError as error:
        raise _refusal(error, system, _DELETING) from error
    return Response(status_code=204)


async def status(request: Request) -> Response:
    """Say that this service is there."""
    await authenticated(request)
    return SortedJson({"success": "ack"})


@dataclass(frozen=True, slots=True)
class _Wanted:
    nodes: int
    node_type: str
    start: str
    end: str


def _machine(call: Call, error: str) -> SystemView:
    if call.request.headers.get("x-machine-name") is None:
        raise Refusal(400, description="No machine name given", error=error)
    return call.machine(description=None, error=error)


def _wanted(form: FormData, *, error: str) -> _Wanted:
    count = _given(form, "numberOfNodes", error=error)
    if not _COUNT.fullmatch(count) or not 0 < int(count) <= NODES_LIMIT:
        raise _wrong("numberOfNodes", " is not valid. It should be an integer > 0", count, error=error)
    node_type = _matching(form, "nodeType", WORD, error=error)
    start, end = (_time(form, field, error=error) for field in ("starttime", "endtime"))
    if end <= start:
        raise Refusal(
            400, description=f"'endtime' occurs before 'starttime' (value entered:'{_text(end)}')", error=error
        )
    # By the server's clock and in its zone, as a time without one can only be.
    if start <= datetime.now():  # noqa: DTZ005
        raise Refusal(400, description=f"'starttime' is in the pass (value entered:'{_text(start)}')", error=error)
    return _Wanted(int(count), node_type, _text(start), _text(end))


def _given(form: FormData, field: str, *, error: str) -> str:
    value = form.get(field)
    if not isinstance(value, str):
        raise Refusal(400, description=f"'{field}' form data input missing", error=error)
    return value


def _matching(form: FormData, field: str, pattern: re.Pattern[str], *, error: str) -> str:
    value = _given(form, field, error=error)
    if not pattern.fullmatch(value):
        raise _wrong(field, " format is not valid", value, error=error)
    return value


def _named(request: Request, *, error: str) -> str:
    name = str(request.path_params["reservation"])
    if not NAME.fullmatch(name):
        raise _wrong("reservation", " format is not valid", name, error=error)
    return name


def _time(form: FormData, field: str, *, error: str) -> datetime:
    value = _given(form, field, error=error)
    try:
        if TIME.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError:  # the thirtieth of February
        pass
    raise _wrong(field, " format is not valid. It should be YYYY-MM-DDTHH:MM:SS", value, error=error)


def _text(time: datetime) -> str:
    return time.isoformat()


def _wrong(field: str, what: str, value: str, *, error: str) -> Refusal:
    shown = value[:200].encode("utf-8", "replace").decode()  # a path may hold what no text can
    return Refusal(400, description=f"'{field}' parameter{what} (value entered:'{shown}')", error=error)


def _refusal(cause: GoldcrestError, system: SystemView, error: str) -> Refusal:
    denied = {PERMISSION_DENIED: NO_PERMISSION_MACHINE_OR_PATH}
    match cause:
        case Unauthenticated():
            return unauthenticated(cause)
        case DeniedForNow():
            headers = MACHINE_NOT_AVAILABLE | RETRY_LATER
            return Refusal(400, description=cause.message, error=error, headers=headers)
        case ConnectionRefused():
            return Refusal(400, description=CONNECTION_REFUSED, error=error, headers=RETRY_AFTER)
        case LoginDenied():
            return Refusal(400, description=cause.message, error=error)
        case Unavailable():
            headers = MACHINE_NOT_AVAILABLE | RETRY_AFTER
            return Refusal(400, description="Machine is not available", error=error, headers=headers)
        case ToolTimedOut() | CommandFailed(kind="timeout"):
            return Refusal(400, description=TIMED_OUT, error=error, headers={"X-Timeout": TIMED_OUT})
        case Denied():
            return Refusal(404, description=cause.message, error=error, headers=denied)
        case CommandRefused():
            return Refusal(400, description=NOT_ALLOWED, error=error, headers={"X-Error": NOT_ALLOWED})
        case CommandFailed(kind="os", errno_name="ENOENT"):
            sentence = f"{system.name} has no command for reservations"
            return Refusal(400, description=sentence, error=error, headers={"X-Error": sentence})
        case _:
            words = _own_words(cause.message, system.spec.reservation_command or DEFAULT_COMMAND)
            if any(word in words for word in _DENIED_WORDS):
                return Refusal(404, description=words, error=error, headers=denied)
            return Refusal(400, description=words, error=error)


def _own_words(text: str, command: str) -> str:
    """What the tool said, without the prefixes that it and ``timeout`` put before it."""
    prefixes = ("timeout:", f"{command}:", f"{DEFAULT_COMMAND}:", "Error:")
    words = text.strip()
    while (prefix := next((prefix for prefix in prefixes if words.startswith(prefix)), None)) is not None:
        words = words.removeprefix(prefix).strip()
    return words
