"""Routes of ``/utilities`` that read the content of files: head, tail, view (contract 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands import Command, Head, ReadFile, StatFile, Tail
from goldcrest.commands.answers import PartRead
from goldcrest.errors import CommandFailed
from goldcrest_api.codes import Code
from goldcrest_api.dialects.firecrest_v1.amounts import Amount, amount
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.fields import is_true
from goldcrest_api.dialects.firecrest_v1.utilities_call import Utility, by_query, description_of, invalid

_Program = Literal["head", "tail"]
_TOO_LARGE = {"X-Size-Limit": "File exceeds size limit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Which part of a file is asked for."""

    program: _Program
    size: Amount | None
    lines: Amount | None
    grep: str | None

    @property
    def description(self) -> str:
        told = description_of(self.program)
        return f"{told} with grep" if self.grep else told

    @property
    def whole(self) -> bool:
        return self.size is None and self.lines is None and self.grep is None

    @property
    def kind(self) -> type[Head | Tail]:
        return Head if self.program == "head" else Tail

    def command(self, path: str, *, limit: int, everything: bool = False) -> Head | Tail:
        """
        Args:
            limit: bytes of the answer.
            everything: where neither bytes nor lines are said, all of the file is meant, not 10 lines.
        """
        size = Amount(limit, skip=False) if everything and self.size is None and self.lines is None else self.size
        amounts = [given for given in (size, self.lines) if given is not None]
        return self.kind(
            path=path,
            limit=limit,
            size=size.number if size is not None else None,
            lines=self.lines.number if self.lines is not None else None,
            skip=any(given.skip for given in amounts),
            grep=self.grep,
        )


async def head(request: Request) -> Response:
    """The first lines or bytes of a file."""
    return await _part(request, "head", skip_field="skip_ending")


async def tail(request: Request) -> Response:
    """The last lines or bytes of a file."""
    return await _part(request, "tail", skip_field="skip_beginning")


async def view(request: Request) -> Response:
    """The content of a text file, whole (D4), or a part of it: ``bytes``, ``lines``, ``grep``."""
    utility = await by_query(request, "fsize")
    path = utility.path()
    part = _wanted(utility, "head", skip=False)
    limit = _limit(utility, ReadFile)
    size = await utility.run(StatFile(path, dereference=True), utility.step("stat", target=path))
    if int(size.result["size"]) > limit:
        raise _too_large()
    step = utility.step("head", target=path, description=part.description)
    if not part.whole:
        return await _answer(utility, part, part.command(path, limit=limit, everything=True))
    # One byte more than allowed: a file that grows meanwhile (a job's output) is noticed, not cut.
    answer = await utility.run(ReadFile(path, offset=0, length=limit + 1), step)
    if len(answer.data) > limit:
        raise _too_large()
    return _text("head", answer.data, description=part.description)


async def _part(request: Request, program: _Program, *, skip_field: str) -> Response:
    utility = await by_query(request, program)
    path = utility.path()
    part = _wanted(utility, program, skip=is_true(utility.fields.get(skip_field)))
    return await _answer(utility, part, part.command(path, limit=_limit(utility, part.kind)))


def _wanted(utility: Utility, program: _Program, *, skip: bool) -> _Part:
    query = utility.fields
    byte_count, line_count, grep = query.get("bytes"), query.get("lines"), query.get("grep") or None
    part = _Part(program=program, size=None, lines=None, grep=grep)
    if byte_count and line_count:
        raise Refusal(400, description=part.description, error="Can not specify both 'bytes' and 'lines'")
    return _Part(
        program=program,
        size=_amount(byte_count, "bytes", part, skip=skip),
        lines=_amount(line_count, "lines", part, skip=skip),
        grep=grep,
    )


def _amount(text: str | None, unit: str, part: _Part, *, skip: bool) -> Amount | None:
    if not text:
        return None
    try:
        return amount(text, program=part.program, skip=skip)
    except ValueError as error:
        raise invalid(part.description, f"{part.program}: invalid number of {unit}: '{text}'") from error


async def _answer(utility: Utility, part: _Part, command: Head | Tail) -> Response:
    step = utility.step(part.program, target=command.path, description=part.description)
    try:
        answer = await utility.run(command, step)
    except Refusal as refusal:
        if isinstance(refusal.__cause__, CommandFailed) and refusal.__cause__.kind == "limit":
            error = f"Command output exceeded buffer limit ({command.limit})"
            raise invalid(part.description, error) from refusal.__cause__
        raise
    if part.grep and not PartRead.of(answer.result).matched:
        raise Refusal(
            404,
            description=part.description,
            error="pattern not found",
            headers={"X-Not-Found": "pattern not found"},
            code=Code("PatternNotFound"),
        )
    return _text(part.program, answer.data, description=part.description)


def _text(program: str, content: bytes, *, description: str) -> Response:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        headers = {"X-Error": str(error)}
        raise Refusal(400, description=description, error=str(error), headers=headers, code=Code("NotText")) from error
    return SortedJson({"description": f"Success to {program} file.", "output": text})


def _limit(utility: Utility, operation: type[Command]) -> int:
    """Bytes of an answer, which is held in memory whatever the System allows for files."""
    return min(utility.system.spec.limits.file_bytes(operation.op), utility.call.context.settings.limits.text_bytes)


def _too_large() -> Refusal:
    return Refusal(400, description="Failed to view file content", headers=_TOO_LARGE, code=Code("TooLarge"))
