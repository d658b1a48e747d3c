"""What a Slurm program's failure means: that Slurm is busy, is away, or says no, and whether it makes sense to try again.

Pure functions over what was printed. Texts: slurm_errno.c of Slurm 22.05 to 24.11, and the names of limits in job_reason_codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from goldcrest.commands.outputs import NOT_NOW, NOT_RUN, UNCERTAIN, words
from goldcrest.commands.slurm import CommandOutput
from goldcrest.errors import Again, SchedulerBusy, SchedulerRefused, SchedulerUnavailable

# Of those that pass, the ones that Slurm says while it is up: it throttles, or has too much to do.
_BUSY: Final = (
    "rate limit",
    "rpc rate",
    "too many rpc",
    "temporarily unable to accept job",
    "resource temporarily unavailable",
    "socket timed out",
    "try again",
)

# A limit that was hit, by its name: on how many jobs there may be, or on what one may ask for.
_LIMIT = re.compile(r"\b(?:Assoc|QOS)(?:Grp|Max|Min)[A-Za-z]*")

# In the order in which they are looked for; whatever is in none was said by the site's own plugin, or by a newer Slurm.
_SITE: Final = (
    "access/permission denied",
    "user's group not permitted",
    "invalid user id",
    "invalid group id",
    "slurm internal error",
    "burst buffer permission denied",
)
_LATER: Final = (
    "required partition not available",
    "partition in down state",
    "required node not available",
    "partition configuration not available now",
    "requested nodes are busy",
    "reservation not usable now",
    "requested reservation is in use",
    "licenses currently unavailable",
    "immediate execution impossible",
    "breached requested qos usage threshold",
    "maintenance reservation",
    "required ports are in use",
)
_CHANGED: Final = (
    "invalid ",
    "specification",
    "no partition specified",
    "not in this partition",
    "more processors requested than permitted",
    "node configuration is not available",
    "memory required by task is not available",
    "requested time limit",
    "access denied to requested reservation",
    "dependency problem",
    "circular job dependency",
    "job dependency",
    "too long",
    "batch script",
    "not supported on this system",
    "unrecognized option",
    "multiple partition job request",
    "unsupported by configured selecttype",
    "cannot request more threads per core",
)

_SENTENCES: Final = {
    Again.LATER: "It may be accepted later: submit it again then.",
    Again.CHANGED: "",  # Slurm's words say what is wrong with it
    Again.SITE: "Only the administrators of the system can change that.",
    Again.UNKNOWN: "",
}


@dataclass(frozen=True, slots=True)
class SubmissionRefusal:
    """A submission that Slurm refused."""

    words: str
    """Its own, those of a ``job_submit`` plugin among them; at most 1500 characters."""
    again: Again

    @property
    def message(self) -> str:
        """The words, and what may be done about it where they do not say."""
        sentence = _SENTENCES[self.again]
        return f"{self.words.rstrip('.')}. {sentence}" if sentence else self.words


def submission_refusal(output: CommandOutput) -> SubmissionRefusal:
    """What an sbatch that was refused (``SubmissionVerdict.REFUSED``) says about trying again."""
    return SubmissionRefusal(words(output), _again(output.stderr))


def _again(stderr: str) -> Again:
    limit = _LIMIT.search(stderr)
    if limit is not None:
        return Again.LATER if "Submit" in limit[0] else Again.CHANGED
    text = stderr.lower()
    for again, texts in ((Again.SITE, _SITE), (Again.LATER, _LATER), (Again.CHANGED, _CHANGED)):
        if any(known in text for known in texts):
            return again
    return Again.UNKNOWN  # also "job violates accounting/QOS policy" alone: too many jobs, or too large a one


def raise_if_passing(output: CommandOutput, *, program: str) -> None:
    """For a program that may be started again: nothing, unless it failed because Slurm does not answer now.

    Raises:
        SchedulerBusy: it throttles, or has too much to do.
        SchedulerUnavailable: it does not answer, or the program could not be run.
    """
    if output.exit == 0:
        return
    text = output.stderr.lower()
    message = f"{program} failed: {words(output)}"
    if any(known in text for known in _BUSY):
        raise SchedulerBusy(message)
    if output.exit < 0 or (output.exit >= 128 and output.exit != _SCANCEL_NOT_ALLOWED) or output.exit in NOT_RUN:
        raise SchedulerUnavailable(message)
    if any(known in text for known in (*NOT_NOW, *UNCERTAIN)):
        raise SchedulerUnavailable(message)


_SCANCEL_NOT_ALLOWED: Final = 210  # exit status of scancel for another user's job (contract 5.6), not a signal


def answered(output: CommandOutput, *, program: str) -> str:
    """Standard output of a question that somebody asked.

    Raises:
        SchedulerBusy, SchedulerUnavailable: the same question may be answered later.
        SchedulerRefused: with Slurm's own words: no such job, node, user.
    """
    raise_if_passing(output, program=program)
    if output.exit != 0:
        raise SchedulerRefused(words(output), again=_again(output.stderr))
    return output.stdout
