"""Delegation's fault points: around signing and granting; the operation, or the kind of resource, says which."""

from __future__ import annotations

from typing import Final

POINTS: Final[tuple[str, ...]] = (
    "before-signing",
    "after-signing",  # the certificates are made, and in no audit log
    "after-audit",  # and are in it; nobody has them
    "before-grant",
    "after-grant",  # it is made and in the audit log; nobody has it
)
