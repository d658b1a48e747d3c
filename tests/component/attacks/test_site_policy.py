"""What a site says in its data and in its own rules, on real OPA, delegation, admission and gateway."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.admission.stage import JOB, job
from component.admission.test_policies import faults_of
from component.attacks.attack_stage import AttackStage
from component.attacks.false_opa import false_opa, result
from component.attacks.test_operator import asked, following, made, refused
from component.attacks.test_tokens import certificate_body, grant_body
from component.delegation.callers import another_delegation, of, post, rest_job
from goldcrest.commands import Find, Submit
from goldcrest.errors import DeniedForNow, PolicyUnavailable
from goldcrest.wellknown import namespace_of_user
from unit.ssh_filter.test_arguments import GOOD

pytestmark = pytest.mark.component

MESSAGE = "new file system"


def window(*, begins: float = -3600, ends: float = 3600, **more: Any) -> dict[str, Any]:
    """A maintenance window of the cluster; seconds from now."""
    now = datetime.now(UTC)
    times = {"from": now + timedelta(seconds=begins), "until": now + timedelta(seconds=ends)}
    return {"systems": ["cluster"], "message": MESSAGE, **{name: at.isoformat() for name, at in times.items()}, **more}


def glass(*users: str, issuer: str = "kubernetes", ends: float = 3600) -> dict[str, Any]:
    """Break-glass for these, until so many seconds from now."""
    until = (datetime.now(UTC) + timedelta(seconds=ends)).isoformat()
    people = {"issuers": [issuer], "users": list(users)}
    return {"people": people, "systems": ["cluster"], "until": until, "reason": "ticket 4711"}


@contextmanager
def site(stage: AttackStage, **data: Any) -> Iterator[None]:
    """With this in the site's data."""
    before = stage.site
    try:
        stage._restart_opa({**before, **data})
        yield
    finally:
        stage._restart_opa(before)


async def rest(stage: AttackStage, route: str, *, token: str = "") -> list[dict[str, Any]]:
    """What delegation answers the gateway for a grant and for a file operation on a route."""
    caller, token = stage.caller_token("goldcrest-api"), token or stage.issuer.token("alice")
    _, grant = await post(stage, "/v1/grants", {**grant_body(token), "route": route}, token=caller)
    [request] = certificate_body(token)["requests"]
    _, signed = await post(stage, "/v1/certificates", {"requests": [{**request, "route": route}]}, token=caller)
    return [grant, signed["results"][0]]


def explained(stage: AttackStage, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``goldcrest-delegation issue --explain``, with the settings of the running one."""
    return subprocess.run(
        [sys.executable, "-m", "goldcrest_delegation.main", "issue", "--explain", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **stage._delegation_settings()},
    )


# ---- Maintenance and break-glass ------------------------------------------------------------------------------------


async def test_a_maintenance_is_waited_for(stage: AttackStage) -> None:
    """New Jobs are taken; the operator is told to ask again, with the site's message; after the end it is signed."""
    with site(stage, maintenance=[window()]):
        raw = made(stage)
        submit = following(stage, raw)[Submit]
        with pytest.raises(DeniedForNow, match=f"maintenance of cluster until .*: {MESSAGE}") as caught:
            await asked(stage, submit, of(raw))
        assert caught.value.retryable
        line = stage.audited(MESSAGE)
        assert (line["code"], line["rule"]) == ("DeniedForNow", "maintenance.rego: passed (maintenance[0])")
        why = explained(stage, "--resource", f"Job/team/{raw['metadata']['name']}", "--op", "slurm.submit")
        assert why.returncode == 3
        assert "(DeniedForNow, may pass by itself)" in why.stdout
        assert (
            "rule       maintenance.rego: passed (maintenance[0]) (policies/goldcrest; its data: data.goldcrest)"
            in why.stdout
        )
        assert '"operation":"slurm.submit"' in why.stdout
    with site(stage, maintenance=[window(begins=-3600, ends=-1)]):
        await asked(stage, submit, of(raw))


def test_a_rest_job_is_taken_meanwhile(stage: AttackStage) -> None:
    """201 for a script that comes with the request, although the system cannot be reached; what needs it is refused in words."""
    boundary = "boundary"
    part = 'Content-Disposition: form-data; name="file"; filename="job.sh"'
    body = f"--{boundary}\r\n{part}\r\n\r\n#!/bin/sh\nhostname\n\r\n--{boundary}--\r\n"
    headers = {
        "Authorization": f"Bearer {stage.issuer.token('alice')}",
        "X-Machine-Name": "cluster",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    }
    stage.namespace(namespace_of_user("alice"))
    with (
        site(stage, maintenance=[window()]),
        closing(http.client.HTTPConnection("127.0.0.1", stage.gateway_port, timeout=20)) as connection,
    ):
        connection.request("POST", "/compute/jobs/upload", body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 201, answer
        connection.request("GET", "/utilities/view?targetPath=/scratch/alice/x", headers=headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    assert (response.status, response.headers["Retry-After"]) == (400, "60")
    assert MESSAGE in answer["error"]


RESERVATIONS = ("rsv.list", "rsv.create", "rsv.update", "rsv.delete")


@pytest.mark.parametrize("more", [{}, {"operations": ["rsv.*"]}], ids=["every-command", "rsv-only"])
async def test_a_maintenance_stops_reservations(stage: AttackStage, more: dict[str, Any]) -> None:
    """Each of their commands, whether the window names them or not; they are signed again when it is over."""
    with site(stage, maintenance=[window(**more)]):
        for operation in RESERVATIONS:
            error = (await reservation(stage, operation))["error"]
            assert (error["code"], error["retryable"]) == ("DeniedForNow", True)
            assert stage.audited(MESSAGE)["operation"] == operation
        _, signed = await rest(stage, "")
        assert ("certificate" in signed) == bool(more)  # files are not reservations
    with site(stage, maintenance=[window(begins=-3600, ends=-1, **more)]):
        for operation in RESERVATIONS:
            assert "certificate" in await reservation(stage, operation)


def test_a_client_is_told_of_a_maintenance_of_reservations(stage: AttackStage) -> None:
    """400 with the site's message, and when to ask again."""
    headers = {"Authorization": f"Bearer {stage.issuer.token('alice')}", "X-Machine-Name": "cluster"}
    with (
        site(stage, maintenance=[window()]),
        closing(http.client.HTTPConnection("127.0.0.1", stage.gateway_port, timeout=20)) as connection,
    ):
        connection.request("GET", "/reservations", headers=headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    assert (response.status, answer["error"]) == (400, "Error listing reservation")
    assert MESSAGE in answer["description"]
    assert response.headers["X-Machine-Not-Available"] == "Machine is not available"
    assert response.headers["Retry-After"] == "60"


async def test_a_window_may_refuse_at_the_door(stage: AttackStage) -> None:
    """One that names job.create: 503 with the message for kubectl, a retryable error for the gateway."""
    with site(stage, maintenance=[window(operations=["job.create"])]):
        line = stage.refused(stage.create_job("alice", JOB, namespace="team"), MESSAGE)
        assert line["code"] == "DeniedForNow"
        grant, signed = await rest(stage, "POST /compute/jobs/upload")
    assert (grant["code"], grant["retryable"]) == ("DeniedForNow", True)
    assert "certificate" in signed


async def test_break_glass(stage: AttackStage) -> None:
    """It passes window, limit and switch, and shows in the audit line and in both logs; what is usual leaves nothing."""
    limits = [{"name": "none", "most": {"nodes": 0}}]
    switched_off = {"cluster": {"enabled": False, "users": ["*"], "groups": []}}
    everything = {
        "maintenance": [window(operations=["job.create", "slurm.*"])],
        "limits": limits,
        "systems": switched_off,
    }
    with site(stage, **everything, break_glass=[glass("alice")]):
        raw = made(stage)
        await asked(stage, following(stage, raw)[Submit], of(raw))
        line = stage.audit()[-1]
        assert (line["outcome"], line["breakGlass"]) == ("signed", "ticket 4711")
        assert "allowed by break-glass until" in line["reason"]
        for process, operation in (("admission", "job.create"), ("delegation", "slurm.submit")):
            told = stage.events(process, "policy.break_glass")[-1]
            assert (told["level"], told["reason"], told["requester"]) == ("warning", "ticket 4711", "alice")
            assert told["operation"] == operation
        grant, _ = await rest(stage, "")  # the same name with a token is somebody else's word
        assert grant["code"] == "PolicyDenied"
    with site(stage, break_glass=[glass("alice")]):
        await asked(stage, following(stage, raw)[Submit], of(raw))
        assert stage.audit()[-1]["breakGlass"] == ""


def test_break_glass_does_not_pass(stage: AttackStage) -> None:
    """The block list, another's account, the end of its time."""
    window_now = [window(operations=["job.create"])]
    with site(stage, maintenance=window_now, break_glass=[glass("alice")], blocked=["alice"]):
        stage.refused(stage.create_job("alice", JOB, namespace="team"), "alice is blocked")
    with site(stage, maintenance=window_now, break_glass=[glass("bob")]):
        stage.refused(stage.create_job("bob", JOB, namespace="team"), "bob may not use hpcaccounts")
    with site(stage, maintenance=window_now, break_glass=[glass("alice", ends=-1)]):
        stage.refused(stage.create_job("alice", JOB, namespace="team"), MESSAGE)


# ---- Limits and requirements ----------------------------------------------------------------------------------------


async def test_limits_over_effective_fields(stage: AttackStage) -> None:
    """A line of the script counts as a field does; kubectl and the gateway are told; what was taken is judged again when signed."""
    limits = [{"name": "physics", "accounts": ["physics"], "most": {"nodes": 2, "minutes": 60}}]
    script = {"inline": "#!/bin/bash\n#SBATCH -A Physics -t 1:00:00 --nodes=3\nhostname\n"}
    raw = made(stage, script=script)
    submit = following(stage, raw)[Submit]
    await asked(stage, submit, of(raw))
    with site(stage, limits=limits):
        words = "physics: at most 2 nodes, and the job asks for 3"
        assert (
            stage.refused(stage.create_job("alice", job(script=script), namespace="team"), words)["code"]
            == "PolicyDenied"
        )
        await refused(stage, submit, of(raw), words)
        caller, token = stage.caller_token("goldcrest-api"), stage.issuer.token("alice")
        body = grant_body(token)
        body["spec"]["script"] = script
        _, grant = await post(stage, "/v1/grants", body, token=caller)
        assert grant["message"] == words
        unsaid = job(account="physics", nodes="2")
        stage.refused(
            stage.create_job("alice", unsaid, namespace="team"), "what the job would get is not known: set timeLimit"
        )
        assert (
            stage.create_job("alice", job(account="physics", nodes="2", timeLimit="59:59"), namespace="team").status
            == 201
        )
        assert stage.create_job("alice", job(account="chemistry", nodes="9"), namespace="team").status == 201


async def test_requirements_by_operation_and_route(stage: AttackStage) -> None:
    """More scopes for some routes and operations; a route that the gateway does not say is every route."""
    needs = [
        {"name": "uploads", "routes": ["POST /compute/jobs/upload"], "scopes": ["firecrest:submit"]},
        {"name": "files", "operations": ["fs.*"], "amr": ["mfa"], "max_auth_age_seconds": 600},
    ]
    fresh = stage.issuer.token("alice", amr=["pwd", "mfa"], auth_time=int(time.time()) - 60)
    stale = stage.issuer.token("alice", amr=["pwd", "mfa"], auth_time=int(time.time()) - 900)
    submitter = stage.issuer.token("alice", scope="firecrest firecrest:submit")
    with site(stage, requirements=needs):
        grant, signed = await rest(stage, "POST /compute/jobs/path", token=fresh)
        assert "grant" in grant
        assert "certificate" in signed
        for route in ("POST /compute/jobs/upload", ""):
            grant, signed = await rest(stage, route, token=fresh)
            assert grant["message"] == "uploads: the token lacks the scope firecrest:submit"
            assert signed["error"]["message"] == grant["message"]
        assert stage.audited("lacks the scope")["rule"] == "requirements.rego: kept (requirements[0])"
        grant, signed = await rest(stage, "POST /compute/jobs/upload", token=submitter)
        assert "grant" in grant
        assert signed["error"]["message"] == "files: the login must have used mfa (amr)"
        _, signed = await rest(stage, "GET /utilities/view", token=stale)
        assert "at most 600 seconds old (auth_time): log in again" in signed["error"]["message"]
        assert (signed["error"]["code"], signed["error"]["challenge"]) == (
            "InsufficientAuthentication",
            {"max_age": "600"},
        )
        assert stage.audited("log in again")["rule"] == "requirements.rego: kept (requirements[1])"


async def test_the_gateway_names_its_route(stage: AttackStage) -> None:
    """Seen from outside: a route that asks for more refuses there, and is named in the refusal."""
    needs = [{"name": "viewing", "routes": ["GET /utilities/view"], "scopes": ["firecrest:view"]}]
    with site(stage, requirements=needs):
        token = stage.issuer.token("alice")
        connection = http.client.HTTPConnection("127.0.0.1", stage.gateway_port, timeout=20)
        with closing(connection):
            headers = {"Authorization": f"Bearer {token}", "X-Machine-Name": "cluster"}
            connection.request("GET", "/v1/utilities/view?targetPath=/scratch/alice/x", headers=headers)
            response = connection.getresponse()
            response.read()
    assert (response.status, "X-Permission-Denied" in response.headers) == (400, True)
    assert stage.audited("viewing: the token lacks the scope firecrest:view")["operation"] == "session"


# ---- The site's own rules -------------------------------------------------------------------------------------------

BY_ROUTE = """package goldcrest.site

deny contains {"rule": "site.rego: by_route", "reason": sprintf("asked by %s at %d", [input.route, input.subject.askedAt])} if {
	input.operation == "slurm.find"
	input.subject.via == "Grant"
}

deny contains {"rule": "site.rego: no_nice", "reason": "nice is not used here"} if input.fields.nice
"""


async def test_a_site_rule_denies_in_both_decisions(stage: AttackStage) -> None:
    """Beside ours, in its words, also in a batch; and it sees what the grant keeps: route and time of the request."""
    raw = made(stage)
    caller, token = stage.caller_token("goldcrest-api"), stage.issuer.token("alice")
    stage.namespace(namespace_of_user("alice"))
    with stage.site_rules(BY_ROUTE):
        line = stage.refused(
            stage.create_job("alice", job(schedulerOptions={"nice": "5"}), namespace="team"), "nice is not used here"
        )
        assert line["code"] == "PolicyDenied"
        before = int(time.time())
        body = {**grant_body(token), "route": "POST /compute/jobs/upload"}
        _, answer = await post(stage, "/v1/grants", body, token=caller)
        resource = {
            **JOB,
            "metadata": {"name": body["name"], "annotations": {"hpc.goldcrest.dev/grant": answer["grant"]}},
        }
        resource["spec"] = body["spec"]
        created = stage.create_job(
            "system:serviceaccount:goldcrest:goldcrest-api", resource, namespace=body["namespace"]
        )
        assert created.status == 201, created
        find = following(stage, created.body)[Find]
        with pytest.raises(Exception, match=r"asked by POST /compute/jobs/upload at \d+") as caught:
            await asked(stage, find, of(created.body))
        assert before - 1 <= int(str(caught.value).split()[-1]) <= time.time()
        assert stage.audit()[-1]["rule"] == "site: site.rego: by_route"
        await asked(stage, following(stage, raw)[Find], of(raw))
        why = explained(stage, "--resource", f"Job/{body['namespace']}/{body['name']}", "--op", "slurm.find")
    assert "rule       site: site.rego: by_route (package goldcrest.site, in the site's own files)" in why.stdout


BY_ARGUMENTS = """package goldcrest.site

deny contains {"rule": "site.rego: large_reservations", "reason": sprintf("%d nodes of %s for %s: ask the help desk", [input.args.nodes, input.args.nodeType, input.args.name])} if {
	startswith(input.operation, "rsv.")
	input.args.nodes > 2
}
"""


async def reservation(stage: AttackStage, operation: str, **changes: Any) -> dict[str, Any]:
    """What delegation answers the gateway for a command of ``/reservations``."""
    [request] = certificate_body(stage.issuer.token("alice"))["requests"]
    asked_for = {**request, "op": operation, "args": {**GOOD[operation], **changes}}
    caller = stage.caller_token("goldcrest-api")
    _, answer = await post(stage, "/v1/certificates", {"requests": [asked_for]}, token=caller)
    [found] = answer["results"]
    result: dict[str, Any] = found
    return result


async def test_a_site_rule_sees_the_arguments_of_reservations(stage: AttackStage) -> None:
    """As they would be signed, each under its name: one that is too large is refused in the site's words, and one that is not, signed."""
    with stage.site_rules(BY_ARGUMENTS):
        for operation in ("rsv.create", "rsv.update"):
            assert "certificate" in await reservation(stage, operation, nodes=2)
            answer = await reservation(stage, operation, nodes=3)
            assert "certificate" not in answer
            words = "3 nodes of gpu for course_1: ask the help desk"
            assert (answer["error"]["code"], answer["error"]["message"]) == ("PolicyDenied", words)
            line = stage.audited(words)
            assert (line["operation"], line["rule"]) == (operation, "site: site.rego: large_reservations")
        for operation in ("rsv.list", "rsv.delete"):
            assert "certificate" in await reservation(stage, operation)


async def test_a_site_rule_never_allows(stage: AttackStage) -> None:
    """Whatever else the package says."""
    text = 'package goldcrest.site\n\nallow := true\n\ndecision := {"allow": true}\n\ndeny := set()\n'
    with site(stage, blocked=["alice"]), stage.site_rules(text):
        stage.refused(stage.create_job("alice", JOB, namespace="team"), "alice is blocked")


async def test_a_site_rule_that_fails_denies(stage: AttackStage) -> None:
    """It is not left out: nothing is allowed for now, and the message says where; what users sent is not in it."""
    text = 'package goldcrest.site\n\ndeny contains "x" if to_number(input.runAs) > 5\n'
    raw = made(stage)
    with stage.site_rules(text):
        line = stage.refused(stage.create_job("alice", JOB, namespace="team"), "an error in site.rego line 3")
        assert line["code"] == "PolicyUnavailable"
        with pytest.raises(PolicyUnavailable, match=r"an error in site\.rego line 3"):
            await asked(stage, following(stage, raw)[Find], of(raw))
        assert "ParseFloat" not in line["reason"]


async def test_site_rules_that_were_forgotten(stage: AttackStage) -> None:
    """With site_rules in the data nothing is allowed without them."""
    with site(stage, site_rules=True):
        stage.refused(stage.create_job("alice", JOB, namespace="team"), "the rules of this site are not loaded")


async def test_wrong_data_is_seen_at_the_start(stage: AttackStage) -> None:
    """A delegation that starts with it is not ready and says where; one that was ready stays so, and complains in its log."""

    async def ready(path: Path) -> tuple[int, str]:
        connector = aiohttp.UnixConnector(path=str(path))
        async with aiohttp.ClientSession(connector=connector) as session, session.get("http://x/readyz") as response:
            return response.status, await response.text()

    assert (await ready(stage.delegation_socket))[0] == 200
    with site(stage, limits=[{"name": "x", "most": {"nodes": "16"}}]):
        with another_delegation(stage) as path:
            status, text = await ready(path)
        assert status == 503
        assert "data.goldcrest.limits.0.most.nodes: Invalid type" in text
        assert (await ready(stage.delegation_socket))[0] == 200
        [line] = stage.events("delegation", "policy.data.wrong")
        assert line["level"] == "error"
        assert "limits.0.most.nodes" in line["problems"][0]
        # And what the wrong part is about is denied, not left open.
        stage.refused(stage.create_job("alice", JOB, namespace="team"), "x: ")


# ---- What policy is told --------------------------------------------------------------------------------------------

PLANTED = {
    "script": "PLANTED-SCRIPT",
    "environment": "PLANTED-VALUE",
    "url": "https://s3.example/bucket/x?X-Amz-Signature=PLANTED-SIGNATURE",
    "claim": "PLANTED-CLAIM",
}


async def _everything(stage: AttackStage) -> list[str]:
    """Jobs and commands through both doors, with secrets in all that users send; gives the tokens."""
    token = stage.issuer.token("alice", nonce=PLANTED["claim"], amr=["mfa"])
    script = {"inline": f"#!/bin/bash\ncurl '{PLANTED['url']}'\necho {PLANTED['script']}\n"}
    environment = {"SECRET": PLANTED["environment"], "URL": PLANTED["url"]}
    caller = stage.caller_token("goldcrest-api")
    body = grant_body(token)
    body["spec"] |= {"script": script, "environment": environment}
    await post(stage, "/v1/grants", body, token=caller)
    await post(stage, "/v1/certificates", certificate_body(token), token=caller)
    raw = made(stage, script=script, environment=environment, suspend=True)
    name = raw["metadata"]["name"]
    assert stage.patch_job("alice", "team", name, {"spec": {"suspend": False}}).status == 200
    live = stage.job(raw)
    for command in following(stage, live).values():
        await asked(stage, command, of(live))
    created = await rest_job(stage, secrets.token_hex(16))
    await asked(stage, following(stage, created)[Submit], of(created))
    return [token, caller]


async def test_no_secret_is_in_any_question(stage: AttackStage) -> None:
    """The whole input of every question, as OPA gets it: no tokens, script text, values, URLs; and it fits the schema."""
    heard: list[dict[str, Any]] = []

    def said(asked_for: dict[str, Any]) -> bytes:
        heard.append(asked_for)
        one = {"allow": True, "reason": "allowed"}
        batch = asked_for.get("questions")
        return result({"answers": [{**one, "id": item["id"]} for item in batch]} if batch else one)

    stage.namespace(namespace_of_user("alice"))
    with false_opa(stage, said):
        tokens = await _everything(stage)
    asked_for = [whole for whole in heard if set(whole) != {"decisionId"}]  # the block list is read without a question
    questions = [question for whole in asked_for for question in whole.get("questions", [whole])]
    operations = {question["operation"] for question in questions}
    assert {"job.create", "job.suspend", "fs.stat", "slurm.submit", "slurm.find"} <= operations
    doors = {question["subject"]["via"] for question in questions}
    assert doors == {"Token", "Grant", "Kubernetes"}
    text = json.dumps(heard)
    for secret in (*PLANTED.values(), *tokens, "PLANTED"):
        assert secret not in text
    assert faults_of(asked_for) == []
    assert faults_of(questions) == []


async def test_no_secret_is_in_opas_log(stage: AttackStage) -> None:
    """Its decision log neither; and what looks like one is masked there, should it get into a question nevertheless."""
    stage.stop_process("opa")
    stage.start_opa(more=["--set=decision_logs.console=true"])
    begin = len(stage.log("opa"))
    try:
        tokens = await _everything(stage)
        planted = {"args": {"inline": PLANTED["script"], "list": [tokens[0], PLANTED["url"]], "path": "/scratch/alice"}}
        body = json.dumps({"input": {"questions": [{"id": "0", "operation": "fs.stat", **planted}]}})
        connection = http.client.HTTPConnection("opa", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(stage._opa_socket))
        with closing(connection):
            connection.request("POST", "/v1/data/goldcrest/signing/decision", body)
            assert connection.getresponse().status == 200
        log = stage.log("opa")[begin:]
    finally:
        stage._restart_opa(stage.site)
    entries = [json.loads(line) for line in log.splitlines() if '"decision_id"' in line]
    assert len(entries) > 5
    assert entries[-1]["input"]["questions"][0]["args"] == {
        "inline": "masked",
        "list": ["masked", "masked"],
        "path": "/scratch/alice",
    }
    for secret in (*PLANTED.values(), *tokens, "PLANTED"):
        assert secret not in log
