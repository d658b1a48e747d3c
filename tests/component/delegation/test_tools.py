"""The command line beside a running delegation: audit, issue --explain, revoke."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from component.admission.binaries import binary
from component.admission.stage import JOB, REPOSITORY, Stage, socket_listens
from component.delegation.callers import (
    PUBLIC_KEY,
    SID,
    TRACE,
    another_delegation,
    authority,
    of,
    post,
    rest_job,
    shown,
)
from component.delegation.node import refusal
from goldcrest.authority import ByToken
from goldcrest.commands import StatFile
from goldcrest.errors import GoldcrestError
from goldcrest_bed.components.opa import server_arguments

pytestmark = pytest.mark.component


def tool(stage: Stage, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """``goldcrest-delegation …`` with the settings of the running one."""
    more = {f"GOLDCREST_DELEGATION_{name}": value for name, value in changes.items()}
    return subprocess.run(
        [sys.executable, "-m", "goldcrest_delegation.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **stage._delegation_settings(), **more},
    )


@pytest.fixture(scope="module")
def job(stage: Stage) -> Iterator[dict[str, Any]]:
    yield stage.create_job("alice", JOB, namespace="team").body


@pytest.fixture
def token_file(stage: Stage, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(stage.issuer.token("alice"))
    return path


async def stat(stage: Stage, *, user: str = "alice", socket: Path | None = None) -> bytes:
    async with authority(stage, "goldcrest-api", socket=socket) as gateway:
        return await gateway.command_certificate(
            StatFile("/scratch/alice"),
            public_key=PUBLIC_KEY,
            system="cluster",
            user=user,
            sid=SID,
            basis=ByToken(stage.issuer.token("alice")),
            trace=TRACE,
        )


async def test_every_line_is_complete(stage: Stage, job: dict[str, Any]) -> None:
    """Certificates and grants leave lines that say who, as whom, what, where, by which decision, and in which trace (T13)."""
    await stat(stage)
    await rest_job(stage, secrets.token_hex(16))
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        await operator.session_certificate(
            public_key=PUBLIC_KEY, system="cluster", user="alice", basis=of(job), trace=TRACE
        )
    *_, by_token, grant, by_resource = stage.audit()
    always = {"time", "audit", "outcome", "caller", "requester", "runAs", "system", "operation", "digest", "origin"}
    always |= {"decisionId", "trace_id"}
    assert [grant["operation"], by_token["operation"], by_resource["operation"]] == ["job.create", "fs.stat", "session"]
    for line, more in (
        (by_token, {"serial", "keyId"}),
        (grant, {"namespace", "name"}),
        (by_resource, {"serial", "keyId", "namespace", "name"}),
    ):
        assert {name for name, value in line.items() if value} - {"reason"} == always | more
        assert re.fullmatch(r"[0-9a-f]{32}", line["decisionId"])
        assert line["outcome"] == "signed"
    assert by_resource["origin"] == job["metadata"]["uid"]
    assert by_resource["keyId"] == f"goldcrest/alice/{by_resource['origin']}/{TRACE}"


async def test_decisions_are_found_in_the_log_of_opa(stage: Stage, tmp_path: Path) -> None:
    """Where OPA keeps a decision log, the audit line has its id, and the log has ours as part of the input."""
    path = tmp_path / "opa.sock"
    policies = REPOSITORY / "policies"
    argv = [
        str(binary("opa")),
        *server_arguments(address=f"unix://{path}", policies=policies, data=[stage.folder / "data.json"]),
    ]
    stage._spawn("opa-logging", [*argv, "--set=decision_logs.console=true"], lambda: socket_listens(path), {})
    try:
        with another_delegation(stage, OPA_URL=f"unix:{path}") as delegation:
            await stat(stage, socket=delegation)
        decision = stage.audit()[-1]["decisionId"]
        entries = [json.loads(line) for line in stage.log("opa-logging").splitlines() if '"decision_id"' in line]
    finally:
        stage.stop_process("opa-logging")
    entry = next(entry for entry in entries if entry["decision_id"] == decision)
    assert re.fullmatch(r"[0-9a-f]{32}", entry["input"]["decisionId"])
    assert entry["result"] == {"allow": True, "reason": "allowed"}


async def test_strangers_are_logged(stage: Stage) -> None:
    """Who is no caller of ours is refused, in the log and not in the audit log, which they must not be able to fill."""
    before = len(stage.audit())
    assert (await post(stage, "/v1/certificates", {"requests": []}, token="nonsense"))[0] == 401
    admission = stage.caller_token("goldcrest-admission")
    status, answer = await post(stage, "/v1/grants", {}, token=admission)
    assert (status, answer["code"]) == (403, "PolicyDenied")
    logged = [json.loads(line) for line in stage.log("delegation").splitlines() if "caller.refused" in line]
    assert [line["code"] for line in logged[-2:]] == ["Unauthenticated", "PolicyDenied"]
    assert "goldcrest-admission is not served" in logged[-1]["message"]
    assert "nonsense" not in stage.log("delegation")
    assert len(stage.audit()) == before


async def test_audit(stage: Stage) -> None:
    """`audit` shows what was just signed and refused, as a table and as the lines themselves."""
    await stat(stage)
    with pytest.raises(GoldcrestError):
        await stat(stage, user="bob")
    table = tool(stage, "audit", "--user", "alice", "--since", "1m")
    assert table.returncode == 0, table.stderr
    signed, refused, reason = table.stdout.splitlines()[-3:]
    assert signed.split()[2:7] == ["alice", "alice", "cluster", "fs.stat", "signed"]
    assert refused.split()[2:7] == ["alice", "bob", "cluster", "fs.stat", "refused"]
    assert reason == "    PolicyDenied: the token is of alice, not of bob"
    lines = tool(stage, "audit", "--run-as", "bob", "--outcome", "refused", "--json").stdout.splitlines()
    assert json.loads(lines[-1])["reason"] == "the token is of alice, not of bob"
    assert tool(stage, "audit", "--user", "nobody-of-this-name").stdout == "no such line\n"


async def test_revoke(stage: Stage, tmp_path: Path) -> None:
    """The lines that `revoke` makes of the audit log stop the certificate on a node, and sshd's own by ssh-keygen."""
    wire = await stat(stage)
    serial = stage.audit()[-1]["serial"]
    authority_file = stage.folder / "keys" / "ca.pub"
    now = int(time.time())
    for arguments in (("--user", "alice"), ("--serial", serial), ("--key-id", stage.audit()[-1]["keyId"])):
        lines = tool(stage, "revoke", *arguments)
        assert lines.returncode == 0, lines.stderr
        assert refusal(wire, ca_file=authority_file.read_text(), revocations=lines.stdout, now=now) == "revoked"
        assert refusal(wire, ca_file=authority_file.read_text(), revocations="", now=now) is None
        assert "REVOKED" in krl_verdict(wire, lines.stdout, authority_file, tmp_path)


def krl_verdict(wire: bytes, lines: str, authority_file: Path, folder: Path) -> str:
    """What ssh-keygen says of a certificate, by a KRL made of these lines."""
    shown(wire, folder)  # writes shown-cert.pub
    (folder / "lines").write_text(lines)
    make = ["ssh-keygen", "-q", "-k", "-f", "krl", "-s", str(authority_file), "lines"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True, timeout=20)
    ask = ["ssh-keygen", "-Q", "-f", "krl", "shown-cert.pub"]
    return subprocess.run(ask, cwd=folder, capture_output=True, text=True, timeout=20).stdout


def test_explain_a_token(stage: Stage, token_file: Path) -> None:
    """Each check of a REST caller's request in its order; nothing is signed, nothing audited, no token shown."""
    before = len(stage.audit())
    common = ("issue", "--explain", "--token-file", str(token_file), "--system", "cluster")
    stat_it = ("--op", "fs.stat", "--args", '{"path": "/scratch", "dereference": false}')
    yes = tool(stage, *common, "--user", "alice", *stat_it)
    assert yes.returncode == 0, yes.stdout + yes.stderr
    assert [line.split(None, 1)[0] for line in yes.stdout.splitlines()] == ["ok"] * 4 + ["ALLOWED"]
    assert "policy: allowed (decision " in yes.stdout
    no = tool(stage, *common, "--user", "bob", *stat_it)
    assert no.returncode == 3
    assert "DENIED     the token is of alice, not of bob (PolicyDenied)\ncheck      what follows\n" in no.stdout
    never = tool(stage, *common, "--user", "alice", "--op", "slurm.queue", "--args", '{"scope": "own"}')
    assert "slurm.queue is never signed for the gateway" in never.stdout
    assert len(stage.audit()) == before
    assert token_file.read_text() not in yes.stdout + no.stdout + never.stdout


def test_explain_a_job(stage: Stage, job: dict[str, Any], tmp_path: Path) -> None:
    """For a Job: resource, stamp, reviews, what follows, policy; a refusal names the rule, its file, and the input."""
    what = ("issue", "--explain", "--resource", f"Job/team/{job['metadata']['name']}")
    yes = tool(stage, *what, "--op", "slurm.submit")
    assert yes.returncode == 0, yes.stdout + yes.stderr
    for text in (
        "resource: Job",
        "stamp is valid",
        "may use cluster:alice",
        "block list: neither",
        "slurm.submit on cluster",
    ):
        assert text in yes.stdout
    with stage.policy_data("systems/cluster/users", []):
        no = tool(stage, *what)
    assert no.returncode == 3
    assert "DENIED     Unix user alice may not use system cluster (PolicyDenied)" in no.stdout
    assert "rule       rules.rego: user_listed (policies/goldcrest" in no.stdout
    asked = json.loads(no.stdout.splitlines()[-1].removeprefix("input"))
    assert (asked["subject"]["username"], asked["runAs"], asked["name"]) == ("alice", "alice", job["metadata"]["name"])
    later = tool(stage, *what, "--op", "slurm.release")
    assert later.returncode == 3
    assert "no slurm.release follows from it in its present state, but" in later.stdout
    blocked = tmp_path / "blocked"
    blocked.touch(mode=0o600)
    blocked.write_text("user: alice\n")
    site = tool(stage, *what, BLOCK_FILE=str(blocked))
    assert "DENIED     Unix user alice is blocked by the site (Blocked)\ncheck      block list\n" in site.stdout
    with stage.blocked_in_opa("alice"):
        data = tool(stage, *what, "--op", "slurm.submit")
    assert "DENIED     alice is blocked by the site (Blocked)\ncheck      block list\n" in data.stdout
    assert "or of data.goldcrest.blocked" in data.stdout


def test_explain_what_is_not_there(stage: Stage) -> None:
    """A resource that is not there, a name that is none, and asking to sign."""
    for arguments, status, message in (
        (("--explain", "--resource", "Job/team/nothing-there"), 3, "DENIED"),
        (
            ("--explain", "--resource", "Job/../x"),
            3,
            "is none of Job/<namespace>/<name>, Task/<namespace>/<name>, System/<name>",
        ),
        (("--resource", "System/cluster"), 1, "nothing is signed"),
    ):
        answer = tool(stage, "issue", *arguments)
        assert answer.returncode == status
        assert message in answer.stdout + answer.stderr


def test_explain_the_observer(stage: Stage) -> None:
    """A System's observer may ask for its closed list of queries."""
    what = ("issue", "--explain", "--resource", "System/cluster", "--op", "slurm.queue", "--args")
    assert tool(stage, *what, '{"scope": "all"}').returncode == 0
    assert "not on an observer's list" in tool(stage, *what, '{"scope": "own"}').stdout


@pytest.mark.parametrize("action", ["issue", "audit", "rotate", "revoke"])
def test_help(stage: Stage, action: str) -> None:
    """Every action has help."""
    shown_help = tool(stage, action, "--help")
    assert shown_help.returncode == 0
    assert f"usage: goldcrest-delegation {action}" in shown_help.stdout
