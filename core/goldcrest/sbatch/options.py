"""The options of sbatch that a submission may have (sbatch(1)).

The table is closed: what is not in it can be asked for neither by a field nor by a line of a script. ssh-filter has its
own copy, and a test compares the two. Left out are options that would let sbatch do something else than submit this
script as this user on this system, or read something that nobody signed; ``directives.FORBIDDEN`` says why for each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from goldcrest.canonical import Json
from goldcrest.errors import InvalidInput

TEXT_LIMIT: Final = 4096  # bytes of a value

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_INTEGER = re.compile(r"-?[0-9]{1,10}")
_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")

Value = str | int | bool | tuple[str, ...]


class Kind(StrEnum):
    """What a value is, and how it stands on the command line."""

    TEXT = "text"
    INTEGER = "integer"
    FLAG = "flag"  # `--x` or nothing: sbatch has no way to take it back, so only true is a value
    SWITCH = "switch"  # `--x` or `--no-x`
    WORDS = "words"  # separated by commas


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of sbatch.

    Args:
        flag: long name, without dashes.
        short: the letter, if it has one.
        alias: another long name that means the same.
        choices: all values of a text, if they are few.
        never: regular expression that must not occur in a text.
        least, most: bounds of an integer.
        bare: what it means without a value; "": it needs one.
        adds: a line of a script counts *beside* the command line instead of giving way to it (measured on 22.05).
    """

    flag: str
    kind: Kind = Kind.TEXT
    short: str = ""
    alias: str = ""
    choices: tuple[str, ...] = ()
    never: str = ""
    least: int = 1
    most: int = 10_000_000
    bare: str = ""
    adds: bool = False

    @property
    def form(self) -> str:
        """What a value must be, for a sentence."""
        match self.kind:
            case Kind.INTEGER:
                return f"an integer from {self.least} to {self.most}"
            case Kind.FLAG:
                return "true (leave it out otherwise)"
            case Kind.SWITCH:
                return "true or false"
            case Kind.WORDS:
                return "words with commas between them"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        unlike = f", not like {self.never!r}" if self.never else ""
        return f"text of 1 to {TEXT_LIMIT} bytes without control characters{unlike}"

    def check(self, value: object) -> Value:
        """The value, if it is of the option's type and form.

        Raises:
            InvalidInput: "must be …".
        """
        match self.kind:
            case Kind.INTEGER:
                if type(value) is int and self.least <= value <= self.most:
                    return value
            case Kind.FLAG:
                if value is True:
                    return True
            case Kind.SWITCH:
                if type(value) is bool:
                    return value
            case Kind.WORDS:
                if isinstance(value, list | tuple) and 0 < len(value) <= 32 and all(map(_is_word, value)):
                    return tuple(value)
            case Kind.TEXT:
                if isinstance(value, str) and self._is_text(value):
                    return value
        raise InvalidInput(f"must be {self.form}")

    def read(self, text: str) -> Value:
        """The value that a text means, as in a script or in ``spec.schedulerOptions``.

        Raises:
            InvalidInput: "must be …".
        """
        match self.kind:
            case Kind.INTEGER if _INTEGER.fullmatch(text.strip(" ")):
                return self.check(int(text))
            case Kind.FLAG | Kind.SWITCH if text in ("true", "false"):
                return self.check(text == "true")
            case Kind.WORDS:
                words = (word.strip(" ").upper() for word in text.split(","))
                return self.check([word for word in words if word])
            case Kind.TEXT:
                return self.check(text)
        raise InvalidInput(f"must be {self.form}")

    @staticmethod
    def write(value: Value) -> str:
        """The text that :meth:`read` understands."""
        match value:
            case bool():
                return "true" if value else "false"
            case tuple():
                return ",".join(value)
        return str(value)

    def _is_text(self, value: str) -> bool:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return False
        if not 0 < size <= TEXT_LIMIT or _CONTROL.search(value):
            return False
        return (not self.choices or value in self.choices) and not (self.never and re.search(self.never, value))


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _option(flag: str, kind: Kind = Kind.TEXT, **more: Any) -> Any:
    return field(default=None, metadata={"option": Option(flag=flag, kind=kind, **more)})


def _text(flag: str, **more: Any) -> Any:
    return _option(flag, **more)


def _integer(flag: str, **more: Any) -> Any:
    return _option(flag, Kind.INTEGER, **more)


def _flag(flag: str, **more: Any) -> Any:
    return _option(flag, Kind.FLAG, **more)


# sbatch takes a list of nodes with a slash for a file and reads the nodes from it (sbatch(1), --nodelist).
_A_FILE = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """Options of sbatch as typed fields; each becomes exactly one argument on the node."""

    job_name: str | None = _text("job-name", short="J")
    account: str | None = _text("account", short="A")
    partition: str | None = _text("partition", short="p")
    qos: str | None = _text("qos", short="q")
    reservation: str | None = _text("reservation")
    constraint: str | None = _text("constraint", short="C")
    nodes: str | None = _text("nodes", short="N")
    tasks: int | None = _integer("ntasks", short="n")
    tasks_per_node: int | None = _integer("ntasks-per-node", alias="tasks-per-node")
    cpus_per_task: int | None = _integer("cpus-per-task", short="c")
    memory: str | None = _text("mem")
    memory_per_cpu: str | None = _text("mem-per-cpu")
    gpus: str | None = _text("gpus", short="G")
    time_limit: str | None = _text("time", short="t")
    array: str | None = _text("array", short="a")
    dependency: str | None = _text("dependency", short="d")
    stdin: str | None = _text("input", short="i")
    stdout: str | None = _text("output", short="o")
    stderr: str | None = _text("error", short="e")
    mail_user: str | None = _text("mail-user")
    mail_type: tuple[str, ...] | None = _option("mail-type", Kind.WORDS, adds=True)
    requeue: bool | None = _option("requeue", Kind.SWITCH)

    # What each node, socket, core, GPU or task has. `--gres=help` prints a list, submits nothing and ends well.
    gres: str | None = _text("gres", never="^help$")
    gres_flags: str | None = _text("gres-flags")
    gpus_per_node: str | None = _text("gpus-per-node")
    gpus_per_socket: str | None = _text("gpus-per-socket")
    gpus_per_task: str | None = _text("gpus-per-task")
    cpus_per_gpu: int | None = _integer("cpus-per-gpu")
    memory_per_gpu: str | None = _text("mem-per-gpu")
    tres_per_task: str | None = _text("tres-per-task")
    tasks_per_core: int | None = _integer("ntasks-per-core")
    tasks_per_socket: int | None = _integer("ntasks-per-socket")
    tasks_per_gpu: int | None = _integer("ntasks-per-gpu")
    sockets_per_node: int | None = _integer("sockets-per-node")
    cores_per_socket: int | None = _integer("cores-per-socket")
    threads_per_core: int | None = _integer("threads-per-core")
    extra_node_info: str | None = _text("extra-node-info", short="B")
    min_cpus: int | None = _integer("mincpus")
    tmp: str | None = _text("tmp")
    core_spec: int | None = _integer("core-spec", short="S", least=0)
    thread_spec: int | None = _integer("thread-spec", least=0)
    licenses: str | None = _text("licenses", short="L")
    bb: str | None = _text("bb")

    # Which nodes, and with whom.
    nodelist: str | None = _text("nodelist", short="w", never=_A_FILE)
    exclude: str | None = _text("exclude", short="x", never=_A_FILE)
    prefer: str | None = _text("prefer")
    batch: str | None = _text("batch")
    exclusive: str | None = _text("exclusive", choices=("true", "user", "mcs", "topo"), bare="true")
    oversubscribe: bool | None = _flag("oversubscribe", short="s")
    overcommit: bool | None = _flag("overcommit", short="O")
    contiguous: bool | None = _flag("contiguous")
    spread_job: bool | None = _flag("spread-job")
    use_min_nodes: bool | None = _flag("use-min-nodes")
    switches: str | None = _text("switches")
    segment: int | None = _integer("segment")
    network: str | None = _text("network")
    mcs_label: str | None = _text("mcs-label")

    # How tasks lie on what was given.
    distribution: str | None = _text("distribution", short="m")
    hint: str | None = _text("hint")
    mem_bind: str | None = _text("mem-bind")
    gpu_bind: str | None = _text("gpu-bind")
    tres_bind: str | None = _text("tres-bind")
    cpu_freq: str | None = _text("cpu-freq")
    gpu_freq: str | None = _text("gpu-freq")

    # When it starts and ends.
    begin: str | None = _text("begin", short="b")
    deadline: str | None = _text("deadline")
    time_min: str | None = _text("time-min")
    delay_boot: str | None = _text("delay-boot")
    wait_all_nodes: int | None = _integer("wait-all-nodes", least=0, most=1)
    nice: int | None = _integer("nice", least=-2_147_483_645, most=2_147_483_645, bare="100")
    signal: str | None = _text("signal")
    no_kill: str | None = _text("no-kill", short="k", choices=("true", "off"), bare="true")
    kill_on_invalid_dep: str | None = _text("kill-on-invalid-dep", choices=("yes", "no"), adds=True)

    # How it runs, and what is recorded.
    open_mode: str | None = _text("open-mode", choices=("append", "truncate"))
    propagate: str | None = _text("propagate", bare="ALL")
    container: str | None = _text("container")
    stepmgr: bool | None = _flag("stepmgr")
    wckey: str | None = _text("wckey")
    profile: str | None = _text("profile")
    acctg_freq: str | None = _text("acctg-freq")

    def dump(self) -> dict[str, Json]:
        """Set options only, in camelCase."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.values().items()}

    def values(self) -> dict[str, Value]:
        """Set options only, by their names in camelCase."""
        given = ((name, getattr(self, attribute)) for name, attribute in _ATTRIBUTES.items())
        return {name: value for name, value in given if value is not None}

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> SubmitOptions:
        """Validate typed options from outside.

        Raises:
            InvalidInput: unknown option, wrong type or form.
        """
        given: dict[str, Any] = {}
        for name, content in value.items():
            if name not in OPTIONS:
                raise InvalidInput(f"slurm.submit: unknown option {name!r}")
            try:
                given[_ATTRIBUTES[name]] = OPTIONS[name].check(content)
            except InvalidInput as error:
                raise InvalidInput(f"slurm.submit: option {name} {error.message}") from error
        return cls(**given)


def _camel(attribute: str) -> str:
    first, *rest = attribute.split("_")
    return first + "".join(part.capitalize() for part in rest)


_ATTRIBUTES: Final[dict[str, str]] = {_camel(item.name): item.name for item in fields(SubmitOptions)}

OPTIONS: Final[dict[str, Option]] = {_camel(item.name): item.metadata["option"] for item in fields(SubmitOptions)}
"""Every option by its name in specs, in signed commands and in policy's question."""
