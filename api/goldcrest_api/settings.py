"""Settings of the gateway: read from the environment once, at start."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from goldcrest.blocked import LOOK_SECONDS
from goldcrest.ssh import SshSettings
from goldcrest.tracing import TracingSettings
from goldcrest.wellknown import PORT_API, PORT_METRICS

ENVIRONMENT_PREFIX = "GOLDCREST_API_"
FIRECREST_VERSION = "1.16.1"  # the release whose behaviour the dialect has (contract D17)
_MIB = 1024 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ListenSettings(_Part):
    """Where the gateway listens."""

    host: str = Field(
        default="0.0.0.0",  # noqa: S104  a pod is reached by its own address
        description="Address to listen on. 127.0.0.1 when only a proxy on the same machine should reach it.",
    )
    port: int = Field(default=PORT_API, ge=0, le=65535, description="TCP port.")
    metrics_port: int = Field(
        default=PORT_METRICS, ge=0, le=65535, description="TCP port of /metrics, without TLS; 0: not served. Users must not reach it."
    )  # fmt: skip
    tls_certificate_file: Path | None = Field(
        default=None,
        description="PEM certificate chain: the gateway then speaks TLS itself, without a proxy before it.",
    )
    tls_key_file: Path | None = Field(default=None, description="PEM private key of the certificate.")
    shutdown_seconds: int = Field(
        default=20, ge=0, le=600, description="Seconds for running requests to end when the process is asked to stop. Below the pod's grace period (30)."
    )  # fmt: skip
    keep_alive_seconds: int = Field(
        default=75, ge=1, le=3600, description="Seconds an idle connection stays open. Above the idle time-out of a proxy before it (60), which would else meet closed ones."
    )  # fmt: skip


class DelegationSettings(_Part):
    """How the delegation service is reached."""

    url: str = Field(description="https://host:port, or unix:/path/of/socket.")
    ca_file: Path | None = Field(default=None, description="PEM certificates that the service is verified against.")
    token_file: Path = Field(
        default=Path("/var/run/secrets/goldcrest/delegation/token"),
        description="Projected service-account token with the audience goldcrest-delegation.",
    )
    blocked_seconds: float = Field(
        default=LOOK_SECONDS, gt=0, le=60, description="Seconds between two looks at the block list at most; then the sessions of who is blocked are ended. The default ends them within 5 s of the change, where delegation answers."
    )  # fmt: skip


class LimitSettings(_Part):
    """Bounds on what clients send and on what is kept. Sizes in bytes, times in seconds."""

    body_bytes: int = Field(
        default=5 * _MIB, ge=1024, le=14 * _MIB, description="Bytes of a request's body; larger ones are refused with 413. Above 14 MiB the login node would refuse the script."
    )  # fmt: skip
    body_seconds: float = Field(
        default=60, gt=0, le=3600, description="Seconds in which a request's body must have arrived, so that slow senders hold nothing."
    )  # fmt: skip
    form_fields: int = Field(default=64, ge=4, le=1000, description="Fields of a form.")
    path_script_bytes: int = Field(
        default=16 * _MIB, ge=1024, le=16 * _MIB, description="Bytes of a batch script on the system (jobs/path). The login node reads 16 MiB at most."
    )  # fmt: skip
    text_bytes: int = Field(
        default=32 * _MIB, ge=1024, le=48 * _MIB, description="Bytes of text that /utilities/view, head and tail return at most, whatever a System's own limit for files is: they are held in memory."
    )  # fmt: skip
    listing_entries: int = Field(
        default=50_000, ge=100, le=200_000, description="Entries that /utilities/ls returns; a directory with more is refused."
    )  # fmt: skip
    command_seconds: float = Field(
        default=10, gt=0, le=60, description="Seconds for a connection to a login node and for what is small; then the client is told that the system is not available. An operation on files has its System's own limit beside it."
    )  # fmt: skip
    transfer_seconds: float = Field(
        default=30, gt=0, le=600, description="Seconds for writing a large script to the login node, and for reading its digest."
    )  # fmt: skip
    access_seconds: float = Field(
        default=60, ge=0, le=60, description="Seconds for which a successful look at a user's access to a system counts. 0: look each time. Policy is asked each time in any case."
    )  # fmt: skip
    named_tasks: int = Field(
        default=1000, ge=1, le=10_000, description="Tasks that one GET /tasks?tasks=… may name; more are refused with 400. A thousand ids are 33 KB of URL, which a proxy before the gateway must let through."
    )  # fmt: skip
    watch_stale_seconds: float = Field(
        default=300, ge=1, le=86_400, description="Seconds without an open watch of the Kubernetes API after which the gateway says that it is not ready: what it knows of tasks is that old. Well above a restart of the API server."
    )  # fmt: skip


class StreamSettings(_Part):
    """Answers that go on: events, and output that is followed."""

    per_user: int = Field(
        default=16, ge=1, le=1000, description="Answers of one Unix user that may be open at once; more are refused with 429. Each holds a connection, and one that follows output asks the login node every few seconds."
    )  # fmt: skip
    most: int = Field(
        default=2000, ge=1, le=100_000, description="Likewise of all users together. Above it, more replicas."
    )
    history: int = Field(
        default=10_000, ge=0, le=1_000_000, description="Changes of jobs that are kept, so that who was cut off misses none (about 4 KB each). Should last for some minutes of the busiest hour; who comes later is told all anew."
    )  # fmt: skip
    waiting: int = Field(
        default=1000, ge=1, le=100_000, description="Changes that may wait for one reader of events; one who is slower than that is dropped."
    )  # fmt: skip
    heartbeat_seconds: float = Field(
        default=15, gt=0, le=300, description="Seconds without an event until a comment is sent. Below the idle time-out of a proxy before it (60)."
    )  # fmt: skip
    piece_bytes: int = Field(
        default=_MIB, ge=1024, le=16 * _MIB, description="Bytes of output that one command on the login node reads; so many are held for each that follows."
    )  # fmt: skip
    follow_bytes: int = Field(
        default=1024 * _MIB, ge=1024, description="Bytes of one answer that follows output; then it is cut, and the client goes on behind them."
    )  # fmt: skip
    patience_seconds: float = Field(
        default=120, ge=0, le=3600, description="Seconds for which a system may not answer while its output is followed, until the answer is cut."
    )  # fmt: skip
    slow_seconds: float = Field(
        default=30, gt=0, le=600, description="Seconds for which a reader may take nothing of what is sent; then the connection is closed."
    )  # fmt: skip


class Settings(BaseSettings):
    """The whole. Nested ones are written with two underscores: GOLDCREST_API_LISTEN__PORT."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    identity_file: Path = Field(description="identity.toml: the issuers of tokens and their mapping rules.")
    kubeconfig: Path | None = Field(
        default=None, description="kubeconfig of the gateway's account; without one, the pod's service account."
    )
    delegation: DelegationSettings = Field(description="How the delegation service is reached.")
    listen: ListenSettings = Field(default_factory=ListenSettings, description="Where the gateway listens.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Bounds.")
    streams: StreamSettings = Field(default_factory=StreamSettings, description="Answers that go on.")
    ssh: SshSettings = Field(default_factory=SshSettings, description="How login hosts are connected to.")
    spool_folder: Path = Field(
        default=Path("/tmp"),  # noqa: S108  its files have no names
        description="Folder in which uploads of more than 512 KiB wait until they are complete, for their digest is signed before they go on. Room for as many as come at once.",
    )
    create_namespaces: bool = Field(
        default=False, description="Make a user's namespace on first use. Needs the role for it; else an administrator makes them."
    )  # fmt: skip
    user_namespaces: dict[str, str] = Field(
        default_factory=dict,
        description="Unix user to namespace, as JSON, for users whose REST resources are not in hpc-<name>-<digest>. The same as delegation's.",
    )
    ttl_seconds_after_finished: int = Field(
        default=86_400, ge=60, le=31_536_000, description="Seconds for which a finished Job made here stays readable."
    )
    auth_header_name: str = Field(
        default="Authorization", pattern=r"^[A-Za-z0-9-]+$", description="Header that carries the token."
    )
    firecrest_version: str = Field(
        default=FIRECREST_VERSION,
        pattern=r"^[0-9]+(\.[0-9]+)*$",
        description="FIRECREST_VERSION in /status/parameters: clients choose by it what they call. A PEP 440 release number.",
    )
    tracing: TracingSettings = Field(default_factory=TracingSettings, description="Where spans are sent.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")

    @model_validator(mode="after")
    def _tls_in_pairs(self) -> Settings:
        if (self.listen.tls_certificate_file is None) != (self.listen.tls_key_file is None):
            raise ValueError("listen.tls_certificate_file and listen.tls_key_file go together")
        return self
