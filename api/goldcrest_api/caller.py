"""The caller of a request: who the token speaks for, and the token itself for delegation."""

from __future__ import annotations

from dataclasses import dataclass, field

from goldcrest.authority import ByToken
from goldcrest_api.ports import Identity


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller. The token stays out of ``repr``, so that no log or traceback holds it."""

    issuer: str
    subject: str
    user: str
    systems: frozenset[str] | None
    token: str = field(repr=False)
    route: str = ""
    expires: float = float("inf")
    """Seconds of the epoch at which the token is no longer valid."""

    @classmethod
    def of(cls, identity: Identity, token: str, *, route: str) -> Caller:
        """
        Args:
            route: the dialect's route that is served, as method and path template; delegation is told, and policy sees it.
        """
        return cls(
            identity.issuer, identity.subject, identity.username, identity.systems, token, route, identity.expires
        )

    @property
    def basis(self) -> ByToken:
        """On what ground this caller's commands are signed."""
        return ByToken(self.token, self.route)

    def covers(self, system: str) -> bool:
        """Whether the rule of the token's issuer counts for this system (T5)."""
        return self.systems is None or system in self.systems

    def sees(self, *, system: str, run_as: str) -> bool:
        """Whether a resource is visible: the caller's user on its system is its ``runAs`` (T5)."""
        return self.user == run_as and self.covers(system)
