"""Too much of one caller: the answer 429, whatever the dialect, with when to come again."""

from __future__ import annotations

import math
from collections.abc import Mapping


class TooManyRequests(Exception):
    """Ends a request with 429. No error of the core: nothing was asked of any system, so that no dialect has words for it.

    Args:
        code: stable, for logs and for programs.
        retry_seconds: when it may pass.
        headers: further headers, such as RateLimit-Limit.
    """

    def __init__(
        self, message: str, *, code: str, retry_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_seconds = retry_seconds
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_seconds))), **(headers or {})}
