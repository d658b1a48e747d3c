"""etcd: the API server's store."""

from __future__ import annotations

import os
from pathlib import Path

from goldcrest_bed.component import Command, HostProcess, http_ready
from goldcrest_bed.context import Bed


def from_assets(name: str) -> Path | None:
    """The program in ``KUBEBUILDER_ASSETS``, the field's name for a folder with etcd, kube-apiserver, kubectl."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if folder and (Path(folder) / name).exists():
        return Path(folder) / name
    return None


def etcd(bed: Bed) -> HostProcess:
    """The component."""
    data = bed.paths.data / "etcd"
    client = f"http://127.0.0.1:{bed.config.port('etcd')}"
    peer = f"http://127.0.0.1:{bed.config.port('etcd_peer')}"
    program = bed.versions.go["etcd"]

    def command() -> Command:
        return Command(
            [
                str(from_assets("etcd") or bed.builder.built(program)),
                "--name=bed",
                f"--data-dir={data}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=bed={peer}",
                "--unsafe-no-fsync",  # test data: a crash of the machine may cost it
                "--auto-compaction-retention=5m",
                "--quota-backend-bytes=2147483648",
                "--log-level=warn",
            ]
        )

    return HostProcess(
        name="etcd",
        paths=bed.paths,
        report=bed.report,
        command=command,
        ready=http_ready(f"{client}/health"),
        prepared=lambda: from_assets("etcd") or bed.builder.build(program),
        data=data,
        facts_of=lambda: {"etcd": {"url": client}},
    )
