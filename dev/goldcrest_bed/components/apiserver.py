"""kube-apiserver with its own authority, RBAC and service account tokens."""

from __future__ import annotations

from goldcrest_bed.component import Command, HostProcess, http_ready
from goldcrest_bed.components.etcd import from_assets
from goldcrest_bed.context import Bed


def url(bed: Bed) -> str:
    """Where it listens."""
    return f"https://127.0.0.1:{bed.config.port('apiserver')}"


def apiserver(bed: Bed) -> HostProcess:
    """The component."""
    program = bed.versions.go["kube-apiserver"]

    def command() -> Command:
        serving = bed.pki.serving(
            "kube-apiserver", ["DNS:localhost", "DNS:kubernetes.default.svc", "IP:127.0.0.1", "IP:10.96.0.1"]
        )
        key, public = bed.pki.rsa_key("service-accounts")
        return Command(
            [
                str(from_assets("kube-apiserver") or bed.builder.built(program)),
                f"--etcd-servers=http://127.0.0.1:{bed.config.port('etcd')}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={bed.config.port('apiserver')}",
                f"--tls-cert-file={serving.crt}",
                f"--tls-private-key-file={serving.key}",
                f"--client-ca-file={bed.pki.ca.crt}",
                f"--cert-dir={bed.paths.data / 'kube-apiserver'}",
                "--authorization-mode=RBAC",
                f"--service-account-issuer={url(bed)}",
                f"--service-account-key-file={public}",
                f"--service-account-signing-key-file={key}",
                "--service-account-extend-token-expiration=false",
                "--service-cluster-ip-range=10.96.0.0/16",
                # The kubernetes Service would need an endpoint that is not on loopback.
                "--endpoint-reconciler-type=none",
                "--profiling=false",
                "--v=1",
            ]
        )

    return HostProcess(
        name="kube-apiserver",
        paths=bed.paths,
        report=bed.report,
        command=command,
        ready=lambda: http_ready(f"{url(bed)}/readyz", ca=bed.paths.keys / "ca.crt")(),
        needs=("etcd",),
        prepared=lambda: from_assets("kube-apiserver") or bed.builder.build(program),
        data=bed.paths.data / "kube-apiserver",
        facts_of=lambda: {"apiserver": {"url": url(bed), "ca": str(bed.paths.keys / "ca.crt")}},
        stop_seconds=5,
    )
