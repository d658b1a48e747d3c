"""Time filters of /compute/acct in every documented format, and in others."""

from __future__ import annotations

from datetime import datetime

import pytest

from goldcrest_api.dialects.firecrest_v1.times import FORMATS, system_time

pytestmark = pytest.mark.unit

TODAY = datetime(2031, 5, 17, 9, 30)  # noqa: DTZ001 - of the system's own clock


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("04:05", "2031-05-17T04:05:00"),
        ("4:05", "2031-05-17T04:05:00"),
        ("23:59:58", "2031-05-17T23:59:58"),
        ("04:05 AM", "2031-05-17T04:05:00"),
        ("04:05:06 PM", "2031-05-17T16:05:06"),
        ("12:00 AM", "2031-05-17T00:00:00"),
        ("12:30 pm", "2031-05-17T12:30:00"),
        ("0102", "2031-01-02T00:00:00"),
        ("010230", "2030-01-02T00:00:00"),
        ("01/02", "2031-01-02T00:00:00"),
        ("1/2/30", "2030-01-02T00:00:00"),
        ("01.02", "2031-01-02T00:00:00"),
        ("01.02.30", "2030-01-02T00:00:00"),
        ("01/02-03:04", "2031-01-02T03:04:00"),
        ("01/02/30-03:04:05", "2030-01-02T03:04:05"),
        ("2030-01-02", "2030-01-02T00:00:00"),
        ("2030-01-02T03:04", "2030-01-02T03:04:00"),
        ("2030-01-02T03:04:05", "2030-01-02T03:04:05"),
    ],
)
def test_documented(text: str, time: str) -> None:
    """Each format of contract 5.5."""
    assert system_time(text, today=TODAY) == time


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "now", "today", "midnight", "yesterday", "1", "111", "11111", "24:00", "12:60", "1:2", "13:00 PM"),
        *("0:30 AM", "1332", "0230", "13/01", "02/30", "02.30.30", "01.02-03:04", "0102-03:04", "2030-13-01"),
        *("2030-01-02 03:04", "2030-01-02T3", "2030-01-02T03:04:05Z", "2030-01-02T03:04:05+01:00", "20300102"),
        *("01/02/2030", "'; rm -rf ~", "2030-01-02\n", "٠١/٠٢", "0" * 5000),
    ],
)
def test_others(text: str) -> None:
    """Refused with the value and all formats."""
    with pytest.raises(ValueError, match="is not a valid time") as refusal:
        system_time(text, today=TODAY)
    assert FORMATS in str(refusal.value)


def test_leap_day_without_a_year() -> None:
    """There is none this year."""
    with pytest.raises(ValueError, match="02/29"):
        system_time("02/29", today=TODAY)
    assert system_time("02/29/32", today=TODAY) == "2032-02-29T00:00:00"
