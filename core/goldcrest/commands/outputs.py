"""What Slurm's programs print, read into typed rows. Pure functions: text in, frozen rows out.

A row that does not have its fields is left out: users choose comments and names, and a line break in one makes lines that are none.
Sources: squeue(1), sacct(1), scontrol(1), sbatch(1), and the formats fixed in docs/protocol.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from goldcrest.commands.records import record_fields
from goldcrest.commands.slurm import CommandOutput
from goldcrest.errors import SchedulerUnavailable

SEPARATOR: Final = "\x1f"
QUEUE_FIELDS: Final = 17
ACCOUNT_FIELDS: Final = 16
WORDS_LIMIT: Final = 1500  # characters of a program's own words that are shown to people

_NOTHING = frozenset(("", "(null)", "N/A", "n/a", "Unknown", "None", "None assigned", "NONE", "INVALID"))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One line of squeue: a job, or one element of an array. Times are epoch seconds, durations seconds."""

    job_id: str
    base_id: str
    """Id of the array, or of the job itself."""
    array_index: str | None
    user: str
    state: str
    reason: str | None
    start: int | None
    end: int | None
    submit: int | None
    elapsed: int | None
    nodes: int | None
    node_list: str | None
    partition: str | None
    account: str | None
    qos: str | None
    comment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One line of sacct: a job, or one element of an array."""

    job_id: str
    base_id: str
    user: str
    state: str
    exit_code: int | None
    signal: int | None
    submit: int | None
    start: int | None
    end: int | None
    elapsed: int | None
    nodes: int | None
    node_list: str | None
    partition: str | None
    account: str | None
    qos: str | None
    comment: str | None
    submit_line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One line of ``scontrol show job -o``. Its times are left out: they are local to the node, without a zone."""

    job_id: str
    base_id: str
    array: bool
    """Whether it is an array, or an element of one."""
    user: str
    state: str
    reason: str | None
    exit_code: int | None
    signal: int | None
    elapsed: int | None
    nodes: int | None
    node_list: str | None
    partition: str | None
    account: str | None
    comment: str | None
    qos: str | None
    time_limit: str | None
    restarts: int | None
    array_index: str | None
    component: int | None
    """Number of the component of a heterogeneous job."""
    command: str | None
    work_directory: str | None
    stdout: str | None
    stderr: str | None


@dataclass(frozen=True, slots=True)
class SubmittedId:
    """What ``sbatch --parsable`` prints: the id, and the cluster where it is not the default one."""

    job_id: str
    cluster: str | None = None


class SubmissionVerdict(Enum):
    """What an sbatch that did not print an id means."""

    REFUSED = auto()
    """Slurm said no: unchanged, it will say no again."""
    NOT_NOW = auto()
    """Certainly not taken, for a reason that passes: controller away, throttled."""
    UNCERTAIN = auto()
    """Nobody knows whether it was taken: it must be looked for by its token."""


def base_id(job_id: str) -> str:
    """Id of the whole: ``12`` of ``12``, ``12_3``, ``12_[4-9]`` and ``12+1`` (heterogeneous)."""
    return re.split(r"[_+.]", job_id, maxsplit=1)[0]


def parse_queue(text: str) -> tuple[QueueRow, ...]:
    """Rows of squeue in the format of docs/protocol.md."""
    return tuple(map(queue_row, queue_fields(text)))


def queue_fields(text: str) -> Iterator[Sequence[str]]:
    """The fields of each row; what is no row is passed over."""
    for line in text.splitlines():
        fields = line.split(SEPARATOR, QUEUE_FIELDS - 1)
        if len(fields) == QUEUE_FIELDS and _is_id(fields[1]):
            yield fields


def queue_base(fields: Sequence[str]) -> str:
    """Id of the whole that a row is of."""
    # Each component of a heterogeneous job has an id of its own there; as shown (12+1) it has the job's.
    return base_id(fields[0]) if "+" in fields[0] and _is_id(base_id(fields[0])) else fields[1]


def queue_row(fields: Sequence[str]) -> QueueRow:
    return QueueRow(
        job_id=fields[0],
        base_id=queue_base(fields),
        array_index=_text(fields[2]),
        user=fields[4],
        state=fields[5],
        reason=_text(fields[6]),
        start=_epoch(fields[7]),
        end=_epoch(fields[8]),
        submit=_epoch(fields[9]),
        elapsed=duration(fields[10]),
        nodes=_number(fields[11]),
        node_list=_text(fields[12]),
        partition=_text(fields[13]),
        account=_text(fields[14]),
        qos=_text(fields[15]),
        comment=_text(fields[16]),
    )


def parse_account(text: str) -> tuple[AccountRow, ...]:
    """Rows of sacct in the format of docs/protocol.md."""
    rows = []
    for line in text.splitlines():
        fields = line.split(SEPARATOR, ACCOUNT_FIELDS - 1)
        if len(fields) != ACCOUNT_FIELDS or not _is_id(base_id(fields[0])):
            continue
        exit_code, signal = _exit(fields[4])
        rows.append(
            AccountRow(
                job_id=fields[0],
                base_id=base_id(fields[0]),
                user=fields[2],
                state=fields[3].split(" ", 1)[0],  # "CANCELLED by 1000"
                exit_code=exit_code,
                signal=signal,
                submit=_epoch(fields[5]),
                start=_epoch(fields[6]),
                end=_epoch(fields[7]),
                elapsed=_number(fields[8]),
                nodes=_number(fields[9]),
                node_list=_text(fields[10]),
                partition=_text(fields[11]),
                account=_text(fields[12]),
                qos=_text(fields[13]),
                comment=_text(fields[14]),
                submit_line=fields[15],
            )
        )
    return tuple(rows)


# The job's name comes early and may look like any further field; users cannot choose what follows it up to Command.
_NAME = re.compile(r" JobName=.* (?=UserId=[^ ]+\([0-9]+\) GroupId=)")


def parse_describe(text: str) -> tuple[JobRecord, ...]:
    """Records of ``scontrol show job -o``: one line for a job, several for an array."""
    records = []
    for line in text.splitlines():
        fields = record_fields(_NAME.sub(" ", line.strip(), count=1))
        fields |= _paths(line)
        job_id = fields.get("JobId", "")
        if not _is_id(job_id) or "JobState" not in fields:
            continue
        exit_code, signal = _exit(fields.get("ExitCode", ""))
        records.append(
            JobRecord(
                job_id=job_id,
                base_id=fields.get("ArrayJobId") or fields.get("HetJobId") or job_id,
                array="ArrayJobId" in fields,
                user=fields.get("UserId", "").partition("(")[0],
                state=fields["JobState"],
                reason=_text(fields.get("Reason", "")),
                exit_code=exit_code,
                signal=signal,
                elapsed=duration(fields.get("RunTime", "")),
                nodes=_number(fields.get("NumNodes", "").partition("-")[0]),
                node_list=_text(fields.get("NodeList", "")),
                partition=_text(fields.get("Partition", "")),
                account=_text(fields.get("Account", "")),
                comment=_text(fields.get("Comment", "")),
                qos=_text(fields.get("QOS", "")),
                time_limit=_text(fields.get("TimeLimit", "")),
                restarts=_number(fields.get("Restarts", "")),
                array_index=_text(fields.get("ArrayTaskId", "")),
                component=_number(fields.get("HetJobOffset", "")),
                command=_text(fields.get("Command", "")),
                work_directory=_text(fields.get("WorkDir", "")),
                stdout=_text(fields.get("StdOut", "")),
                stderr=_text(fields.get("StdErr", "")),
            )
        )
    return tuple(records)


# What Slurm 22.05 to 24.11 print behind a path. Paths may hold blanks and look like fields, so that only these end them.
_BEHIND_DIRECTORY = re.compile(" (?:Admin|System)?Comment=")
_BEHIND_OUTPUT = re.compile(
    r" (?:Power|TresPer[A-Za-z]+|CpusPerTres|MemPerTres|TresBind|TresFreq|MailUser|MailType|SubmitLine)="
)


def _paths(line: str) -> dict[str, str]:
    """The fields of a record that are paths; none where they do not come in their order. Linear in the line's length."""
    fields: dict[str, str] = {}
    rest = line.partition(" Command=")[2]
    for name, following in (("Command", "WorkDir"), ("WorkDir", "StdErr"), ("StdErr", "StdIn"), ("StdIn", "StdOut")):
        fields[name], found, rest = rest.partition(f" {following}=")
        if not found:
            return {}
    fields["WorkDir"] = _BEHIND_DIRECTORY.split(fields["WorkDir"], maxsplit=1)[0]
    fields["StdOut"] = _BEHIND_OUTPUT.split(rest, maxsplit=1)[0]
    return fields


_SUBMITTED = re.compile(r"([0-9]+)(?:;([A-Za-z0-9._-]+))?")


def parse_submitted(text: str) -> SubmittedId | None:
    """The id that ``sbatch --parsable`` printed (``id`` or ``id;cluster``); None unless exactly one line is one."""
    matches = [match for line in text.splitlines() if (match := _SUBMITTED.fullmatch(line.strip()))]
    if len(matches) != 1:
        return None
    return SubmittedId(matches[0][1], matches[0][2])


# Texts of slurm_errno.c, 22.05 to 24.11, in lower case.
NOT_NOW: Final = (
    "unable to contact slurm controller",
    "slurm controller in standby",
    "backup controller in standby",
    "slurm temporarily unable to accept job",
    "resource temporarily unavailable",
    "slurm database connection failure",
    "unable to contact slurm database",
    "protocol authentication error",
    "munge socket",
    "rpc rate limit",
    "rate limit exceeded",
    "too many rpc",
    "could not establish a configuration source",
    "unable to process configuration file",
    "unable to create job record",
    "system submissions disabled",
    "can't be reached now",  # of a cluster named by -M
    "problem talking to the database",
    "failed to open persistent connection",
    "i/o error writing script",
    "invalid authentication credential",
    "error while loading shared libraries",
)
NOT_RUN: Final = (
    126,
    127,
)  # the program, or a library that it needs, cannot be run now: an upgrade, a file system away
UNCERTAIN: Final = (
    "socket timed out",
    "zero bytes were transmitted or received",
    "unexpected message received",
    "communication connection failure",
    "message send failure",
    "message receive failure",
    "connection reset",
    "connection timed out",
    "transport endpoint is not connected",
    "broken pipe",
)


def submission_verdict(output: CommandOutput) -> SubmissionVerdict:
    """What an sbatch means that did not print an id. What it did not take for a known passing reason, it refused."""
    text = output.stderr.lower()
    if any(words in text for words in UNCERTAIN) or output.exit == 0 or output.exit < 0 or output.exit >= 128:
        return SubmissionVerdict.UNCERTAIN  # also: it ended well but said nothing, or a signal ended it
    if output.exit in NOT_RUN or any(words in text for words in NOT_NOW):
        return SubmissionVerdict.NOT_NOW
    return SubmissionVerdict.REFUSED


def require_answer(output: CommandOutput, *, program: str) -> str:
    """Standard output of a query that worked.

    Raises:
        SchedulerUnavailable: with the program's own words; a query of ours can only fail because Slurm does not answer.
    """
    if output.exit != 0:
        raise SchedulerUnavailable(f"{program} failed: {words(output)}")
    return output.stdout


def words(output: CommandOutput) -> str:
    """What a Slurm program said about its failure, without the prefixes, at most 1500 characters.

    Some (``scontrol show node``) say it on standard output.
    """
    said = output.stderr if output.stderr.strip() else output.stdout
    lines = [re.sub(r"^(\w+: )?(\w+ )?(error|fatal): |^\w+: ", "", line.strip()) for line in said.splitlines()]
    text = "; ".join(line for line in lines if line) or f"exit status {output.exit} without a message"
    printable = "".join(character if character.isprintable() else "�" for character in text)
    return printable[:WORDS_LIMIT]


def duration(text: str) -> int | None:
    """Seconds of ``[days-][[hours:]minutes:]seconds``; None when it is none."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _text(text: str) -> str | None:
    text = text.strip()  # scontrol puts a second blank behind a comment
    return None if text in _NOTHING else text


def _epoch(text: str) -> int | None:
    return int(text) if _is_id(text) and int(text) > 0 else None


def _number(text: str) -> int | None:
    return int(text) if _is_id(text) else None


def _exit(text: str) -> tuple[int | None, int | None]:
    code, _, signal = text.partition(":")
    return _number(code), _number(signal)
