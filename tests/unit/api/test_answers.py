"""The JSON style of the dialect, and values of headers."""

from __future__ import annotations

import pytest

from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson, header_text

pytestmark = pytest.mark.unit


def test_json_style() -> None:
    """Sorted keys, compact, a newline at the end, the exact content type."""
    response = SortedJson({"b": [1, {"d": 1, "c": "ü"}], "a": None})
    assert response.body == '{"a":null,"b":[1,{"c":"ü","d":1}]}\n'.encode()
    assert response.headers["content-type"] == "application/json"


def test_refusal_without_a_description() -> None:
    """Keys that do not apply are left out."""
    assert Refusal(404, error="Task x does not exist").response().body == b'{"error":"Task x does not exist"}\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [("/a/\u00fc", "/a/\\xfc"), ("one\r\nSet-Cookie: x", "one  Set-Cookie: x"), ("x" * 3000, "x" * 2000)],
)
def test_header_values_stay_one_line(value: str, text: str) -> None:
    """What users or nodes say cannot add a header."""
    assert header_text(value) == text
