"""Settings of the operator, from the environment: ``GOLDCREST_OPERATOR_<NAME>``, nested with ``__``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from goldcrest.blocked import LOOK_SECONDS
from goldcrest.ssh.settings import SshSettings
from goldcrest.tracing import TracingSettings
from goldcrest.wellknown import (
    LEASE_DURATION_SECONDS,
    LEASE_RENEW_DEADLINE_SECONDS,
    LEASE_RETRY_SECONDS,
    PORT_HEALTH,
    PORT_METRICS,
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DelegationSettings(_Part):
    """The delegation service, which signs certificates."""

    url: str = Field(description="https://host:port, or unix:/path/of/socket where it shares the pod.")
    ca_file: Path | None = Field(
        default=None, description="PEM certificates that its server certificate is verified against (https)."
    )
    token_file: Path = Field(
        default=Path("/var/run/secrets/goldcrest/delegation/token"),
        description="Projected service-account token with delegation's audience; read again every minute.",
    )
    blocked_seconds: float = Field(
        default=LOOK_SECONDS,
        gt=0,
        le=60,
        description="Seconds between two looks at the block list at most. The default lets a block, and its end, take effect within 10 s.",
    )


class LeaseSettings(_Part):
    """The Lease that makes one operator of a shard the active one."""

    duration_seconds: float = Field(
        default=LEASE_DURATION_SECONDS,
        ge=1,
        description="Seconds after the last renewal until another operator takes over.",
    )
    renew_deadline_seconds: float = Field(
        default=LEASE_RENEW_DEADLINE_SECONDS,
        gt=0,
        description="Seconds after its last renewal at which this operator stops by itself. Less than the duration: that gap is what a clock may be off.",
    )
    retry_seconds: float = Field(default=LEASE_RETRY_SECONDS, gt=0, description="Seconds between renewals.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.retry_seconds < self.renew_deadline_seconds < self.duration_seconds:
            raise ValueError("retry_seconds < renew_deadline_seconds < duration_seconds must hold")
        return self


class TrackerSettings(_Part):
    """How often schedulers are asked for their queues: one query per system and interval."""

    hot_seconds: float = Field(
        default=1.0, gt=0, description="Seconds between queries while something was submitted or changed just now."
    )
    hot_for_seconds: float = Field(default=15.0, ge=0, description="Seconds that 'just now' lasts.")
    few_seconds: float = Field(
        default=1.5,
        gt=0,
        description="Seconds between queries while few jobs are active: their end is then seen within 2 s.",
    )
    few_jobs: int = Field(
        default=200, ge=0, description="Number of active jobs that are few: squeue costs the controller little."
    )
    active_seconds: float = Field(default=4.0, gt=0, description="Seconds between queries while more jobs are active.")
    per_second: float = Field(
        default=20.0,
        gt=0,
        description="Queries of one system in a second at most, where each user's jobs are asked for as that user; lanes pause longer for it.",
    )
    at_once: int = Field(default=4, ge=1, le=100, description="Queries of one system under way at once.")
    idle_seconds: float = Field(
        default=30.0, gt=0, description="Seconds between queries while no job is active, and at most after failures."
    )
    unclaimed_seconds: float = Field(
        default=60.0,
        ge=0,
        description="Seconds after which a job in the queue that was submitted from here and has no Job is reported; an observer account sees them.",
    )


class RetrySettings(_Part):
    """Pauses after failures; each is between half and all of its length by chance."""

    first_seconds: float = Field(default=0.5, gt=0, description="Seconds after the first failure; doubled each time.")
    most_seconds: float = Field(default=30.0, gt=0, description="Seconds at most.")
    seldom_seconds: float = Field(
        default=300.0, gt=0, description="Seconds before something is tried again that only a person can mend."
    )


class HealthSettings(_Part):
    """Probes of Systems' login hosts."""

    probe_seconds: float = Field(default=60.0, gt=0, description="Seconds between probes of a System.")
    timeout_seconds: float = Field(default=10.0, gt=0, description="Seconds for one probe.")
    object_store_ca_file: Path | None = Field(
        default=None, description="PEM certificates that object stores are verified against; default: the system's."
    )
    write_seconds: float = Field(
        default=300.0, gt=0, description="Seconds after which an unchanged health is written again: etcd is no log."
    )


class OperatorSettings(BaseSettings):
    """Settings of ``goldcrest-operator``."""

    model_config = SettingsConfigDict(
        env_prefix="GOLDCREST_OPERATOR_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    kubeconfig: Path | None = Field(
        default=None, description="kubeconfig file; unset: the pod's service account is used."
    )
    shard: str = Field(
        default="default",
        pattern=r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$",
        description="Jobs with this value of the shard label are reconciled; 'default' also takes those without.",
    )
    workers: int = Field(
        default=32, ge=1, le=1000, description="Resources worked on at once. A worker mostly waits for sbatch."
    )
    drain_seconds: float = Field(
        default=20.0, ge=0, description="Seconds that steps under way may take when the process is asked to end."
    )
    listen_host: str = Field(
        default="0.0.0.0",  # noqa: S104  (probes come from outside of the pod)
        description="Address that the probes and metrics are served on.",
    )
    health_port: int = Field(default=PORT_HEALTH, ge=1, le=65535, description="TCP port of /livez and /readyz.")
    metrics_port: int = Field(default=PORT_METRICS, ge=1, le=65535, description="TCP port of /metrics.")
    watch_silence_seconds: float = Field(
        default=900.0,
        gt=0,
        description="Seconds without any event of the watch after which /livez fails, if there are Systems: their health alone makes one every health.write_seconds.",
    )
    tracing: TracingSettings = Field(default_factory=TracingSettings, description="Where spans are sent.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level of log lines."
    )
    fault_point: str = Field(
        default="", description="For tests only: where the process kills or stops itself. Refused unless allow_faults."
    )
    allow_faults: bool = Field(default=False, description="For tests only: let fault_point be set.")
    delegation: DelegationSettings = Field(description="The delegation service.")
    lease: LeaseSettings = Field(default_factory=LeaseSettings, description="The Lease.")
    tracker: TrackerSettings = Field(default_factory=TrackerSettings, description="Following jobs.")
    retry: RetrySettings = Field(default_factory=RetrySettings, description="Pauses after failures.")
    health: HealthSettings = Field(default_factory=HealthSettings, description="Probes of Systems.")
    ssh: SshSettings = Field(default_factory=SshSettings, description="Connections to login hosts.")
