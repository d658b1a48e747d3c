"""The dialects that the gateway speaks: a new one is a folder beside this file, and a line here."""

from __future__ import annotations

from typing import Final

from goldcrest_api.dialect import Dialect
from goldcrest_api.dialects import firecrest_v1

DIALECTS: Final[tuple[Dialect, ...]] = (firecrest_v1.DIALECT,)
"""The first one's shape is that of answers to paths of no dialect."""
