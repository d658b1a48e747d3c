"""Codes of errors for programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from goldcrest import errors
from goldcrest.errors import AnswerLost, CommandFailed, CommandRefused, Denied, GoldcrestError, SystemUnreachable
from goldcrest.identity import RefusalCode
from goldcrest_api import codes
from goldcrest_api.codes import Code, code_of, code_of_status

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).parents[3] / "docs/using.md"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CommandFailed("", kind="os", errno_name="EDQUOT"), Code("QuotaExceeded")),
        (CommandFailed("", kind="os", errno_name="ENOSPC"), Code("NoSpaceLeft")),
        (CommandFailed("", kind="os", errno_name="EROFS"), Code("ReadOnlyFileSystem")),
        (CommandFailed("", kind="os", errno_name="ESTALE"), Code("StaleFileHandle", retryable=True)),
        (CommandFailed("", kind="os", errno_name="EXDEV"), Code("SystemCallFailed")),
        (CommandFailed("", kind="timeout"), Code("TimedOut")),
        (CommandFailed("", kind="limit"), Code("TooLarge")),
        (CommandRefused("", reason="busy"), Code("CommandRefused", retryable=True)),
        (CommandRefused("", reason="operation"), Code("CommandRefused")),
        (SystemUnreachable(""), Code("SystemUnreachable", retryable=True)),
        (AnswerLost(""), Code("AnswerLost")),
        (Denied(""), Code("PolicyDenied")),
        (ValueError(), None),
    ],
)
def test_code_of_an_error(error: Exception, expected: Code | None) -> None:
    """By type, kind and errno; retryable only where it may pass by itself."""
    assert code_of(error) == expected


def test_code_of_what_is_inside() -> None:
    """A failed step is what made it fail."""
    outer = GoldcrestError("outer")
    outer.cause = SystemUnreachable("inner")  # type: ignore[attr-defined]
    assert code_of(outer) == Code("SystemUnreachable", retryable=True)


@pytest.mark.parametrize(
    ("status", "name"), [(400, "InvalidInput"), (404, "NotFound"), (413, "TooLarge"), (418, "Error")]
)
def test_code_of_a_status(status: int, name: str) -> None:
    """Where no error stands behind an answer."""
    assert code_of_status(status).name == name


def test_every_code_is_documented() -> None:
    """docs/using.md lists each that a client can meet."""
    named = {
        *codes._OF_ERRNO.values(),
        *codes._OF_KIND.values(),
        *codes._OF_STATUS.values(),
        "SystemCallFailed",
        *RefusalCode,
    }
    named |= {
        each.code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, GoldcrestError)
    }
    for file in (Path(codes.__file__).parent).rglob("*.py"):
        text = file.read_text()
        named |= set(re.findall(r'\bCode\("([A-Za-z]+)"', text)) | set(
            re.findall(r'^ +code ?= ?"([A-Za-z]+)"', text, re.MULTILINE)
        )
    documented = set(re.findall(r"`([A-Z][A-Za-z]+)`", DOCUMENT.read_text()))
    assert len(named) > 50
    # One is never told, but the code of what is inside; the other ends an answer that had begun.
    assert named - documented == {"SubmissionFailed", "Cut"}
