"""Settings of the SSH client; a part of each process's own settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SshSettings(BaseModel):
    """How login hosts are connected to. Times in seconds, sizes in bytes.

    The defaults fit sshd's and ssh-filter's own: ``MaxSessions 10``, ``MaxStartups 10:30:100``, channels that end after
    60 s without work or after 10 min.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect_seconds: float = Field(
        default=8, gt=0, le=120, description="Seconds for TCP, key exchange and login together. A host that takes longer counts as dead."
    )  # fmt: skip
    hello_seconds: float = Field(
        default=10, gt=0, le=60, description="Seconds until ssh-filter must have said hello. Users' start-up files run before it."
    )  # fmt: skip
    command_seconds: float = Field(
        default=75, gt=0, le=3600, description="Seconds for a command where the caller names none. Above the node's own limit (60), so that the node's message arrives."
    )  # fmt: skip
    keepalive_seconds: float = Field(
        default=5, gt=0, le=300, description="Seconds without traffic after which the host is asked whether it is still there."
    )  # fmt: skip
    keepalive_misses: int = Field(
        default=3, ge=1, le=20, description="Unanswered questions after which a connection counts as cut."
    )
    idle_seconds: float = Field(
        default=45, gt=0, le=59, description="Seconds without work after which a connection is closed, give or take a tenth. Below the 60 s after which ssh-filter ends by itself."
    )  # fmt: skip
    age_seconds: float = Field(
        default=500, gt=0, le=540, description="Seconds after which a connection gets no more commands, give or take a tenth. Below the 10 min after which ssh-filter ends; it also bounds how long a login of a user blocked since then lives."
    )  # fmt: skip
    channels: int = Field(
        default=2, ge=1, le=8, description="Channels of a connection that commands are pipelined on; each costs the node a process of 10 to 15 MB. The second is opened when requests queue."
    )  # fmt: skip
    streams: int = Field(
        default=4, ge=1, le=8, description="Channels of a connection for downloads; each has one to itself, so that a slow reader holds up nobody. With channels, below sshd's MaxSessions."
    )  # fmt: skip
    connections: int = Field(
        default=500, ge=1, le=100_000, description="Connections of this process; the one unused longest makes room."
    )
    connections_per_host: int = Field(
        default=200, ge=1, le=100_000, description="Connections of this process to one login host."
    )
    handshakes_per_host: int = Field(
        default=8, ge=1, le=100, description="Connections being opened to one host at once. Below sshd's MaxStartups, which drops further ones."
    )  # fmt: skip
    backoff_first_seconds: float = Field(
        default=0.5, gt=0, le=60, description="Seconds a host is left alone after its first failure; doubled with each further one, plus up to half by chance."
    )  # fmt: skip
    backoff_most_seconds: float = Field(default=30, gt=0, le=3600, description="Seconds a host is left alone at most.")
    answer_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, le=2**31, description="Bytes of data that an answer may have when it is collected in memory."
    )  # fmt: skip
    stream_bytes: int = Field(
        default=1024 * 1024, ge=64 * 1024, le=2**28, description="Bytes of a download kept for a slow reader, beyond the channel's window; the node is held back above."
    )  # fmt: skip
    window_bytes: int = Field(
        default=2 * 1024 * 1024, ge=256 * 1024, le=2**27, description="SSH window of a channel: bytes that may be under way to us."
    )  # fmt: skip
