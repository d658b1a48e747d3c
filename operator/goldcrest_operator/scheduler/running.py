"""One command of a Job or Task on a login node, and what a refusal there means: for good, or for now."""

from __future__ import annotations

from typing import Final

from goldcrest.commands import Command
from goldcrest.errors import CommandRefused, SystemUnreachable
from goldcrest_operator.scheduler.interface import Answer, CommandRunner, SiteRefused, Target

# Reasons of docs/protocol.md that mean this command or this user; all others are about certificates, clocks or load and may pass.
# An operation that is not enabled on one host may be on the next, or after an upgrade.
_FOR_GOOD: Final = frozenset(("arguments", "payload", "uid", "group"))


async def run(runner: CommandRunner, command: Command, target: Target, *, payload: bytes = b"") -> Answer:
    """Have it run.

    Raises:
        SiteRefused: the login node refused it for good.
        SystemUnreachable: it refused it for now; and what the SSH pool raises.
    """
    try:
        return await runner.run(
            command,
            system=target.system,
            spec=target.spec,
            user=target.user,
            basis=target.basis,
            trace=target.trace,
            payload=payload,
        )
    except CommandRefused as error:
        if error.reason in _FOR_GOOD:
            raise SiteRefused(f"the login node does not allow it ({error.reason}): {error.message}") from error
        raise SystemUnreachable(f"the login node refused for now ({error.reason}): {error.message}") from error
