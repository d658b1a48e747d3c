"""Slurm operations. The argument lists are built on the node; here is what is asked, and how answers are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import orjson

from goldcrest.canonical import Json
from goldcrest.commands.base import (
    SHA256,
    Arguments,
    Payload,
    check_job_id,
    check_number,
    check_path,
    check_token,
    register,
)
from goldcrest.commands.cluster import SlurmCommand, take_cluster
from goldcrest.errors import InvalidInput
from goldcrest.sbatch.options import SubmitOptions

Scope = Literal["own", "all"]

DESCRIBE_LIMIT = 50  # ids of one slurm.describe: each costs the node one scontrol (13 ms measured)
ACCOUNT_LIMIT = 1000  # ids of one slurm.account
SUBMIT_PAYLOAD_LIMIT = 16 * 1024 * 1024  # bytes

_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a program on the node printed: R of docs/protocol.md."""

    exit: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> CommandOutput:
        return cls(int(answer["exit"]), str(answer["stdout"]), str(answer["stderr"]))


def submit_payload(environment: Mapping[str, str], script: bytes) -> bytes:
    """The payload of ``slurm.submit``: u32 length of header, header JSON, script.

    Raises:
        InvalidInput: for a variable name that is none, a NUL in a value, or more than 16 MiB.
    """
    for name, value in environment.items():
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is not a name of an environment variable")
        if "\0" in value:
            raise InvalidInput(f"environment variable {name} has a NUL character")
    header = orjson.dumps({"environment": dict(environment)}, option=orjson.OPT_SORT_KEYS)
    payload = len(header).to_bytes(4, "big") + header + script
    if len(payload) > SUBMIT_PAYLOAD_LIMIT:
        raise InvalidInput(f"script and environment are {len(payload)} bytes, more than {SUBMIT_PAYLOAD_LIMIT}")
    return payload


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Submit(SlurmCommand):
    """``sbatch``, held, marked with the submission's token (T10).

    ``again``: the token was looked for, and what was begun before took nothing. Without it a node where this submission was
    begun before answers ERROR ``repeated``.
    """

    token: str
    job_directory: str
    work_directory: str
    script_name: str
    content: Payload
    script_path: str | None = None
    script_sha256: str | None = None
    hold: bool = True
    again: bool = False
    options: SubmitOptions = field(default_factory=SubmitOptions)

    op: ClassVar[str] = "slurm.submit"

    @property
    def affinity(self) -> str:
        return self.token  # whoever submitted it knows that the job is of this token

    def args(self) -> dict[str, Json]:
        args: dict[str, Json] = {
            "token": self.token,
            "jobDirectory": self.job_directory,
            "workDirectory": self.work_directory,
            "scriptName": self.script_name,
            "hold": self.hold,
            "again": self.again,
            "options": self.options.dump(),
        }
        if self.script_path is not None and self.script_sha256 is not None:
            args["scriptPath"] = self.script_path
            args["scriptSha256"] = self.script_sha256
        return self.on_cluster(args)

    @property
    def payload(self) -> Payload:
        return self.content

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        if payload is None:
            raise InvalidInput("slurm.submit: the payload is missing")
        check_number(payload.size, name="size of the payload", most=SUBMIT_PAYLOAD_LIMIT)
        given = Arguments(cls.op, args)
        script_name = given.take("scriptName", str)
        if not _SCRIPT_NAME.fullmatch(script_name):
            raise InvalidInput(f"slurm.submit: {script_name!r} is no name for a script")
        script_path = given.take("scriptPath", str, optional=True)
        script_sha256 = given.take("scriptSha256", str, optional=True)
        if (script_path is None) != (script_sha256 is None):
            raise InvalidInput("slurm.submit: scriptPath and scriptSha256 go together")
        if script_path is not None:
            check_path(script_path, name="scriptPath")
            if not SHA256.fullmatch(script_sha256):
                raise InvalidInput("slurm.submit: scriptSha256 is not a SHA-256 in lower-case hex")
        command = cls(
            token=check_token(given.take("token", str)),
            job_directory=check_path(given.take("jobDirectory", str), name="jobDirectory"),
            work_directory=check_path(given.take("workDirectory", str), name="workDirectory"),
            script_name=script_name,
            script_path=script_path,
            script_sha256=script_sha256,
            hold=given.take("hold", bool),
            again=given.take("again", bool),
            options=SubmitOptions.load(given.take("options", dict)),
            content=payload,
            cluster=take_cluster(given),
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Find(SlurmCommand):
    """Look for a submission by its token, in the queue and in accounting (of the last 30 days)."""

    token: str

    op: ClassVar[str] = "slurm.find"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"token": self.token})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(check_token(given.take("token", str)), cluster=take_cluster(given))
        given.done()
        return command


@dataclass(frozen=True, slots=True)
class _TokenAndJob(SlurmCommand):
    token: str
    job_id: str

    idempotent: ClassVar[bool] = True

    @property
    def affinity(self) -> str:
        return self.token  # whoever submitted it knows that the job is of this token

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"token": self.token, "jobId": self.job_id})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_token(given.take("token", str)),
            check_job_id(given.take("jobId", str)),
            cluster=take_cluster(given),
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Release(_TokenAndJob):
    """Let the job with this id start, if it carries the token."""

    op: ClassVar[str] = "slurm.release"


@register
@dataclass(frozen=True, slots=True)
class Hold(_TokenAndJob):
    """Keep the job with this id from starting, if it carries the token."""

    op: ClassVar[str] = "slurm.hold"


@register
@dataclass(frozen=True, slots=True)
class Cancel(SlurmCommand):
    """Cancel every job with the token; with ``keep``, only held ones that are not in it (the sweep)."""

    token: str
    keep: tuple[str, ...] = ()

    op: ClassVar[str] = "slurm.cancel"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"token": self.token, "keep": list(self.keep)})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_token(given.take("token", str)),
            check_job_ids(given.take("keep", list), most=10),
            cluster=take_cluster(given),
        )
        given.done()
        return command


def check_scope(value: str) -> Scope:
    match value:
        case "own" | "all":
            return value
    raise InvalidInput(f"scope {value!r} is neither 'own' nor 'all'")


def check_job_ids(values: list[Any], *, most: int, least: int = 0) -> tuple[str, ...]:
    if not least <= len(values) <= most:
        raise InvalidInput(f"{len(values)} job ids; {least} to {most} are allowed")
    for value in values:
        if not isinstance(value, str):
            raise InvalidInput(f"job id {value!r} is not text")
        check_job_id(value)
    return tuple(values)


@register
@dataclass(frozen=True, slots=True)
class Queue(SlurmCommand):
    """``squeue``: all jobs of the user, or all that the user can see."""

    scope: Scope

    op: ClassVar[str] = "slurm.queue"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"scope": self.scope})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(check_scope(given.take("scope", str)), cluster=take_cluster(given))
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Describe(SlurmCommand):
    """``scontrol show job`` of some jobs: knows ended ones for a few minutes, with their exit codes."""

    job_ids: tuple[str, ...]

    op: ClassVar[str] = "slurm.describe"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"jobIds": list(self.job_ids)})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_job_ids(given.take("jobIds", list), least=1, most=DESCRIBE_LIMIT), cluster=take_cluster(given)
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Account(SlurmCommand):
    """``sacct`` of some jobs."""

    scope: Scope
    job_ids: tuple[str, ...]

    op: ClassVar[str] = "slurm.account"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"scope": self.scope, "jobIds": list(self.job_ids)})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_scope(given.take("scope", str)),
            check_job_ids(given.take("jobIds", list), least=1, most=ACCOUNT_LIMIT),
            cluster=take_cluster(given),
        )
        given.done()
        return command
