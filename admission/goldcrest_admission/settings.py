"""Settings of admission: environment variables ``GOLDCREST_ADMISSION_…``, nothing else is read from there."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from goldcrest.tracing import TracingSettings
from goldcrest.wellknown import NAMESPACE, PORT_ADMISSION, PORT_METRICS

ENVIRONMENT_PREFIX: Final = "GOLDCREST_ADMISSION_"


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    stamp_key_file: Path = Field(
        description="Ed25519 private key in PEM that stamps are signed with, mode 0400 or 0600 and ours."
    )
    older_stamp_key_files: list[Path] = Field(
        default_factory=list,
        description="Public keys in PEM, as a JSON list, of other replicas or of a stamp key that was replaced.",
    )
    grant_key_files: list[Path] = Field(
        min_length=1,
        description="Public grant keys of delegation in PEM, as a JSON list (several while one is replaced).",
    )
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
        default=NAMESPACE,
        description="Goldcrest's own namespace: the service accounts of gateway and operator are there.",
    )
    listen_address: str = Field(default="127.0.0.1", description="IP address to listen on; 0.0.0.0 or :: for all.")
    listen_port: int = Field(default=PORT_ADMISSION, ge=1, le=65535, description="TCP port to listen on.")
    tls_cert: Path = Field(description="Server certificate chain in PEM; the webhook configuration names its CA.")
    tls_key: Path = Field(description="Its private key in PEM.")
    tls_client_ca_file: Path | None = Field(
        default=None,
        description="Serve only callers with a certificate of this CA (an API server that is configured to show one).",
    )
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

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        if (self.opa_client_cert is None) != (self.opa_client_key is None):
            raise ValueError(
                f"set {ENVIRONMENT_PREFIX}OPA_CLIENT_CERT and {ENVIRONMENT_PREFIX}OPA_CLIENT_KEY together, or neither"
            )
        return self
