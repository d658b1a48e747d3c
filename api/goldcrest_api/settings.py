"""Settings of the gateway: read from the environment once, at start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from limits import parse as parse_rate
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from goldcrest.blocked import LOOK_SECONDS
from goldcrest.ssh import SshSettings
from goldcrest.tracing import TracingSettings
from goldcrest.wellknown import PORT_API, PORT_METRICS

ENVIRONMENT_PREFIX = "GOLDCREST_API_"
FIRECREST_VERSION = "1.16.1"  # the release whose behaviour the dialect has (contract D17)
_MIB = 1024 * 1024
STORE_SCHEMES = ("redis", "rediss", "valkey", "valkeys")


def _a_rate(text: str) -> str:
    if text:
        try:
            parse_rate(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no rate; write it as 600/minute") from error
    return text


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
        default=20, ge=0, le=600, description="Seconds for running requests to end after leave_seconds, when the process is asked to stop; then they are cut."
    )  # fmt: skip
    leave_seconds: float = Field(
        default=5, ge=0, le=600, description="Seconds for which requests are still taken after the process was asked to stop, while /readyz says no: that long a load balancer may take to send them elsewhere. With shutdown_seconds below the pod's grace period (30)."
    )  # fmt: skip
    head_bytes: int = Field(
        default=64 * 1024, ge=4096, le=1024 * 1024, description="Bytes of a request's line and headers; more is refused with 431, and the connection closed. Large tokens are the reason for more than 16 KiB."
    )  # fmt: skip
    head_seconds: float = Field(
        default=20, gt=0, le=600, description="Seconds in which a request's line and headers must have arrived, on a new connection from its start; then it is closed, so that slow senders hold nothing."
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
    spool_bytes: int = Field(
        default=2**31, ge=0, le=2**50, description="Bytes of all uploads that wait at once (see SPOOL_FOLDER); a further one gets 503. Others go on to the login node as they come and take no room."
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
    reservation_seconds: float = Field(
        default=30, gt=0, le=600, description="Seconds for the site's command for reservations, connecting included. The node's own limit (commandSeconds, 60) counts as well."
    )  # fmt: skip
    access_seconds: float = Field(
        default=60, ge=0, le=60, description="Seconds for which a successful look at a user's access to a system counts. 0: look each time. Policy is asked each time in any case."
    )  # fmt: skip
    answer_seconds: float = Field(
        default=120, gt=0, le=3600, description="Seconds after the last byte of a request in which its answer must have begun; then the client gets 504. Above the times of commands. How long a begun answer may take is not bounded: downloads."
    )  # fmt: skip
    answer_bytes: int = Field(
        default=64 * _MIB, ge=65_536, le=2**31, description="Bytes of an answer that is made in memory; for a larger one the client gets 400 with X-Size-Limit. Streamed files have limits of their own."
    )  # fmt: skip
    commands_per_system: int = Field(
        default=64, ge=1, le=10_000, description="Commands of this process under way on one System. Further ones wait in a queue that serves users in turn, fewest commands first."
    )  # fmt: skip
    commands_per_user: int = Field(
        default=16, ge=1, le=10_000, description="Commands of one user under way on one System. At most what ssh-filter takes at once of a user (commandsAtOnce, 16, for each channel)."
    )  # fmt: skip
    waiting_per_user: int = Field(
        default=64, ge=0, le=100_000, description="Commands of one user that wait for one System; a further one is answered with 429 and Retry-After."
    )  # fmt: skip
    waiting_seconds: float = Field(
        default=10, gt=0, le=600, description="Seconds that a command waits for its turn at most; then 429 likewise."
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


Rate = Annotated[str, AfterValidator(_a_rate)]
"""``number/unit`` with second, minute, hour or day: ``600/minute``, ``10 per 5 seconds``; empty: no limit."""


class RateSettings(_Part):
    """How many requests clients may send. A rate is a number of requests in a time, as 600/minute or 10/5second (units: second, minute, hour, day), counted in windows that begin with the first request; empty: no limit."""

    user: Rate = Field(
        default="6000/minute", description="Requests of one user (of one issuer) over all routes; a rate such as 600/minute, empty for no limit."
    )  # fmt: skip
    client: Rate = Field(
        default="", description="Requests of one OAuth client (azp or client_id of the token), over all its users; else of one address. A rate."
    )  # fmt: skip
    routes: dict[str, Rate] = Field(
        default_factory=dict,
        description='Requests of one user on one route, as JSON: {"POST /compute/jobs/upload": "60/minute"}. The first name that fits counts; * at the end stands for any rest: "POST *".',
    )
    store: SecretStr = Field(
        default=SecretStr(""),
        description="redis://, rediss:// or valkey:// URL of the server in which the replicas count together. Empty: each replica counts for itself, in memory.",
    )
    store_seconds: float = Field(
        default=0.25, gt=0, le=10, description="Seconds for the store to answer. When it does not, each replica counts for itself, and asks the store again every 5 s."
    )  # fmt: skip

    @field_validator("store")
    @classmethod
    def _known_store(cls, store: SecretStr) -> SecretStr:
        if store.get_secret_value() and urlsplit(store.get_secret_value()).scheme not in STORE_SCHEMES:
            raise ValueError(f"the URL begins with one of {', '.join(f'{scheme}://' for scheme in STORE_SCHEMES)}")
        return store


class CorsSettings(_Part):
    """Which pages of other origins may call us from a browser. Cookies are never used."""

    origins: tuple[str, ...] = Field(
        default=("*",), description='Origins, as JSON: ["https://portal.example.org"]; ["*"]: any; []: none.'
    )
    headers: tuple[str, ...] = Field(
        default=("Accept", "X-Machine-Name", "X-Task-Id", "Authorization", "Content-Type"),
        description="Headers that such a page may send, as JSON.",
    )
    max_age_seconds: int = Field(
        default=3600, ge=0, le=86_400, description="Seconds for which a browser remembers the answer."
    )


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
    rates: RateSettings = Field(default_factory=RateSettings, description="How many requests clients may send.")
    cors: CorsSettings = Field(default_factory=CorsSettings, description="Pages of other origins.")
    root_dialect: str = Field(
        default="", description="Name of the dialect that is served at / beside its own prefix. Empty: the only one there is; where there are several, none. See docs/extending.md."
    )  # fmt: skip
    maintenance_file: Path | None = Field(
        default=None, description="TOML file (of a ConfigMap, say) that switches the gateway or single Systems off with a message; read again within 2 s of a change. See docs/gateway.md."
    )  # fmt: skip
    ssh: SshSettings = Field(default_factory=SshSettings, description="How login hosts are connected to.")
    spool_folder: Path = Field(
        default=Path("/tmp"),  # noqa: S108  its files have no names
        description="Folder in which uploads of more than 512 KiB wait until they are complete where their form has the file before the targetPath. Room for LIMITS__SPOOL_BYTES.",
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
    fault_point: str = Field(
        default="", description="For tests only: where the process kills or stops itself. Refused unless allow_faults."
    )
    allow_faults: bool = Field(default=False, description="For tests only: let fault_point be set.")

    @model_validator(mode="after")
    def _tls_in_pairs(self) -> Settings:
        if (self.listen.tls_certificate_file is None) != (self.listen.tls_key_file is None):
            raise ValueError("listen.tls_certificate_file and listen.tls_key_file go together")
        return self
