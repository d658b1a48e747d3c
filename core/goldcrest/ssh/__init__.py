"""The SSH client: typed commands to login nodes, each with its own certificate, over pooled connections."""

from goldcrest.ssh.answer import Answer, Snapshot
from goldcrest.ssh.pool import SshPool
from goldcrest.ssh.settings import SshSettings

__all__ = ["Answer", "Snapshot", "SshPool", "SshSettings"]
