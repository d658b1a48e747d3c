"""The audit log (T13): every decision in one whole line, which nobody can forge, and without which nothing is handed out."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import resource
import secrets
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.admission.stage import JOB, Answer
from component.attacks.attack_stage import AttackStage
from component.attacks.test_tokens import certificate_body, grant_body
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, another_delegation, authority, of, rest_job, shown
from component.delegation.test_tools import tool
from goldcrest.canonical import canonical, sha256_hex
from goldcrest.commands import Find
from goldcrest.errors import Denied
from goldcrest.grants import spec_digest
from goldcrest.wellknown import submission_token

pytestmark = pytest.mark.component

ALWAYS = {"time", "audit", "outcome", "caller", "requester", "runAs", "system", "operation", "digest", "origin"}
ALWAYS |= {"decisionId", "trace_id", "reason"}
PLACE = {"namespace", "name"}
WICKED = 'eve","outcome":"signed"}{"x":"\u202e\u00a0'
NASTY = [
    'x"}\n{"audit": "certificate", "outcome": "signed"}\n',
    "\x1b]0;owned\x07\x1b[2J",
    "\u202e\u2028\x85\x9b2J",
    "\\n",
]


async def _asked(delegation: Path, path: str, body: object, token: str) -> dict[str, Any]:
    connector = aiohttp.UnixConnector(path=str(delegation))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"http://delegation{path}", json=body, headers={"Authorization": f"Bearer {token}"}) as response,
    ):
        answer: dict[str, Any] = await response.json()
        return answer


@pytest.mark.parametrize("outcome", ["signed", "refused"])
async def test_every_decision_is_a_whole_line(stage: AttackStage, outcome: str, tmp_path: Path) -> None:
    """Certificates by token and by resource, grants and action grants, allowed and refused: who, as whom, where, what, why."""
    made = stage.create_job("alice", JOB, namespace="team").body
    granted = await rest_job(stage, secrets.token_hex(16))
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    find = Find(submission_token(cluster_id, made["metadata"]["uid"].replace("-", "")))
    token, caller = stage.issuer.token("alice"), stage.caller_token("goldcrest-api")
    certificates, grants, before = certificate_body(token), grant_body(token), len(stage.audit())
    action = {
        "token": token,
        "kind": "Job",
        "field": "cancel",
        "value": True,
        "trace": TRACE,
        **{part: granted["metadata"][part] for part in ("namespace", "name", "uid")},
    }

    async def ask() -> None:
        for path, body in (
            ("/v1/certificates", certificates),
            ("/v1/grants", grants),
            ("/v1/action-grants", action),
        ):
            await _asked(stage.delegation_socket, path, body, caller)
        async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
            certificate = await operator.command_certificate(
                find, public_key=PUBLIC_KEY, system="cluster", user="alice", sid=SID, basis=of(made), trace=TRACE
            )
        facts = shown(certificate, tmp_path)
        line = stage.audit()[-1]
        assert (line["serial"], line["keyId"]) == (facts["Serial"], facts["Key ID"].strip('"'))

    if outcome == "signed":
        await ask()
    else:
        with (
            stage.policy_data("systems/cluster/users", ["bob"]),
            pytest.raises(Denied, match="alice may not use system cluster"),
        ):
            await ask()
    by_token, grant, action_grant, by_resource = stage.audit()[before:]
    refused = {"code", "rule"} if outcome == "refused" else set()
    signed = set() if outcome == "refused" else {"serial", "keyId"}
    gateway, operator = "goldcrest-api", "goldcrest-operator"
    for line, kind, operation, account, more in (
        (by_token, "certificate", "fs.stat", gateway, signed),
        (grant, "grant", "job.create", gateway, PLACE),
        (action_grant, "action-grant", "job.cancel", gateway, PLACE),
        (by_resource, "certificate", "slurm.find", operator, signed | PLACE),
    ):
        assert {name for name, value in line.items() if value} - {"reason"} == (ALWAYS | more | refused) - {"reason"}
        assert (line["audit"], line["operation"], line["outcome"]) == (kind, operation, outcome)
        assert line["caller"] == f"system:serviceaccount:goldcrest:{account}"
        assert (line["requester"], line["runAs"], line["system"]) == ("alice", "alice", "cluster")
        assert line["trace_id"] == TRACE
        assert re.fullmatch(r"[0-9a-f]{32}", line["decisionId"])
        if outcome == "refused":
            assert (line["code"], line["reason"], line["serial"]) == (
                "PolicyDenied",
                "Unix user alice may not use system cluster",
                "",
            )
    body = {"kind": "command", "system": "cluster", "user": "alice", "sid": "0" * 32}
    command = {name: certificates["requests"][0][name] for name in ("op", "args", "payload")}
    assert by_token["digest"] == sha256_hex(canonical({**body, **command}))
    assert by_resource["digest"] == sha256_hex(canonical(find.body(system="cluster", user="alice", sid=SID)))
    assert grant["digest"] == spec_digest(grants["spec"])
    assert action_grant["digest"] == sha256_hex(canonical({"field": "cancel", "value": True}))
    assert len({line["decisionId"] for line in (by_token, grant, action_grant, by_resource)}) == 4


async def test_lines_cannot_be_forged(stage: AttackStage) -> None:
    """Line breaks, quotes and escapes in whatever a caller may say: one line for each request, and all of them are its own."""
    token, caller = stage.issuer.token("alice"), stage.caller_token("goldcrest-api")
    good, whole = certificate_body(token)["requests"][0], grant_body(token)
    before = len(stage.audit())
    fields = ("system", "user", "op", "kind", "sid", "trace", "token")
    requests = [{**good, "id": 0, field: nasty} for field in fields for nasty in NASTY]
    requests += [{**good, "id": 0, "args": {"path": f"/scratch/{nasty}", "dereference": False}} for nasty in NASTY]
    answer = await _asked(stage.delegation_socket, "/v1/certificates", {"requests": requests}, caller)
    grants = [{**whole, field: nasty} for field in ("kind", "namespace", "name", "trace", "token") for nasty in NASTY]
    grants += [{**whole, "spec": {**whole["spec"], field: nasty}} for field in ("system", "runAs") for nasty in NASTY]
    for body in grants:
        await _asked(stage.delegation_socket, "/v1/grants", body, caller)
    lines = stage.audit()[before:]
    assert len(lines) == len(requests) + len(grants)
    signed = [line for line in lines if line["outcome"] == "signed"]
    assert len(signed) == sum("certificate" in result for result in answer["results"])
    assert {line["serial"] for line in lines if line["outcome"] == "refused"} == {""}
    raw = stage.audit_file.read_bytes()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", raw)


async def test_a_requesters_name_forges_nothing(stage: AttackStage, tmp_path: Path) -> None:
    """Kubernetes lets a user be called almost anything: it stays one value, in the line, in the key id and in the table."""
    stage.may(WICKED, "team", accounts=["cluster:alice"], name="wicked")
    answer = _as(stage, WICKED)
    assert answer.status == 201, answer
    raw, cluster_id = answer.body, stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    find, before = Find(submission_token(cluster_id, raw["metadata"]["uid"].replace("-", ""))), len(stage.audit())
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        certificate = await operator.command_certificate(
            find, public_key=PUBLIC_KEY, system="cluster", user="alice", sid=SID, basis=of(raw), trace=TRACE
        )
    (line,) = stage.audit()[before:]
    assert (line["requester"], line["outcome"], line["operation"]) == (WICKED, "signed", "slurm.find")
    assert re.fullmatch(r"goldcrest/[A-Za-z0-9@._:-]+/[0-9a-f-]+/[0-9a-f]{32}", line["keyId"])
    assert shown(certificate, tmp_path)["Key ID"].strip('"') == line["keyId"]
    table = tool(stage, "audit", "--requester", WICKED, "--since", "5m")
    assert table.returncode == 0, table.stderr
    assert "\u202e" not in table.stdout
    assert "\\x202e" in table.stdout


def _as(stage: AttackStage, user: str) -> Answer:
    """A Job made by a user of any name, by impersonation: as an authenticating proxy would bring one."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", stage.port, context=ssl.create_default_context(cafile=str(stage.tls.ca)), timeout=30
    )
    connection.putrequest("POST", "/apis/hpc.goldcrest.dev/v1alpha1/namespaces/team/jobs")
    body = json.dumps(JOB).encode()
    for name, value in (
        ("Authorization", f"Bearer {stage._tokens['root']}"),
        ("Impersonate-User", user.encode()),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
    ):
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    answer = Answer(response.status, json.loads(response.read()))
    connection.close()
    return answer


# ---- The file -----------------------------------------------------------------------------------------------------


@pytest.fixture
def log(stage: AttackStage) -> Iterator[Path]:
    """A log of its own, with lines of before: longer than what a process prints at its start."""
    path = stage.folder / f"audit-{secrets.token_hex(4)}.jsonl"
    path.write_text((json.dumps({"time": "2020-01-01T00:00:00+00:00", "audit": "grant"}) + "\n") * 2000)
    yield path
    path.unlink()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[2000:] if line]


def _size(path: Path) -> int:
    return path.stat().st_size


def _read(path: Path) -> tuple[list[str], int]:
    """What the lines tell of, and how many are none."""
    whole, damaged = [], 0
    for text in path.read_text().splitlines()[2000:]:
        try:
            whole.append(json.loads(text)["audit"])
        except ValueError:
            damaged += bool(text)
    return whole, damaged


async def test_full_disk(stage: AttackStage, log: Path) -> None:
    """Without room for its line nothing is signed or granted, and the caller may come back; when there is room it goes on,
    and the line that was cut costs no other."""
    token, caller = stage.issuer.token("alice"), stage.caller_token("goldcrest-api")
    with another_delegation(stage, AUDIT_FILE=str(log)) as delegation:
        process = stage._processes[delegation.stem].pid

        async def signed() -> dict[str, Any]:
            return await _asked(delegation, "/v1/certificates", certificate_body(token), caller)

        assert "certificate" in (await signed())["results"][0]
        soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
        for room in (40, 0):  # part of a line, and nothing
            resource.prlimit(process, resource.RLIMIT_FSIZE, (_size(log) + room, hard))
            for error in (await signed(), await _asked(delegation, "/v1/grants", grant_body(token), caller)):
                assert (error["code"], error["retryable"]) == ("Unavailable", True)
                assert "the audit log cannot be written" in error["message"]
                assert not {"grant", "results"} & set(error)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))
        assert "certificate" in (await signed())["results"][0]
        assert "certificate" in (await signed())["results"][0]
        with log.open("ab") as file:
            file.write(b'{"time": "20')  # a process that was killed within a line
    with another_delegation(stage, AUDIT_FILE=str(log)) as delegation:
        assert "grant" in await _asked(delegation, "/v1/grants", grant_body(token), caller)
    whole, damaged = _read(log)
    assert (whole, damaged) == (["certificate", "certificate", "certificate", "grant"], 2)
    told = tool(stage, "audit", "--file", str(log), "--since", "1h")
    assert told.returncode == 1
    assert "2 lines are no audit lines" in told.stderr


async def test_two_replicas_write_one_file(stage: AttackStage, log: Path) -> None:
    """Each line is whole, and each certificate that was handed out has its own: no line of one is within one of the other."""
    token, caller = stage.issuer.token("alice"), stage.caller_token("goldcrest-api")
    one = certificate_body(token)["requests"][0]
    with (
        another_delegation(stage, AUDIT_FILE=str(log)) as first,
        another_delegation(stage, AUDIT_FILE=str(log)) as second,
    ):

        async def batch(delegation: Path, number: int) -> list[str]:
            # Lines of several KiB: long paths would show a write that is cut.
            path = f"/scratch/alice/{number}/" + "x" * 3000
            requests = [{**one, "id": at, "args": {"path": path, "dereference": False}} for at in range(32)]
            answer = await _asked(delegation, "/v1/certificates", {"requests": requests}, caller)
            return [result["certificate"] for result in answer["results"]]

        batches = [batch(delegation, number) for number in range(12) for delegation in (first, second)]
        handed_out = [certificate for found in await asyncio.gather(*batches) for certificate in found]
    lines = _lines(log)
    assert len(lines) == len(handed_out) == 768
    assert {line["outcome"] for line in lines} == {"signed"}
    assert {line["serial"] for line in lines} == {str(_serial(certificate)) for certificate in handed_out}


def _serial(certificate: str) -> int:
    """Of a certificate in base64: the field after type, nonce and key (PROTOCOL.certkeys)."""
    data = base64.b64decode(certificate)
    for _ in range(3):
        (length,) = struct.unpack_from(">I", data)
        data = data[4 + length :]
    (serial,) = struct.unpack_from(">Q", data)
    return int(serial)


def test_the_file_is_appended_to_only(stage: AttackStage) -> None:
    """The kernel refuses delegation to write anywhere but at the end, and nobody else may read it."""
    process = stage._processes["delegation"].pid
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        if descriptor.resolve() == stage.audit_file.resolve():
            flags = int(
                re.search(r"flags:\s*([0-7]+)", Path(f"/proc/{process}/fdinfo/{descriptor.name}").read_text())[1], 8
            )
            assert flags & 0o2000, "O_APPEND"
            assert flags & 0o3 == 0o1, "O_WRONLY"
            break
    else:
        pytest.fail("delegation does not hold its audit log open")
    assert stage.audit_file.stat().st_mode & 0o777 == 0o600
    assert subprocess.run(["tail", "-c1", str(stage.audit_file)], capture_output=True, timeout=10).stdout == b"\n"
