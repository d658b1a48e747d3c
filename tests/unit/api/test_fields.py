"""Checks of the fields of requests."""

from __future__ import annotations

import pytest

from goldcrest_api.dialects.firecrest_v1.fields import NotJson, environment, outcome

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("character", [*list("<>|;\"'&\\()`"), "\x00", "\x1f", "\n", "\t", "\ud800", "\udfff"])
def test_rejected_characters(character: str) -> None:
    """Every character of the contract's list (3.5), and halves of surrogate pairs, which no answer could repeat."""
    assert outcome(f"a{character}b") == "has invalid char"


@pytest.mark.parametrize("value", ["/a b/$x*[c]{d}#!%~", "\u00fc\u65e5", "\x7f"])
def test_accepted_characters(value: str) -> None:
    """Everything else is a value like any other."""
    assert outcome(value) is None


def test_absent_and_empty() -> None:
    """Two different outcomes."""
    assert outcome(None) == "not specified"
    assert outcome("") == "is empty"


def test_environment_values_become_text() -> None:
    """Text stays; other JSON values become their JSON text; any character is legal (15.30)."""
    text = '{"A": "it\'s; $(x) \\n \u00fc", "B": 1, "C": 1.5, "D": true, "E": null, "F": [1, "x"]}'
    assert environment(text) == {
        "A": "it's; $(x) \n \u00fc",
        "B": "1",
        "C": "1.5",
        "D": "true",
        "E": "null",
        "F": '[1,"x"]',
    }


@pytest.mark.parametrize("text", ["", "{", "{A: 1}", "[1]", '"A"', "1", "null", "[" * 100_000])
def test_environment_that_is_no_object(text: str) -> None:
    """Refused as no JSON object."""
    with pytest.raises(NotJson):
        environment(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"": "x"}', "''"),
        ('{"A=B": "x"}', "'A=B'"),
        ('{"A": "\\u0000"}', "A"),
        ('{"A": "\\ud800"}', "A"),
        ('{"A": "' + "x" * 4097 + '"}', "4096"),
        ("{" + ",".join(f'"A{n}": ""' for n in range(257)) + "}", "256"),
    ],
)
def test_environment_that_no_job_can_have(text: str, said: str) -> None:
    """Refused, naming what is wrong."""
    with pytest.raises(ValueError, match=said) as caught:
        environment(text)
    assert not isinstance(caught.value, NotJson)
