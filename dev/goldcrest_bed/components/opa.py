"""OPA: the stock server with the repository's policies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from goldcrest_bed.component import Command, HostProcess, unix_socket_ready
from goldcrest_bed.context import Bed
from goldcrest_bed.kubeconfig import write_private
from goldcrest_bed.paths import REPOSITORY

# One question at a time comes from each caller, in batches under load: threads that look for work cost more than they do here, and the
# garbage of many small questions is collected less often (docs/performance.md).
SERVER_ENVIRONMENT = {"GOMAXPROCS": "1", "GOGC": "400"}


def server_arguments(*, address: str, policies: Path, data: Sequence[Path]) -> list[str]:
    """Arguments of ``opa`` for a server with the shipped policy, whose own API is closed by it (policies/system/authz.rego).

    Args:
        address: ``unix:///path/of/socket`` or ``https://host:port``.
        data: site data, and folders or files with the site's own rules.
    """
    return [
        "run",
        "--server",
        f"--addr={address}",
        "--unix-socket-perm=600",
        "--authorization=basic",
        "--ignore=*_test.rego",
        "--ignore=.*",
        "--ignore=example",  # data and rules of an imaginary site
        "--optimize-store-for-read-speed",
        "--skip-version-check",
        "--log-format=json",
        *map(str, data),
        str(policies),
    ]


def opa(bed: Bed) -> HostProcess:
    """The component. It listens on a socket in a folder that only its owner may enter."""
    folder = bed.paths.data / "opa"
    socket = folder / "opa.sock"
    data = folder / "data.json"
    policies: Path = REPOSITORY / bed.config["policy"]["folder"]
    program = bed.versions.go["opa"]

    def configured() -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(data, json.dumps(bed.config["policy"]["data"], indent=1))

    def command() -> Command:
        arguments = server_arguments(address=f"unix://{socket}", policies=policies, data=[data])
        return Command([str(bed.builder.built(program)), *arguments], env=SERVER_ENVIRONMENT)

    return HostProcess(
        name="opa",
        paths=bed.paths,
        report=bed.report,
        command=command,
        ready=unix_socket_ready(socket),
        inputs=[data, policies],
        prepared=lambda: bed.builder.build(program),
        configured=configured,
        data=folder,
        facts_of=lambda: {
            "opa": {"socket": str(socket), "binary": str(bed.builder.built(program)), "policies": str(policies)}
        },
    )
