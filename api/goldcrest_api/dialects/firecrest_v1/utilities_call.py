"""What all routes of ``/utilities`` share: their fields, and the one way in which they run a command."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from starlette.requests import Request

from goldcrest.commands import Command
from goldcrest.commands.base import check_file
from goldcrest.commands.names import name_text
from goldcrest.errors import GoldcrestError, InvalidInput
from goldcrest_api.dialects.firecrest_v1 import file_failures
from goldcrest_api.dialects.firecrest_v1.answers import Refusal
from goldcrest_api.dialects.firecrest_v1.c_quotes import unescaped
from goldcrest_api.dialects.firecrest_v1.call import Call, authenticated
from goldcrest_api.dialects.firecrest_v1.fields import escaped_outcome, outcome
from goldcrest_api.dialects.firecrest_v1.file_failures import Step
from goldcrest_api.dialects.firecrest_v1.texts import NO_USER
from goldcrest_api.ports import RemoteAnswer
from goldcrest_api.system_cache import SystemView

NAMES_HEADER: Final = "x-goldcrest-names"
"""``escaped``: the paths of this request are written as ``/utilities/ls`` writes names, so that any file can be named."""
TOO_LARGE: Final = "Failed to upload file. The file is over {bytes} bytes"


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Utility:
    """A request of ``/utilities`` whose caller and system are known."""

    call: Call
    system: SystemView
    fields: Mapping[str, str]
    """Of the query, or of the form."""
    description: str
    """``Error on <op> operation``."""

    def path(self, name: str = "targetPath", *, description: str | None = None, value_word: str = "") -> str:
        """A field that names a file, as commands take it.

        Args:
            description: of the answer when it is wrong; default: the operation's.
            value_word: stands before the outcome in that answer.

        Raises:
            Refusal: it is missing, empty, or has a character that the contract refuses (3.5).
        """
        given = self.fields.get(name)
        escaped = self.call.request.headers.get(NAMES_HEADER, "").lower() == "escaped"
        told = self.description if description is None else description
        wrong = escaped_outcome(given) if escaped else outcome(given)
        if given is None or wrong is not None:
            raise Refusal(400, description=told, error=f"'{name}' {value_word}{wrong}")
        try:
            return check_file(name_text(unescaped(given) if escaped else given.encode()), name=name)
        except (InvalidInput, ValueError) as error:
            headers = {"X-Invalid-Path": "path is an invalid path"}
            raise Refusal(400, description=told, error=str(error), headers=headers) from error

    def plain(self, name: str) -> str:
        """A field that is no path of a file, but is checked like one."""
        given = self.fields.get(name)
        wrong = outcome(given)
        if given is None or wrong is not None:
            raise Refusal(400, description=self.description, error=f"'{name}' {wrong}")
        return given

    def with_fields(self, fields: Mapping[str, str]) -> Utility:
        """The same with the fields of a body that was read."""
        return replace(self, fields=fields)

    def step(self, program: str, *, target: str, source: str = "", description: str | None = None) -> Step:
        """What is tried, for the answer when it fails."""
        told = self.description if description is None else description
        return Step(description=told, program=program, target=target, source=source)

    async def run(self, command: Command, step: Step) -> RemoteAnswer:
        """Run a command on the system.

        Raises:
            Refusal: it failed.
        """
        files = self.call.context.files
        call = files.run(command, system=self.system, caller=self.call.caller, trace=self.call.trace)
        return await self.answered(call, step)

    async def answered(self, call: Awaitable[_T], step: Step) -> _T:
        """Wait for what was begun on the system.

        Raises:
            Refusal: it failed.
        """
        try:
            return await call
        except GoldcrestError as error:
            raise self.refusal(error, step) from error

    def refusal(self, error: GoldcrestError, step: Step) -> Refusal:
        """The answer when a step failed."""
        return file_failures.refusal(error, step=step, user=self.call.caller.user, machine=self.system.name)


async def entered(request: Request, operation: str) -> Call:
    """Who calls. Contract 3.2: the original found out that a token names no user when it wanted a certificate.

    Args:
        operation: as error texts name it.
    """
    return await authenticated(
        request,
        nameless=lambda: Refusal(
            400, description=description_of(operation), error=NO_USER, headers={"X-Error": NO_USER}
        ),
    )


async def by_query(request: Request, operation: str) -> Utility:
    """The beginning of a route that takes its fields from the query.

    Args:
        operation: as error texts name it.
    """
    call, system = await _beginning(request, operation)
    return Utility(call, system, request.query_params, description_of(operation))


async def by_form(request: Request, operation: str) -> Utility:
    """The beginning of a route that takes its fields from a form."""
    call, system = await _beginning(request, operation)
    description = description_of(operation)
    form = await call.form(description=description, too_large=TOO_LARGE)
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, value)  # the first of several counts
    return Utility(call, system, fields, description)


async def beginning(request: Request, operation: str) -> Utility:
    """The beginning of a route that reads its body itself."""
    call, system = await _beginning(request, operation)
    return Utility(call, system, {}, description_of(operation))


async def _beginning(request: Request, operation: str) -> tuple[Call, SystemView]:
    call = await entered(request, operation)
    return call, call.machine(description=description_of(operation))


def description_of(operation: str) -> str:
    """Of answers that refuse."""
    return f"Error on {operation} operation"


def invalid(description: str, error: str, *, header: str = "X-Error", value: str | None = None) -> Refusal:
    """400 with a header of 3.6; raise it from the error behind it."""
    return Refusal(400, description=description, error=error, headers={header: value or error})
