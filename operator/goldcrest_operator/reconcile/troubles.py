"""Errors of effects as what is shown at a Job: trouble that passes, or a refusal that does not."""

from __future__ import annotations

from goldcrest.errors import (
    Again,
    Blocked,
    CommandFailed,
    ConnectionRefused,
    Denied,
    DeniedForNow,
    GoldcrestError,
    HostKeyChanged,
    InvalidInput,
    KubernetesUnavailable,
    LoginDenied,
    PolicyUnavailable,
    SchedulerRefused,
    SchedulerUnavailable,
    SystemUnreachable,
)
from goldcrest.wellknown import Reason
from goldcrest_operator.reconcile.observation import Refusal, Trouble
from goldcrest_operator.scheduler.interface import SiteRefused


def trouble_of(error: GoldcrestError) -> Trouble:
    """What a Job waits for, and whether it goes on by itself."""
    match error:
        case KubernetesUnavailable():
            raise error  # it could not be written anyway
        case Blocked():
            return Trouble(Reason.BLOCKED, blocked_words(error.message))
        case Denied():
            return Trouble(Reason.POLICY_DENIED, error.message, stalled=True)
        case SiteRefused():
            return Trouble(Reason.REJECTED_BY_SITE, error.message, stalled=True)
        case DeniedForNow():
            return Trouble(Reason.DENIED_FOR_NOW, error.message)
        case PolicyUnavailable():
            return Trouble(Reason.POLICY_UNAVAILABLE, error.message)
        case SchedulerUnavailable() | CommandFailed():
            return Trouble(Reason.SCHEDULER_UNAVAILABLE, error.message)
        case ConnectionRefused():
            return Trouble(Reason.CONNECTION_REFUSED, error.message, unreachable=True)
        case LoginDenied():
            return Trouble(Reason.LOGIN_DENIED, error.message, unreachable=True)
        case SystemUnreachable():
            return Trouble(Reason.SYSTEM_UNREACHABLE, error.message, unreachable=True)
        case HostKeyChanged():
            # Only an administrator can say whether that is right; until then no host of the system is trusted.
            return Trouble(Reason.SYSTEM_UNREACHABLE, error.message, unreachable=True)
    return Trouble(Reason.DELEGATION_UNAVAILABLE, error.message)


def blocked_words(why: str) -> str:
    """What a Job says that waits for an administrator's block to be lifted."""
    return f"Stopped by an administrator: {why}. It goes on by itself when that is lifted."


def refusal_of(error: GoldcrestError) -> Refusal | None:
    """The final no of a submission, if this is one."""
    match error:
        case Blocked():
            return None  # until it is lifted
        case SchedulerRefused(again=Again.LATER):
            return Refusal(Reason.REJECTED_FOR_NOW, error.message)
        case SchedulerRefused():
            return Refusal(Reason.REJECTED_BY_SCHEDULER, error.message)
        case SiteRefused():
            return Refusal(Reason.REJECTED_BY_SITE, f"The system refused it: {error.message}")
        case Denied():
            return Refusal(Reason.POLICY_DENIED, f"Not allowed: {error.message}")
        case InvalidInput():
            return Refusal(Reason.REJECTED_BY_SITE, f"No command can be made of it: {error.message}")
    return None
