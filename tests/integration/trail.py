"""Follows one `sbatch` from the token to the audit line: the excerpts of docs/trail.md, from a job that runs now."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from bed import Bed
from goldcrest.authorised import authorised_commands
from goldcrest.authority import Authority, ByResource
from goldcrest.commands import Submit
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import ANNOTATION_GRANT, DELEGATION_AUDIENCE, lease_name

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "trail.md"
SCRIPT = b"#!/bin/bash\n#SBATCH --time=5\necho hello\n"

_BLOCK = re.compile(r"<!-- excerpt: (?P<name>[a-z-]+) -->\n```(?P<language>[a-z]*)\n(?P<body>.*?)```", re.DOTALL)
_LONG = 64  # characters of a value on the page


@dataclass(frozen=True)
class Trail:
    """One job, and what it left. ``excerpts`` are texts as they stand on the page, in its order."""

    excerpts: dict[str, str]
    trace: str
    token: str
    job: dict[str, Any]
    audit: list[dict[str, Any]]
    node: list[str]
    certificate: str
    command: dict[str, Any]


def follow(bed: Bed) -> Trail:
    """Submit one job through REST, and collect."""
    trace, token = secrets.token_hex(16), bed.token()
    # Meanwhile we are in the operator's place: no certificate is kept anywhere, so that for this command is asked for once more.
    bed.faults.kill("goldcrest-operator")
    try:
        answer = bed.upload(
            SCRIPT, token=token, form={"account": "physics"}, headers={"traceparent": f"00-{trace}-{'1' * 16}-01"}
        )
        assert answer.status == 201, answer.body
        name = f"r-{answer.json['task_id']}"
        certificate, command = _shown(asyncio.run(_certificate(bed, bed.job(name), trace)))
    finally:
        bed.faults.start("goldcrest-operator")
    job = bed.job_finished(name)
    log = Path(bed.facts["goldcrest"]["audit"])
    node = _on_the_node(bed, trace, job["metadata"]["uid"])
    opened = re.search(r" serial=(\d+)", node[1])
    assert opened is not None
    audit = [
        json.loads(line) for line in log.read_text().splitlines() if trace in line or f'"serial":"{opened[1]}"' in line
    ]
    grant = next(line for line in audit if line["audit"] == "grant")
    submit = [line for line in audit if line["operation"] == "slurm.submit"][-1]
    admission = [json.loads(line) for line in bed.log_lines("goldcrest-admission", trace)]
    gateway = [json.loads(line) for line in bed.log_lines("goldcrest-api", trace)]
    row = bed.node("sacct", "-X", "-P", "-j", job["status"]["jobId"], "-o", "JobID,User,Account,State,ExitCode,Comment")
    excerpts = {
        "token": _json(_claims(token)),
        "gateway": "".join(_line(line) for line in gateway if line["event"] in ("job.made", "request")),
        "grant-audit": _line(grant),
        "grant": _json(_claims(job["metadata"]["annotations"][ANNOTATION_GRANT])),
        "admission": "".join(_line(line) for line in admission if "requested_by" in line),
        "resource": _json(_short({"metadata": _chosen(job["metadata"]), "spec": job["spec"]})),
        "submit-audit": _line(submit),
        "certificate": re.sub(r"(v1\.\S{24})\S+", r"\1…", certificate),
        "command": _json(command),
        "node": "".join(f"{line}\n" for line in node),
        "slurm": row,
        "status": _json(
            {name: job["status"][name] for name in ("phase", "jobId", "message", "exitCode", "submission")}
        ),
        "audit": _audit(bed, trace),
    }
    return Trail(excerpts, trace, token, job, audit, node, certificate, command)


def _on_the_node(bed: Bed, trace: str, uid: str) -> list[str]:
    """sshd's line and the filter's of the connection, which an earlier job of the user may have opened; then those of this job."""

    def lines(*words: str) -> list[str]:
        found = bed.node("grep", "-F", words[0], "/var/log/syslog").splitlines()
        return [line for line in found if all(word in line for word in words)]

    commands = [
        line for line in lines(trace, f"/{uid}/", "event=command") if re.search(r"op=slurm\.(submit|release)", line)
    ]
    sid = re.search(r" sid=(\w+)", commands[0])
    assert sid is not None
    (opened,) = lines(sid[0], "event=open")
    serial = re.search(r" serial=(\d+)", opened)
    assert serial is not None
    (accepted,) = lines(f"(serial {serial[1]})", "Accepted publickey")
    return [accepted, opened, *commands]


async def _certificate(bed: Bed, raw: dict[str, Any], trace: str) -> bytes:
    """The certificate for this Job's submission."""
    system = bed.get("gsys", bed.system)
    kube_system = bed.get("namespace", "kube-system")
    lease = bed.get("lease", lease_name("default"), "goldcrest")
    assert system is not None
    assert kube_system is not None
    assert lease is not None
    spec = parse_model(SystemSpec, system["spec"], what="spec")
    commands = authorised_commands(JobResource.of(raw), spec, cluster_id=kube_system["metadata"]["uid"])
    meta = raw["metadata"]
    operator = Authority(
        url=bed.facts["goldcrest"]["delegation"]["url"],
        ca_file=Path(bed.facts["pki"]) / "ca.crt",
        token_file=Path(
            bed.facts["kubernetes"]["service_accounts"]["goldcrest-operator"]["tokens"][DELEGATION_AUDIENCE]
        ),
        holder=lease["spec"]["holderIdentity"],
    )
    try:
        return await operator.command_certificate(
            next(command for command in commands if isinstance(command, Submit)),
            public_key=os.urandom(32),
            system=bed.system,
            user="alice",
            sid=secrets.token_hex(16),
            basis=ByResource("Job", meta["namespace"], meta["name"], meta["uid"]),
            trace=trace,
        )
    finally:
        await operator.close()


def _shown(wire: bytes) -> tuple[str, dict[str, Any]]:
    """A certificate as ssh-keygen shows it, and the command in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submit-cert.pub"
        path.write_text("ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(wire).decode() + "\n")
        done = subprocess.run(
            ["ssh-keygen", "-L", "-f", path.name],
            cwd=folder,
            env={**os.environ, "TZ": "UTC"},
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
    encoded = re.search(r" v1\.(\S+)", done.stdout)
    assert encoded is not None
    command = json.loads(base64.urlsafe_b64decode(encoded[1] + "=" * (-len(encoded[1]) % 4)))
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n", command


def _audit(bed: Bed, trace: str) -> str:
    """What the security officer is shown."""
    done = subprocess.run(
        [
            str(REPOSITORY / ".venv" / "bin" / "goldcrest-delegation"),
            "audit",
            "--operation",
            "slurm.submit",
            "--trace",
            trace,
        ],
        env={**os.environ, "GOLDCREST_DELEGATION_AUDIT_FILE": bed.facts["goldcrest"]["audit"]},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def _claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _chosen(meta: dict[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in ("name", "namespace", "uid", "creationTimestamp", "annotations")}


def _short(value: Any) -> Any:
    """Long texts cut, for the page."""
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, str) and len(value) > _LONG + 8:
        return value[:_LONG] + "…"
    return value


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


# ---- The page -----------------------------------------------------------------------------------------------------


def on_page() -> dict[str, str]:
    """The excerpts that docs/trail.md shows."""
    return {match["name"]: match["body"] for match in _BLOCK.finditer(PAGE.read_text())}


def shape(text: str) -> object:
    """What two runs have in common: names of fields and types of values; of other text its words without numbers and ids."""
    try:
        return [_shape(json.loads(line)) for line in text.splitlines()]
    except ValueError:
        pass
    try:
        return _shape(json.loads(text))
    except ValueError:
        words = re.sub(r"\b[0-9a-f-]{36}\b|SHA256:\S+|(?<=v1\.)\S+|\b[0-9a-f]{6,}\b|[0-9]+", "#", text)
        return [" ".join(line.split()) for line in words.splitlines()]


def _shape(value: object) -> object:
    match value:
        case dict():
            return {name: _shape(item) for name, item in value.items()}
        case list():
            return [_shape(item) for item in value]
    return type(value).__name__


def write(trail: Trail) -> None:
    def fresh(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- excerpt: {name} -->\n```{match['language']}\n{trail.excerpts[name]}```"

    PAGE.write_text(_BLOCK.sub(fresh, PAGE.read_text()))
