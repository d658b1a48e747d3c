"""``System``: an HPC system that Goldcrest can reach. Cluster-scoped, holds no credentials."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from goldcrest.models.base import AbsolutePath, Model, StatusModel, Timestamp, UnixUser
from goldcrest.models.conditions import Condition

FILE_SIZE_MIB: Final = 5  # of Limits.max_file_size_mib; what FirecREST has
UTILITIES_SECONDS: Final = 5  # of Limits.utilities_seconds; likewise

HostKey = Annotated[
    str,
    StringConstraints(
        max_length=4096, pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]+=*$"
    ),
]
"""An OpenSSH public key line without comment."""


CLUSTER_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"

_ADDRESS: Any = Field(
    min_length=1,
    max_length=253,
    pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$",
    description="Host name or IP address.",
)
_HOST_KEYS: Any = Field(
    default_factory=list,
    max_length=8,
    description="Pinned host keys. A host that shows another key is refused; keys are never learned.",
)


class JumpHost(Model):
    """A host of the site's edge whose sshd relays to one login host."""

    address: str = _ADDRESS
    port: int = Field(
        ge=1, le=65535, description="TCP port of the sshd that relays to this login host and to nothing else."
    )
    host_keys: list[HostKey] = _HOST_KEYS


class LoginHost(Model):
    """One login host with the dedicated sshd."""

    address: str = _ADDRESS
    port: int = Field(ge=1, le=65535, description="TCP port of the dedicated sshd.")
    host_keys: list[HostKey] = _HOST_KEYS
    via: JumpHost | None = Field(
        default=None, description="Jump host, where the login host cannot be reached directly; see docs/protocol.md."
    )


class Scheduler(Model):
    """How batch jobs are run."""

    type: Literal["Slurm"] = Field(description="Kind of scheduler.")
    cluster: str | None = Field(
        default=None,
        max_length=64,
        pattern=CLUSTER_PATTERN,
        description="Cluster of the Slurm database that commands are for (-M), where the login hosts' own is another; not all.",
    )
    submit_fence: Literal["Hold", "None"] | None = Field(
        default=None,
        description="Hold (default): jobs are submitted held and released once their id is stored, so that a double can never run.",
    )
    observer: UnixUser | None = Field(
        default=None,
        description="Unix user whose read-only queries follow all jobs at once; without one, each user's jobs are asked for as that user.",
    )
    queue_is_public: bool | None = Field(
        default=None,
        description="true: Slurm shows each job to everybody who asks (no jobs in PrivateData, no partition hidden from anybody). Listings of all jobs are then answered from one query of the observer.",
    )


class FileSystem(Model):
    """A file system that users see."""

    name: str = Field(min_length=1, max_length=63, description="Short name, e.g. scratch.")
    path: AbsolutePath = Field(description="Where it is mounted on the login hosts.")
    description: str | None = Field(default=None, max_length=1024, description="What it is for.")


class ObjectStore(Model):
    """Where data waits on its way between clients and the system."""

    url: str = Field(
        max_length=300,
        pattern=r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$",
        description="URL of its S3 endpoint; http only where nobody else is on the network between.",
    )


class OperationLimits(Model):
    """Bounds of one operation, where they differ from those of all."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.maxFileSizeMiB) || self.operation in ['fs.head', 'fs.read', 'fs.tail', 'fs.write']",
                    "message": "only fs.head, fs.read, fs.tail and fs.write have a size",
                    "fieldPath": ".maxFileSizeMiB",
                },
                {
                    "rule": "has(self.maxFileSizeMiB) || has(self.seconds)",
                    "message": "give seconds, maxFileSizeMiB, or both",
                },
            ]
        }
    )

    operation: Literal[
        "fs.checksum",
        "fs.chmod",
        "fs.chown",
        "fs.compress",
        "fs.copy",
        "fs.extract",
        "fs.head",
        "fs.ls",
        "fs.mkdir",
        "fs.quota",
        "fs.read",
        "fs.rename",
        "fs.rm",
        "fs.stat",
        "fs.symlink",
        "fs.tail",
        "fs.type",
        "fs.write",
    ] = Field(
        description="Which, as policy names it: fs.read is download and view (of a part: fs.head), fs.write is upload, fs.type is file."
    )
    max_file_size_mib: int | None = Field(
        default=None,
        alias="maxFileSizeMiB",
        ge=1,
        le=1_048_576,
        description="MiB of a file that is read (fs.read, fs.head, fs.tail) or written (fs.write).",
    )
    seconds: int | None = Field(default=None, ge=1, le=600, description="Seconds on the login host.")


class Limits(Model):
    """Bounds of the operations that are done while a client waits."""

    max_file_size_mib: int | None = Field(
        default=None,
        alias="maxFileSizeMiB",
        ge=1,
        le=1_048_576,
        description="MiB of a file that is up- or downloaded, viewed, or read in part while the client waits (default 5). Larger ones go through object storage.",
    )
    utilities_seconds: int | None = Field(
        default=None,
        ge=1,
        le=600,
        description="Seconds for one operation on files, on the login host (default 5). Uploads and downloads get a second more for each MiB.",
    )
    operations: list[OperationLimits] = Field(
        default_factory=list,
        max_length=18,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["operation"]},
        description="Single operations with bounds of their own.",
    )

    def file_bytes(self, operation: str = "") -> int:
        """Bytes that a file may have: with this operation, or with all that have no bound of their own."""
        own = next((one.max_file_size_mib for one in self.operations if one.operation == operation), None)
        return (own or self.max_file_size_mib or FILE_SIZE_MIB) * 2**20

    def seconds(self, operation: str = "") -> int:
        """Seconds for one operation, likewise."""
        own = next((one.seconds for one in self.operations if one.operation == operation), None)
        return own or self.utilities_seconds or UTILITIES_SECONDS


class SystemSpec(Model):
    """What the administrator says about a system."""

    description: str | None = Field(default=None, max_length=1024, description="A sentence for users.")
    hosts: list[LoginHost] = Field(min_length=1, max_length=16, description="Login hosts, in order of preference.")
    host_certificate_authorities: list[HostKey] = Field(
        default_factory=list, max_length=8, description="CAs whose host certificates are accepted."
    )
    filter_path: str = Field(
        pattern=r"^/[A-Za-z0-9._/-]+$",
        max_length=255,
        description="Path of ssh-filter on the login hosts, without blanks.",
    )
    scheduler: Scheduler = Field(description="The batch scheduler.")
    work_directory: str = Field(
        pattern=r"^/[^\x00-\x1f\x7f]*$",
        max_length=1024,
        description="Directory for jobs' files on storage that all login hosts and nodes share; {user} stands for the Unix user.",
    )
    file_systems: list[FileSystem] = Field(
        default_factory=list, max_length=64, description="File systems that users see."
    )
    object_store: ObjectStore | None = Field(
        default=None, description="The object store of transfers. So far its health alone is looked at."
    )
    limits: Limits = Field(
        default_factory=Limits, description="Bounds of the operations that are done while a client waits."
    )

    reservation_command: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$",
        description="Name of the site's command for reservations (default rsvmgmt), as the policy file of the login hosts has it; see docs/protocol.md.",
    )
    quota_command: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$",
        description="Name of the site's command that prints a user's quota, as the policy file of the login hosts has it; none: quotas are not shown.",
    )

    def work_directory_of(self, user: str) -> str:
        """The work directory of a Unix user."""
        return self.work_directory.replace("{user}", user)


ProbeState = Literal["Up", "Down", "Unknown"]
"""Unknown: nobody could look, which is no fault of what was to be looked at; the message says why."""

_PROBE_STATE: Any = Field(description="Up, Down, or Unknown when nobody could look; the message says why.")
_LATENCY: Any = Field(default=None, ge=0, description="Milliseconds that the look took, when it was written.")
_LAST_CHECK: Any = Field(
    default=None, description="When it was looked at; written on transitions and every five minutes."
)
_MESSAGE: Any = Field(default="", max_length=1024, description="What was found.")


class ServiceStatus(StatusModel):
    """One thing that the operator looks at: an sshd, the scheduler, the object store."""

    name: str = Field(max_length=63, description="ssh, scheduler or object-store.")
    host: str | None = Field(default=None, max_length=300, description="address:port for ssh, URL of the object store.")
    state: ProbeState = _PROBE_STATE
    latency_milliseconds: int | None = _LATENCY
    last_check: Timestamp | None = _LAST_CHECK
    message: str = _MESSAGE


class FileSystemStatus(StatusModel):
    """Whether a file system answers on a login host."""

    name: str = Field(max_length=63, description="As in the spec.")
    path: str = Field(max_length=4096, description="As in the spec.")
    state: ProbeState = _PROBE_STATE
    latency_milliseconds: int | None = _LATENCY
    last_check: Timestamp | None = _LAST_CHECK
    message: str = _MESSAGE


class SystemStatus(StatusModel):
    """Health, written on transitions and every five minutes at most."""

    observed_generation: int = Field(default=-1, description="Generation of the spec that was looked at last.")
    conditions: list[Condition] = Field(
        default_factory=list, max_length=16, description="Ready: a login host answers with a pinned key."
    )
    last_checked: Timestamp | None = Field(default=None, description="When the health was written last.")
    services: list[ServiceStatus] = Field(
        default_factory=list,
        max_length=32,
        description="Each login host's sshd, the scheduler, and the object store where the spec has one.",
    )
    file_systems: list[FileSystemStatus] = Field(
        default_factory=list, max_length=64, description="Each file system of the spec; Unknown without an observer."
    )
