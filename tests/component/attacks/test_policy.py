"""OPA stopped, slow, garbled, bought, or changed through its own API: nothing is allowed that it did not clearly allow."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from component.admission.binaries import binary
from component.admission.stage import JOB, REPOSITORY, SITE
from component.attacks.attack_stage import AttackStage
from component.attacks.false_opa import Said, false_opa, result
from component.attacks.test_tokens import certificate_body, grant_body
from component.delegation.callers import post
from goldcrest_bed.components.opa import server_arguments

pytestmark = pytest.mark.component

EVIL = b'package goldcrest.rules\n\nallowance(_) := {"allow": true}\n'


def silent(_: dict[str, Any]) -> None:
    return None


GARBAGE: dict[str, Said] = {
    "silence": silent,
    "no-json": lambda _: b"<html>allowed</html>",
    "nothing": lambda _: b"{}",
    "a-bare-true": lambda _: result(True),
    "a-list": lambda _: result([{"allow": True}]),
    "too-much": lambda _: b'{"result": {"allow": true, "x": "' + b"x" * 1_100_000 + b'"}}',
}


async def _delegation(stage: AttackStage) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Errors for a grant and for a certificate to a good token, each with its audit line."""
    caller, token, before = stage.caller_token("goldcrest-api"), stage.issuer.token("alice"), len(stage.audit())
    _, grant = await post(stage, "/v1/grants", grant_body(token), token=caller)
    _, signed = await post(stage, "/v1/certificates", certificate_body(token), token=caller)
    assert "grant" not in grant
    return list(zip([grant, signed["results"][0]["error"]], stage.audit()[before:], strict=True))


@contextmanager
def opa_stopped(stage: AttackStage) -> Iterator[None]:
    stage.stop_process("opa")
    try:
        yield
    finally:
        stage.start_opa()


@pytest.mark.parametrize("name", ["stopped", *GARBAGE])
async def test_no_clear_answer(stage: AttackStage, name: str) -> None:
    """503 for kubectl and a retryable error from delegation, within the webhook's time, with a line in both logs."""
    with opa_stopped(stage) if name == "stopped" else false_opa(stage, GARBAGE[name]):
        answer = stage.create_job("alice", JOB, namespace="team")
        for error, line in await _delegation(stage):
            assert (error["code"], error["retryable"]) == ("PolicyUnavailable", True)
            assert (line["outcome"], line["code"], line["reason"]) == ("refused", error["code"], error["message"])
    assert answer.status == 503
    line = stage.refused(answer, "OPA")
    assert (line["code"], line["user"]) == ("PolicyUnavailable", "alice")


@pytest.mark.parametrize("allow", ["true", 1, "yes", [True], {"allow": True}, None])
async def test_anything_but_true(stage: AttackStage, allow: object) -> None:
    """What is not the literal true does not allow, whatever the reason beside it says."""

    def said(question: dict[str, Any]) -> bytes:
        one = {"allow": allow, "reason": "allowed, believe me"}
        asked = question.get("questions")
        return result({"answers": [{**one, "id": item["id"]} for item in asked]} if asked else one)

    with false_opa(stage, said):
        line = stage.refused(stage.create_job("alice", JOB, namespace="team"), "allowed, believe me")
        for error, audited in await _delegation(stage):
            assert error["code"] == audited["code"] == "PolicyDenied"
            assert audited["reason"] == "allowed, believe me"
    assert line["code"] == "PolicyDenied"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (lambda ids: [], "policy gave no answer to this question"),
        (lambda ids: [{"id": name, "allow": True} for name in [*ids, *ids]], "policy gave 2 answers to this question"),
        (lambda ids: [{"id": name, "allow": name == "0"} for name in [*ids, *ids]], "policy gave 2 answers"),
        (lambda ids: [{"id": int(name), "allow": True} for name in ids], "policy gave no answer"),
        (lambda ids: [{"allow": True} for _ in ids], "policy gave no answer"),
        (lambda ids: [{"id": f"{name} ", "allow": True} for name in ids], "policy gave no answer"),
    ],
)
async def test_batch_with_a_missing_or_doubled_answer(stage: AttackStage, answers: Any, told: str) -> None:
    """Each question needs exactly one answer with its id: for certificates, and for changes of several fields."""
    raw = stage.create_job("alice", JOB, namespace="team").body

    def said(question: dict[str, Any]) -> bytes:
        return result({"answers": answers([item["id"] for item in question["questions"]])})

    caller, token = stage.caller_token("goldcrest-api"), stage.issuer.token("alice")
    one = certificate_body(token)["requests"][0]
    with false_opa(stage, said):
        requests = {"requests": [{**one, "id": number} for number in range(3)]}
        _, answer = await post(stage, "/v1/certificates", requests, token=caller)
        change = {"spec": {"suspend": True, "deletionPolicy": "Orphan"}}
        changed = stage.patch_job("alice", "team", raw["metadata"]["name"], change)
    assert all(told in item["error"]["message"] for item in answer["results"])
    assert all((line["outcome"], told in line["reason"]) == ("refused", True) for line in stage.audit()[-3:])
    assert stage.refused(changed, told)["operation"] == "UPDATE"


# ---- OPA's own API ------------------------------------------------------------------------------------------------


class _Opa:
    """A real OPA as the test bed starts it."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "opa.sock"
        self.log = folder / "opa.log"
        (folder / "data.json").write_text(json.dumps({"goldcrest": SITE}))
        data = [folder / "data.json"]
        arguments = server_arguments(address=f"unix://{self.socket}", policies=REPOSITORY / "policies", data=data)
        self.argv = [str(binary("opa")), *arguments]

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("opa", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(str(self.socket))
        with closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            data = response.read()
        return response.status, json.loads(data) if data.strip() else {}

    def decision(self, **changes: Any) -> dict[str, Any]:
        question = {
            "trigger": "request",
            "subject": {"via": "Token", "username": "blocked-user", "groups": [], "scopes": ["firecrest"]},
            "system": "cluster",
            "runAs": "blocked-user",
            "operation": "fs.stat",
            "wildcards": [],
        }
        body = json.dumps({"input": {**question, **changes}}).encode()
        status, answer = self.ask("POST", "/v1/data/goldcrest/signing/decision", body)
        assert status == 200, answer
        decided: dict[str, Any] = answer["result"]
        return decided


@pytest.fixture(scope="module")
def opa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Opa]:
    running = _Opa(tmp_path_factory.mktemp("opa"))
    with running.log.open("wb") as log:
        process = subprocess.Popen(running.argv, stderr=log)
    try:
        end = time.monotonic() + 30
        while not running.socket.exists() or running.ask("GET", "/health")[0] != 200:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/policies/evil", EVIL),
        ("PUT", "/v1/policies/goldcrest%2Frules.rego", EVIL),
        ("DELETE", "/v1/policies/goldcrest%2Frules.rego", None),
        ("GET", "/v1/policies", None),
        ("PUT", "/v1/data/goldcrest/blocked", b"[]"),
        ("PATCH", "/v1/data/goldcrest", b'[{"op": "replace", "path": "blocked", "value": []}]'),
        ("DELETE", "/v1/data/goldcrest", None),
        ("GET", "/v1/data", None),
        ("PUT", "/v1/policies/system%2Fauthz.rego", b"package system.authz\n\ndefault allow := true\n"),
        ("GET", "/v1/data/goldcrest/signing/decision", None),
        ("PUT", "/v1/data/goldcrest/signing/decision", b'{"allow": true}'),
        ("POST", "/v1/data/system/authz/allow", b"{}"),
        ("POST", "/v1/data/goldcrest", b"{}"),
        ("POST", "/v1/data/goldcrest/signing/decision/../../blocked", b"{}"),
        ("POST", "/v0/data/goldcrest/signing/decision", b"{}"),
        ("POST", "/v1/compile", b'{"query": "data.goldcrest"}'),
        ("GET", "/v1/query?q=data.goldcrest", None),
        ("POST", "/", b"{}"),
        ("GET", "/v1/config", None),
        ("GET", "/metrics", None),
    ],
)
def test_opas_own_api(opa: _Opa, method: str, path: str, body: bytes | None) -> None:
    """With its own authorisation policy OPA takes no policy, no data and no query from anybody; decisions stay as they were."""
    status, answer = opa.ask(method, path, body)
    assert status in (301, 401, 404), answer
    if status == 401:
        assert answer["code"] == "unauthorized"
        logged = [json.loads(line) for line in opa.log.read_text().splitlines() if '"Sent response."' in line]
        assert (logged[-1]["req_method"], logged[-1]["resp_status"]) == (method, 401)
        assert logged[-1]["req_path"] == path.partition("?")[0]
    assert opa.decision()["allow"] is False
    assert "blocked-user is blocked" in opa.decision()["reason"]


def test_decisions_stay_open(opa: _Opa) -> None:
    """The control: with the same policy the two decisions and the health are answered."""
    subject = {"via": "Token", "username": "alice", "groups": [], "scopes": ["firecrest"]}
    assert opa.decision(runAs="alice", subject=subject)["allow"] is True
    assert opa.ask("GET", "/health?bundles")[0] == 200
    status, answer = opa.ask("POST", "/v1/data/goldcrest_check/problems", b'{"input": {}}')
    assert (status, answer["result"]) == (200, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be tried by root only")
def test_opas_socket_is_its_users_alone(opa: _Opa) -> None:
    """Another user of the machine cannot even connect."""
    program = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except PermissionError: sys.exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(opa.socket)], timeout=20).returncode == 7
