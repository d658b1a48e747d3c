"""Times in the formats that ``/compute/acct`` documents (contract 5.5, D3), as the system's own clock takes them. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

_CLOCK: Final = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?"
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        _CLOCK + r"(?: ?(?P<half>AM|PM))?",
        r"(?P<month>[0-9]{2})(?P<day>[0-9]{2})(?P<year>[0-9]{2})?",
        r"(?P<month>[0-9]{1,2})\.(?P<day>[0-9]{1,2})(?:\.(?P<year>[0-9]{2}))?",
        r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})(?:/(?P<year>[0-9]{2}))?(?:-" + _CLOCK + ")?",
        r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})(?:T" + _CLOCK + ")?",
    )
)
FORMATS: Final = "HH:MM[:SS] [AM|PM], MMDD[YY], MM/DD[/YY], MM.DD[.YY], MM/DD[/YY]-HH:MM[:SS], YYYY-MM-DD[THH:MM[:SS]]"


def system_time(text: str, *, today: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SS``. A time alone is today's, a date without a year this year's, a date alone begins at midnight.

    Args:
        today: the present time. The systems' zone is not known here: it should be in the zone of the gateway.

    Raises:
        ValueError: in none of the formats, or no time that there is; says so with the value.
    """
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is not None:
            try:
                return _moment(match.groupdict(), today).strftime("%Y-%m-%dT%H:%M:%S")
            except ValueError:
                break
    raise ValueError(f"'{text}' is not a valid time: {FORMATS}")


def _moment(parts: dict[str, str | None], today: datetime) -> datetime:
    def number(name: str, default: int) -> int:
        value = parts.get(name)
        return default if value is None else int(value)

    year, hour, half = number("year", today.year), number("hour", 0), (parts.get("half") or "").upper()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a half day")
        hour = hour % 12 + (12 if half == "PM" else 0)
    return datetime(  # noqa: DTZ001 - of the system's own clock, whose zone nobody says
        year if year >= 100 else 2000 + year,
        number("month", today.month),
        number("day", today.day),
        hour,
        number("minute", 0),
        number("second", 0),
    )
