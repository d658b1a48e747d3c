"""The gateway's fault points: around what it makes or changes in Kubernetes; the kind of resource, or ``cancel``, says which."""

from __future__ import annotations

from typing import Final

POINTS: Final[tuple[str, ...]] = (
    "after-grant",  # delegation has answered, nothing is made
    "after-write",  # it is made, and the client does not know
)
