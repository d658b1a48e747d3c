"""Settings of delegation: environment variables ``GOLDCREST_DELEGATION_…``, nothing else is read from there."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from goldcrest.tracing import TracingSettings
from goldcrest.wellknown import NAMESPACE, PORT_DELEGATION, PORT_METRICS

ENVIRONMENT_PREFIX: Final = "GOLDCREST_DELEGATION_"


class AuditSettings(BaseSettings):
    """What is needed to read the audit log, also where delegation itself does not run."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="ignore")

    audit_file: Path = Field(description="File that one JSON line per decision is appended to; also printed.")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    ca_key_file: Path | None = Field(
        default=None,
        description="SSH user CA: private key, mode 0400 or 0600 and ours, in OpenSSH's form or PEM. Nobody else has it. "
        "This, or an agent's socket with the public key.",
    )
    ca_agent_socket: Path | None = Field(
        default=None,
        description="SSH user CA: unix socket of an ssh-agent that holds its key, also from a PKCS#11 token.",
    )
    ca_public_key_file: Path | None = Field(
        default=None, description="SSH user CA in an agent: file with its public key, as ssh-keygen writes it."
    )
    source_addresses: list[IPv4Network | IPv6Network] = Field(
        default_factory=list,
        description="Networks that login hosts see the gateway and the operator come from (behind a jump host: that host's), as a JSON "
        "list: certificates are of use from there only. Empty: from anywhere.",
    )
    grant_key_file: Path = Field(
        description="Ed25519 private key in PEM that grants are signed with, mode 0400 or 0600 and ours. Never the CA key."
    )
    former_grant_key_files: list[Path] = Field(
        default_factory=list,
        description="Public keys in PEM of grant keys of before, as a JSON list: resources that were made with them go on. "
        "Keep one until the last of those is gone.",
    )
    stamp_key_files: list[Path] = Field(
        default_factory=list,
        description="Public keys of admission in PEM, as a JSON list: without them nothing made by kubectl is signed for.",
    )
    identity_file: Path = Field(description="identity.toml: which issuers count, the same file as the gateway's.")
    opa_url: str = Field(description="OPA: unix:/path/of/socket, or https://host:port.")
    opa_ca_file: Path | None = Field(
        default=None, description="Certificates that an https OPA is verified against; default: the system's."
    )
    opa_client_cert: Path | None = Field(
        default=None, description="PEM certificate chain that we show to an https OPA which asks for one (mTLS)."
    )
    opa_client_key: Path | None = Field(default=None, description="Its private key in PEM.")
    kubeconfig: Path | None = Field(default=None, description="kubeconfig; default: the pod's own service account.")
    namespace: str = Field(
        default=NAMESPACE, description="Goldcrest's own namespace: service accounts and Leases are there."
    )
    require_lease: bool = Field(
        default=True,
        description="Sign only for the operator that holds its shard's Lease, so that a replaced one can do nothing.",
    )
    user_namespaces: dict[str, str] = Field(
        default_factory=dict,
        description="Unix user to namespace, as JSON, for users whose REST resources are not in hpc-<name>-<digest>.",
    )
    block_file: Path | None = Field(
        default=None,
        description="Whom nothing is signed for, besides those in OPA's data: lines `user: name` and `requester: name`. A change "
        "counts at once; a file that is damaged later leaves the last good list in force.",
    )
    audit_file: Path = Field(description="File that one JSON line per decision is appended to; also printed.")
    listen_socket: Path | None = Field(
        default=None,
        description="Unix socket to listen on, for callers in the same pod: beside the port where TLS files are given, else alone.",
    )
    listen_address: str = Field(default="127.0.0.1", description="IP address to listen on; 0.0.0.0 or :: for all.")
    listen_port: int = Field(default=PORT_DELEGATION, ge=1, le=65535, description="TCP port to listen on, with TLS.")
    tls_cert: Path | None = Field(
        default=None, description="Server certificate chain in PEM; without one, nothing listens on the port."
    )
    tls_key: Path | None = Field(default=None, description="Its private key in PEM.")
    shutdown_seconds: int = Field(
        default=5, ge=0, le=300, description="Seconds that open requests get to end when we are stopped."
    )
    metrics_port: int = Field(
        default=PORT_METRICS,
        ge=0,
        le=65535,
        description="TCP port of /metrics on the address to listen on, without TLS; 0: not served.",
    )
    tracing: TracingSettings = Field(default_factory=TracingSettings, description="Where spans are sent.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")
    fault_point: str = Field(
        default="", description="For tests only: where the process kills or stops itself. Refused unless allow_faults."
    )
    allow_faults: bool = Field(default=False, description="For tests only: let fault_point be set.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tls_cert is None and self.tls_key is None and self.listen_socket is None:
            raise ValueError(
                f"set {ENVIRONMENT_PREFIX}TLS_CERT and {ENVIRONMENT_PREFIX}TLS_KEY, or {ENVIRONMENT_PREFIX}LISTEN_SOCKET"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(f"set {ENVIRONMENT_PREFIX}TLS_CERT and {ENVIRONMENT_PREFIX}TLS_KEY together, or neither")
        if (self.opa_client_cert is None) != (self.opa_client_key is None):
            raise ValueError(
                f"set {ENVIRONMENT_PREFIX}OPA_CLIENT_CERT and {ENVIRONMENT_PREFIX}OPA_CLIENT_KEY together, or neither"
            )
        if (self.ca_key_file is None) == (self.ca_agent_socket is None):
            raise ValueError(
                f"set one of {ENVIRONMENT_PREFIX}CA_KEY_FILE and {ENVIRONMENT_PREFIX}CA_AGENT_SOCKET: where the CA's key is"
            )
        if (self.ca_agent_socket is None) != (self.ca_public_key_file is None):
            raise ValueError(
                f"set {ENVIRONMENT_PREFIX}CA_AGENT_SOCKET and {ENVIRONMENT_PREFIX}CA_PUBLIC_KEY_FILE together, or neither"
            )
        if self.ca_key_file == self.grant_key_file:
            raise ValueError("the grant key must not be the CA key; give two files")
        return self

    @property
    def listeners(self) -> list[str]:
        """Where it listens, as logs name it: ``address:port`` with TLS, and the path of a socket."""
        places = [f"{self.listen_address}:{self.listen_port}"] if self.tls_cert is not None else []
        return places if self.listen_socket is None else [*places, str(self.listen_socket)]
