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


def server_arguments(*, address: str, policies: Path, data: Sequence[Path], closed: bool = True) -> list[str]:
    """Arguments of ``opa`` for a server with the shipped policy.

    Args:
        address: ``unix:///path/of/socket`` or ``https://host:port``.
        data: site data, and folders or files with the site's own rules.
        closed: its own API is closed by policies/system/authz.rego, and its log has a line for each call, also for those who are none of
            ours. Only for a side car whose socket nobody but delegation can open is that left out, for it is a second decision and two
            lines, made anew for each certificate: delegation could sign what it likes without OPA anyway, and its audit log has each decision.
    """
    return [
        "run",
        "--server",
        f"--addr={address}",
        "--unix-socket-perm=600",
        *(["--authorization=basic"] if closed else ["--log-level=error"]),
        "--ignore=*_test.rego",
        "--ignore=.*",
        "--ignore=example",  # data and rules of an imaginary site
        "--optimize-store-for-read-speed",
        "--skip-version-check",
        "--log-format=json",
        *map(str, data),
        str(policies),
    ]


ADMISSION, SIGNING = "opa", "opa-signing"


def opa_socket(bed: Bed, name: str) -> Path:
    """Where that server listens: in a folder that only its owner may enter."""
    return bed.paths.data / name / "opa.sock"


def opa(bed: Bed, name: str) -> HostProcess:
    """The component: each of admission and delegation has one of its own, as side cars are.

    Args:
        name: ``ADMISSION``, or ``SIGNING``: delegation's.
    """
    socket = opa_socket(bed, name)
    folder = socket.parent
    data = folder / "data.json"
    policies: Path = REPOSITORY / bed.config["policy"]["folder"]
    program = bed.versions.go["opa"]

    def configured() -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(data, json.dumps(bed.config["policy"]["data"], indent=1))

    def command() -> Command:
        arguments = server_arguments(address=f"unix://{socket}", policies=policies, data=[data], closed=name != SIGNING)
        return Command([str(bed.builder.built(program)), *arguments], env=SERVER_ENVIRONMENT)

    return HostProcess(
        name=name,
        paths=bed.paths,
        report=bed.report,
        command=command,
        ready=unix_socket_ready(socket),
        inputs=[data, policies],
        prepared=lambda: bed.builder.build(program),
        configured=configured,
        data=folder,
        facts_of=lambda: {
            name: {"socket": str(socket), "binary": str(bed.builder.built(program)), "policies": str(policies)}
        },
    )
