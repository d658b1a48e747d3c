"""Service account tokens in files, kept fresh by a background process as a kubelet keeps projected tokens."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from goldcrest_bed import kubeconfig, token_keeper
from goldcrest_bed.component import Command, HostProcess
from goldcrest_bed.components.kubectl import Kubectl
from goldcrest_bed.context import Bed
from goldcrest_bed.paths import DEV


def token_file(bed: Bed, account: str, audience: str) -> Path:
    """Where the token of a service account for an audience is (``""``: the API server)."""
    return bed.paths.tokens / account / (audience or "kube-apiserver")


def tokens(bed: Bed, kubectl: Kubectl) -> HostProcess:
    """The component."""
    settings: dict[str, Any] = bed.config["kubernetes"]
    wanted = [
        token_keeper.Wanted(account, audience, str(token_file(bed, account, audience)))
        for account, audiences in settings["service_accounts"].items()
        for audience in audiences
    ]
    job_file = bed.paths.tokens / ".job.json"

    def configured() -> None:
        bed.paths.tokens.mkdir(parents=True, exist_ok=True)
        job = token_keeper.Job(
            kubectl=str(kubectl.path),
            kubeconfig=str(bed.paths.kubeconfigs / "admin"),
            namespace=settings["namespace"],
            tokens=wanted,
        )
        kubeconfig.write_private(job_file, json.dumps(job.as_json()))

    def ready() -> bool:
        return all(token_keeper.expires(Path(entry.path)) > time.time() for entry in wanted)

    return HostProcess(
        name="token-keeper",
        paths=bed.paths,
        report=bed.report,
        command=lambda: Command(
            [sys.executable, "-m", "goldcrest_bed.token_keeper", str(job_file)], env={"PYTHONPATH": str(DEV)}
        ),
        ready=ready,
        needs=("kube-access",),
        inputs=[job_file, DEV / "goldcrest_bed" / "token_keeper.py"],
        configured=configured,
        data=bed.paths.tokens,
    )
