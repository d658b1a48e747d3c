"""The one hierarchy of exceptions. It knows nothing of HTTP, kopf or SSH libraries; each edge maps it once.

Messages say what was wrong, with which value, and what to do. They never hold secrets, tokens or certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class GoldcrestError(Exception):
    """Base of every error that Goldcrest raises on purpose.

    ``code`` is stable and machine-readable; ``retryable`` says whether the same question may succeed later.
    """

    code = "Error"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InvalidInput(GoldcrestError):
    """A value from outside is malformed or out of bounds."""

    code = "InvalidInput"


class Unauthenticated(GoldcrestError):
    """No, or no sufficient, proof of who is asking.

    ``challenge`` tells what proof would do: ``scope`` (RFC 6750), ``acr_values`` and ``max_age`` (RFC 9470).
    """

    code = "Unauthenticated"

    def __init__(self, message: str, *, code: str | None = None, challenge: Mapping[str, str] | None = None) -> None:
        super().__init__(message, code=code)
        self.challenge = dict(challenge or {})


class InsufficientAuthentication(Unauthenticated):
    """A valid token, but policy wants a stronger or a fresher sign-in for this: ``challenge`` says which (RFC 9470)."""

    code = "InsufficientAuthentication"


class Denied(GoldcrestError):
    """Policy, rights or trust rules say no. The reason may be shown to the client."""

    code = "PolicyDenied"


class Blocked(Denied):
    """An administrator stopped the requester or the Unix user. Not final: when that is lifted, the same question is answered again."""

    code = "Blocked"


class NotFound(GoldcrestError):
    """What was named does not exist, or not for this caller."""

    code = "NotFound"


class Conflict(GoldcrestError):
    """Somebody else changed it first (resourceVersion), or the name is taken."""

    code = "Conflict"


class TooLarge(GoldcrestError):
    """Above a stated limit."""

    code = "TooLarge"


class Unavailable(GoldcrestError):
    """A part that is needed does not answer now."""

    code = "Unavailable"
    retryable = True


class QuotaExceeded(Unavailable):
    """Whoever asks has as much as they may have at once; it passes as something of theirs ends."""

    code = "QuotaExceeded"


class PolicyUnavailable(Unavailable):
    """OPA does not answer, or not in the agreed form: denied for now."""

    code = "PolicyUnavailable"


class DeniedForNow(Unavailable):
    """Policy says no, and that this passes by itself: a maintenance window. The reason may be shown to the client."""

    code = "DeniedForNow"


class DelegationUnavailable(Unavailable):
    """The delegation service does not answer."""

    code = "DelegationUnavailable"


class LeaseNotHeld(Unavailable):
    """Delegation signs for the holder of the shard's Lease only, and the caller is not it, or not yet as delegation knows it."""

    code = "LeaseNotHeld"


class KubernetesUnavailable(Unavailable):
    """The Kubernetes API does not answer or asks to come back later."""

    code = "KubernetesUnavailable"


class SystemUnreachable(Unavailable):
    """No login host of the system accepts a session now, or the answer was lost."""

    code = "SystemUnreachable"


class ConnectionRefused(SystemUnreachable):
    """The system's login hosts are there, and nothing listens on the ports of their sshd."""

    code = "ConnectionRefused"


class LoginDenied(SystemUnreachable):
    """The system's login hosts work, and none of them lets this user in, or lets the session come as far as ssh-filter: the account, its
    start-up files, or what keeps users out for a while (nologin, an sshd that ends). From outside these look alike, so it may pass."""

    code = "LoginDenied"


class AnswerLost(SystemUnreachable):
    """The connection was cut after a command had been sent: it may or may not have taken effect."""

    code = "AnswerLost"


class HostKeyChanged(GoldcrestError):
    """A login host showed a key that is not pinned in its System. Never accepted, never learned."""

    code = "HostKeyChanged"


class CommandRefused(GoldcrestError):
    """ssh-filter did not accept a frame (T3); nothing was done. ``reason`` is one of docs/protocol.md."""

    code = "CommandRefused"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class OldFilter(CommandRefused):
    """The node's filter does not know something that a newer one does; it was not asked."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; update it with install.sh of this release", reason="operation")


class CommandFailed(GoldcrestError):
    """A command was accepted on the node and failed. ``kind``, ``errno_name``, ``path`` and ``what`` as in docs/protocol.md (ERROR)."""

    code = "CommandFailed"

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        errno_name: str | None = None,
        path: str | None = None,
        what: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.errno_name = errno_name
        self.path = path
        self.what = what


class AnswerUnusable(GoldcrestError):
    """A node answered what docs/protocol.md does not say. What was asked for may have been done."""

    code = "AnswerUnusable"


class Again(StrEnum):
    """Whether what was refused may be accepted when it is asked for again."""

    LATER = "Later"  # unchanged: a limit on the number of jobs, a partition that is down
    CHANGED = "Changed"  # only if the request is changed
    SITE = "Site"  # only if administrators change something
    UNKNOWN = "Unknown"  # Slurm's words do not tell, or they are those of the site's own plugin


class SchedulerRefused(GoldcrestError):
    """Slurm refused, in its own words. ``again``: whether asking again makes sense; nothing is asked again by itself."""

    code = "RejectedByScheduler"

    def __init__(self, message: str, *, again: Again = Again.UNKNOWN) -> None:
        super().__init__(message)
        self.again = again


class SchedulerUnavailable(Unavailable):
    """Slurm's controller or database does not answer, or throttles."""

    code = "SchedulerUnavailable"


class SchedulerBusy(SchedulerUnavailable):
    """Slurm answers, but throttles or has too much to do: never a job's failure, and reason to ask less often."""

    code = "SchedulerBusy"
