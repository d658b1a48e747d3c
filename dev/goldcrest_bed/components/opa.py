"""OPA: the stock server with the repository's policies."""

from __future__ import annotations

import json
from pathlib import Path

from goldcrest_bed.component import Command, HostProcess, unix_socket_ready
from goldcrest_bed.context import Bed
from goldcrest_bed.kubeconfig import write_private
from goldcrest_bed.paths import REPOSITORY


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
        loaded = [str(data), *([str(policies)] if policies.is_dir() else [])]
        return Command(
            [
                str(bed.builder.built(program)),
                "run",
                "--server",
                f"--addr=unix://{socket}",
                "--unix-socket-perm=600",
                "--ignore=*_test.rego",
                "--ignore=.*",
                "--ignore=example",  # site data of an example; the bed brings its own
                "--disable-telemetry",
                "--log-format=json",
                *loaded,
            ]
        )

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
