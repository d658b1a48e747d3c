"""versitygw: an S3 server over a folder, reachable from the host and from the node."""

from __future__ import annotations

from goldcrest_bed.component import Command, HostProcess, http_ready
from goldcrest_bed.context import Bed

REGION = "us-east-1"


def endpoint(bed: Bed) -> str:
    """URL of the store; the node reaches it as well."""
    return f"http://{bed.config['network']['host_address']}:{bed.config.port('s3')}"


def s3(bed: Bed) -> HostProcess:
    """The component. It listens on the host's end of the bed's link."""
    program = bed.versions.go["versitygw"]
    address = f"{bed.config['network']['host_address']}:{bed.config.port('s3')}"
    data = bed.paths.data / "s3"

    def command() -> Command:
        return Command(
            [
                str(bed.builder.built(program)),
                f"--port={address}",
                f"--region={REGION}",
                "--health=/health",
                "posix",
                str(data),
            ],
            env={"ROOT_ACCESS_KEY": "goldcrest", "ROOT_SECRET_KEY": bed.pki.secret("s3")},
        )

    return HostProcess(
        name="s3",
        paths=bed.paths,
        report=bed.report,
        command=command,
        ready=http_ready(f"http://{address}/health"),
        needs=("network",),
        prepared=lambda: bed.builder.build(program),
        data=data,
        facts_of=lambda: {
            "s3": {
                "endpoint": endpoint(bed),
                "region": REGION,
                "access_key": "goldcrest",
                "secret_key": bed.pki.secret("s3"),
            }
        },
    )
