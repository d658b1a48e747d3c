"""The JSON style of the dialect (contract 2.4), and answers that end a request early."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from goldcrest_api.codes import Code, code_headers, code_of, code_of_status
from goldcrest_api.dialect import Fault
from goldcrest_api.maintenance import MAINTENANCE
from goldcrest_api.request_scope import note_refusal

# Answered with a page instead of JSON (2.4), but for some of one service.
_PAGES: Final = frozenset({404, 405, 500})
_JSON_OF_RESERVATIONS: Final = frozenset({405, 500})
_WORDS: Final = {
    404: "There is no such route; /docs lists them all.",
    405: "This route is not asked with this method; the header Allow names those that it is asked with.",
    500: "The gateway failed. Tell its administrators which request it was.",
}


class SortedJson(JSONResponse):
    """Keys sorted, compact, a newline at the end."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def created(task_id: str, *, status: int) -> Response:
    """The answer of every route that makes a task (contract 5.1)."""
    body = {"success": "Task created", "task_id": task_id, "task_url": f"/tasks/{task_id}"}
    return SortedJson(body, status_code=status)


class Refusal(Exception):
    """Ends a request with this answer.

    Args:
        status: HTTP status.
        body: keys of the JSON answer; those that are None are left out.
        headers: further headers; their values are made fit for HTTP.
        code: for programs; default: that of the error behind it, else what the status means.
    """

    def __init__(
        self,
        status: int,
        *,
        description: str | None = None,
        error: str | None = None,
        headers: Mapping[str, str] | None = None,
        code: Code | None = None,
    ) -> None:
        super().__init__(description or error)
        self._code = code
        self.status = status
        given = {"description": description, "error": error}
        self.body = {key: value for key, value in given.items() if value is not None}
        self.headers = {name: header_text(value) for name, value in (headers or {}).items()}

    def response(self) -> Response:
        told = {name: header_text(value) for name, value in code_headers(self.code).items()}
        return SortedJson(self.body, status_code=self.status, headers=self.headers | told)

    @property
    def code(self) -> Code:
        """What went wrong, for programs."""
        behind = code_of(self.__cause__) if self.__cause__ is not None else None
        return self._code or behind or code_of_status(self.status)


async def answer_refusal(request: Request, refusal: Exception) -> Response:
    """The handler for :class:`Refusal`."""
    assert isinstance(refusal, Refusal)  # noqa: S101  registered for this class only
    note_refusal(request, refusal)
    return refusal.response()


def answer_to_fault(fault: Fault, path: str) -> Response:
    """What no route of the dialect answered. A maintenance is told as the original's gateway does (``request-termination``)."""
    if fault.code == MAINTENANCE:
        return SortedJson({"message": fault.detail}, status_code=fault.status)
    as_pages = _PAGES - _JSON_OF_RESERVATIONS if path.startswith("/reservations") else _PAGES
    if fault.status in as_pages:
        return _page(fault)
    body = {"description": fault.title}
    if fault.detail is not None:
        body["error"] = fault.detail
    if fault.status == 429:
        body["code"] = fault.code.name
    return SortedJson(body, status_code=fault.status)


def _page(fault: Fault) -> Response:
    title = f"{fault.status} {HTTPStatus(fault.status).phrase}"
    words = "".join(f"<p>{escape(text)}</p>\n" for text in (_WORDS[fault.status], fault.detail) if text)
    page = f"<!doctype html>\n<html lang=en>\n<title>{title}</title>\n<h1>{title}</h1>\n{words}"
    return HTMLResponse(page, status_code=fault.status)


def header_text(value: str) -> str:
    """Text as it may stand in a header: one line, ASCII (others as ``\\u00e9``), at most 2000 characters."""
    line = "".join(character if character.isprintable() else " " for character in value)
    return line.encode("ascii", "backslashreplace").decode()[:2000]
