"""What a user may use and has used, through the command that the System names."""

from __future__ import annotations

from goldcrest.commands import CommandOutput, ShowQuota
from goldcrest.errors import CommandFailed, NotFound
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.services.files import Files
from goldcrest_api.system_cache import SystemView

_TIMED_OUT = 124  # exit status of timeout(1), which a site's command may use itself


class NoQuotaCommand(NotFound):
    """The System names no command for quotas."""

    code = "NoQuotaCommand"


async def quota_of(files: Files, *, system: SystemView, caller: Caller, trace: Trace) -> str:
    """What the command prints for the caller.

    Raises:
        NoQuotaCommand: there is none.
        CommandFailed: it ended with an error; its words are the message.
        GoldcrestError: it could not be run.
    """
    name = system.spec.quota_command
    if name is None:
        raise NoQuotaCommand(f"{system.name} has no command for quotas")
    answer = await files.run(ShowQuota(name), system=system, caller=caller, trace=trace)
    output = CommandOutput.of(answer.result)
    if output.exit == _TIMED_OUT:
        raise CommandFailed("the command for quotas did not end in time", kind="timeout")
    if output.exit != 0:
        words = output.stderr.strip() or output.stdout.strip() or f"exit status {output.exit}"
        raise CommandFailed(words[:2000], kind="exit")
    return output.stdout
