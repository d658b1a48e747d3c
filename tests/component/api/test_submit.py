"""Submitting: what the client is told, and which resource is made."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.api.gateway import ALICE, Gateway, running_gateway
from component.api.neighbours import os_error
from goldcrest.commands import command_from
from goldcrest.errors import (
    CommandFailed,
    CommandRefused,
    ConnectionRefused,
    DelegationUnavailable,
    Denied,
    HostKeyChanged,
    InvalidInput,
    LoginDenied,
    PolicyUnavailable,
    SystemUnreachable,
    Unauthenticated,
    Unavailable,
)
from goldcrest.models.job import JobSpec
from goldcrest.telemetry import Trace
from goldcrest.wellknown import namespace_of_user

pytestmark = pytest.mark.component

PERMISSION = "User does not have permissions to access machine or path"
JOBS = "Failed to retrieve jobs information"


async def path_job(gateway: Gateway, path: str | None = "/home/alice/run.sh", **more: Any) -> Any:
    fields = {"targetPath": path} if path is not None else {}
    return await gateway.request("POST", "/compute/jobs/path", data={**fields, **more.pop("fields", {})}, **more)


async def test_upload_makes_a_job(gateway: Gateway) -> None:
    """A small script goes into a Job in the user's namespace, with grant, trace and dialect, and a task id comes back."""
    trace = Trace.new()
    reply = await gateway.upload(
        b"#!/bin/sh\necho hi\n",
        name="my script.sh",
        fields={"account": "proj", "env": '{"A": "b c", "N": 3}'},
        headers={"traceparent": trace.header},
    )
    assert reply.status == 201
    body = reply.json()
    task_id = body["task_id"]
    assert re.fullmatch("[0-9a-f]{32}", task_id)
    assert reply.text == f'{{"success":"Task created","task_id":"{task_id}","task_url":"/tasks/{task_id}"}}\n'
    (job,) = gateway.kubernetes.jobs()
    meta = job["metadata"]
    assert (meta["namespace"], meta["name"]) == (ALICE, f"r-{task_id}")
    assert meta["labels"] == {"hpc.goldcrest.dev/dialect": "firecrest-v1"}
    assert meta["annotations"]["hpc.goldcrest.dev/grant"] == f"grant-for-r-{task_id}"
    assert trace.trace_id in meta["annotations"]["hpc.goldcrest.dev/traceparent"]
    del job["spec"]["requestedBy"]  # admission's
    assert job["spec"] == {
        "system": "cluster",
        "runAs": "alice",
        "script": {"inline": "#!/bin/sh\necho hi\n", "name": "my_script.sh"},
        "environment": {"A": "b c", "N": "3"},
        "account": "proj",
        "ttlSecondsAfterFinished": 86400,
    }
    JobSpec.model_validate(job["spec"])
    assert gateway.delegation.granted[0]["spec"] == job["spec"]
    assert trace.trace_id in gateway.delegation.granted[0]["trace"]


async def test_the_dialect_also_answers_below_v1(gateway: Gateway) -> None:
    """The same routes are at / and at /v1."""
    form = aiohttp.FormData()
    form.add_field("file", b"#!/bin/sh\n", filename="a")
    reply = await gateway.request("POST", "/v1/compute/jobs/upload", data=form)
    assert reply.status == 201


async def test_script_that_is_not_text_is_kept_byte_by_byte(gateway: Gateway) -> None:
    """Bytes that are no UTF-8 travel as base64 and are not changed."""
    content = b"#!/bin/sh\necho \xff\x00\n"
    assert (await gateway.upload(content)).status == 201
    script = gateway.kubernetes.jobs()[0]["spec"]["script"]
    assert base64.b64decode(script["base64"]) == content


async def test_large_script_is_written_to_the_system_first(gateway: Gateway) -> None:
    """Above 64 KiB the script goes into the job's own directory, and the Job names path and digest."""
    content = b"#!/bin/sh\n#" + b"x" * 100_000
    reply = await gateway.upload(content, name="big.sh")
    task_id = reply.json()["task_id"]
    path = f"/scratch/alice/goldcrest/goldcrest-c1a57e12-{task_id}/big.sh"
    assert gateway.node.files == {path: content}
    script = gateway.kubernetes.jobs()[0]["spec"]["script"]
    assert script == {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "name": "big.sh"}


async def test_large_script_that_cannot_be_written(gateway: Gateway) -> None:
    """Nothing is submitted, and the client learns why."""
    gateway.node.failures["fs.mkdir"] = os_error("EACCES", "/scratch/alice")
    reply = await gateway.upload(b"#" * 100_000)
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to submit job file", "error": "Failed to upload file"}
    assert reply.headers["X-Permission-Denied"] == PERMISSION
    assert gateway.kubernetes.jobs() == []


async def test_too_large_script(gateway: Gateway) -> None:
    """Above the limit of the body: 413 with the contract's text."""
    reply = await gateway.upload(b"#" * (5 * 2**20 + 1))
    assert reply.status == 413
    assert reply.json() == {"description": "Failed to upload batch script. The file is over 5 MB"}


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([("account", "proj", None)], "No batch file part"),
        ([("file", "text", None)], "No batch file part"),
        ([("file", b"#!/bin/sh", "")], "No batch file selected"),
        ([("file", b"", "job.sh")], "Batch file is empty"),
    ],
)
async def test_upload_without_a_script(gateway: Gateway, parts: list[tuple[str, Any, str | None]], error: str) -> None:
    """A missing, unnamed or empty file has its own text each."""
    boundary = "----boundary"
    lines = b""
    for name, content, filename in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        data = content if isinstance(content, bytes) else content.encode()
        lines += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"
    body = lines + f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    reply = await gateway.request("POST", "/compute/jobs/upload", data=body, headers=headers)
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to submit job file", "error": error}


async def test_body_that_is_no_form(gateway: Gateway) -> None:
    """A broken or foreign body is a clear 400, never a fault of the server."""
    headers = {"Content-Type": "multipart/form-data"}
    reply = await gateway.request("POST", "/compute/jobs/upload", data=b"nonsense", headers=headers)
    assert (reply.status, reply.json()["description"]) == (400, "Failed to submit job file")
    reply = await gateway.request("POST", "/compute/jobs/upload", json={"file": "x"})
    assert (reply.status, reply.json()["error"]) == (400, "No batch file part")


@pytest.mark.parametrize(("account", "outcome"), [("", "is empty"), ("a;b", "has invalid char")])
async def test_invalid_account(gateway: Gateway, account: str, outcome: str) -> None:
    """An empty or dangerous account is refused before anything is done."""
    reply = await gateway.upload(fields={"account": account})
    assert reply.status == 400
    assert reply.json() == {"description": "Invalid account", "error": f"'account' {outcome}"}


async def test_env_that_is_no_json(gateway: Gateway) -> None:
    """404 with the texts of the two routes, and no task is left behind."""
    gateway.node.files["/home/alice/run.sh"] = b"#!/bin/sh\n"
    reply = await gateway.upload(fields={"env": "{A}"})
    assert reply.status == 404
    assert reply.json() == {"description": "Failed to submit job", "error": "Invalid JSON in 'env' variable ({A})"}
    reply = await path_job(gateway, fields={"env": "[1]"})
    assert reply.status == 404
    assert reply.json() == {"description": "Failed to submit job", "error": "Invalid JSON environment provided"}
    assert gateway.kubernetes.jobs() == []


async def test_env_with_a_name_that_no_variable_has(gateway: Gateway) -> None:
    """The name is said; nothing of it reaches the system."""
    reply = await gateway.upload(fields={"env": '{"A-B": "1"}'})
    assert reply.status == 400
    assert "'A-B'" in reply.json()["error"]


async def test_path_makes_a_job_of_a_script_on_the_system(gateway: Gateway) -> None:
    """The Job names the path, its digest, and the script's directory as the one to start in."""
    gateway.node.files["/home/alice/run it.sh"] = b"#!/bin/sh\n"
    reply = await path_job(gateway, "/home/alice/run it.sh", fields={"account": "proj"})
    assert reply.status == 201
    spec = gateway.kubernetes.jobs()[0]["spec"]
    del spec["requestedBy"]  # admission's
    assert spec == {
        "system": "cluster",
        "runAs": "alice",
        "account": "proj",
        "script": {
            "path": "/home/alice/run it.sh",
            "sha256": hashlib.sha256(b"#!/bin/sh\n").hexdigest(),
            "name": "run_it.sh",
        },
        "workingDirectory": "/home/alice",
        "ttlSecondsAfterFinished": 86400,
    }


@pytest.mark.parametrize(("path", "outcome"), [(None, "not specified"), ("", "is empty"), ("/a|b", "has invalid char")])
async def test_path_that_is_no_path(gateway: Gateway, path: str | None, outcome: str) -> None:
    """The three outcomes of the check of fields."""
    reply = await path_job(gateway, path)
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to submit job", "error": f"'targetPath' {outcome}"}


@pytest.mark.parametrize(
    ("failure", "header", "value"),
    [
        (os_error("ENOENT", "/x"), "X-Invalid-Path", "/home/alice/run.sh is an invalid path."),
        (os_error("EACCES", "/x"), "X-Permission-Denied", PERMISSION),
        (os_error("EISDIR", "/x"), "X-A-Directory", "/home/alice/run.sh is a directory"),
        (CommandFailed("slow", kind="timeout"), "X-Timeout", "Command has finished with timeout signal"),
        (SystemUnreachable("gone"), "X-Machine-Not-Available", "Machine is not available"),
        (LoginDenied("no such account"), "X-Error", "no such account"),
        (ConnectionRefused("nobody listens"), "Retry-After", "2"),
        (CommandFailed("too large", kind="limit"), "X-Error", "too large"),
        (CommandRefused("no", reason="operation"), "X-Error", "Command execution is not allowed in machine"),
    ],
)
async def test_script_on_the_system_that_cannot_be_read(
    gateway: Gateway, failure: Any, header: str, value: str
) -> None:
    """400 with the header that says why."""
    gateway.node.failures["fs.read"] = failure
    reply = await path_job(gateway)
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to submit job"}
    assert reply.headers[header] == value


async def test_too_large_script_on_the_system(gateway: Gateway) -> None:
    """Above the bound it is not submitted; the client learns the bound."""
    gateway.node.files["/home/alice/run.sh"] = b"#" * (16 * 2**20 + 1)
    reply = await path_job(gateway)
    assert (reply.status, reply.headers["X-Error"]) == (400, "the script is larger than 16777216 bytes")
    assert gateway.kubernetes.jobs() == []


LINES = b"#!/bin/sh\n#SBATCH -n 2 --time=5 --gres=gpu:1 -D /scratch/run\n#SBATCH -A lab --mem=4GB\n"


@pytest.mark.parametrize("account", [None, "proj"])
async def test_lines_of_a_script_on_the_system_become_fields(gateway: Gateway, account: str | None) -> None:
    """The spec only names the file, so what its lines ask for is shown in fields; what the request says counts more."""
    gateway.node.files["/home/alice/run.sh"] = LINES
    assert (await path_job(gateway, fields={"account": account} if account else {})).status == 201
    spec = gateway.kubernetes.jobs()[0]["spec"]
    JobSpec.model_validate(spec)
    assert spec["script"]["sha256"] == hashlib.sha256(LINES).hexdigest()
    assert (spec["tasks"], spec["timeLimit"], spec["account"]) == (2, "5", account or "lab")
    assert spec["schedulerOptions"] == {"gres": "gpu:1", "memory": "4GB"}
    assert spec["workingDirectory"] == "/home/alice"


async def test_lines_of_a_large_script_become_fields(gateway: Gateway) -> None:
    """The same for a script that is too large for the resource; here the directory is the script's own choice."""
    assert (await gateway.upload(LINES + b"#" * 100_000)).status == 201
    spec = gateway.kubernetes.jobs()[0]["spec"]
    assert (spec["tasks"], spec["account"], spec["schedulerOptions"]["gres"]) == (2, "lab", "gpu:1")
    assert spec["workingDirectory"] == "/scratch/run"


@pytest.mark.parametrize("size", [0, 100_000])
async def test_a_forbidden_line(gateway: Gateway, size: int) -> None:
    """400 with the line's number and the reason, and nothing is made or written: by delegation for a small script, here for a large one."""
    refusal = "line 3 of the script: --uid cannot be used: the job runs as the user of the request"
    if not size:
        gateway.delegation.refusal = InvalidInput(refusal)
    reply = await gateway.upload(b"#!/bin/sh\n\n#SBATCH --uid=0\n" + b"#" * size)
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to submit job file", "error": refusal}
    gateway.node.files["/home/alice/run.sh"] = b"#!/bin/sh\n\n#SBATCH --uid=0\n"
    reply = await path_job(gateway)
    assert reply.json() == {"description": "Failed to submit job", "error": refusal}
    assert gateway.kubernetes.jobs() == []
    assert list(gateway.node.files) == ["/home/alice/run.sh"]


@pytest.mark.parametrize("path", ["run.sh", "./run.sh", ".//./run.sh"])
async def test_a_relative_path(gateway: Gateway, path: str) -> None:
    """It begins in the home folder, which the login node names."""
    gateway.node.files["/home/alice/" + path] = gateway.node.files["/home/alice/run.sh"] = b"#!/bin/sh\n"
    reply = await path_job(gateway, path)
    assert reply.status == 201, reply
    [job] = gateway.kubernetes.jobs()
    assert job["spec"]["script"]["path"] == "/home/alice/run.sh"
    assert job["spec"]["workingDirectory"] == "/home/alice"


@pytest.mark.parametrize("home", [None, 7, "somewhere", "/home/../etc"])
async def test_a_relative_path_of_a_node_that_names_no_home(gateway: Gateway, home: object) -> None:
    """An older ssh-filter does not, and what is no path is not believed."""
    gateway.node.home = home
    reply = await path_job(gateway, "run.sh")
    assert reply.status == 400
    assert re.search("whole path|^home ", reply.json()["error"])
    assert gateway.kubernetes.jobs() == []


async def test_a_path_that_leads_elsewhere(gateway: Gateway) -> None:
    """Where ``..`` leads depends on links that nobody has signed."""
    for path in ("../run.sh", "a/../../run.sh", "/home/alice/../bob/run.sh"):
        reply = await path_job(gateway, path)
        assert reply.status == 400
        assert reply.headers["X-Invalid-Path"] == f"{path} is an invalid path."
        assert "'..'" in reply.json()["error"]


@pytest.mark.parametrize(
    ("failure", "status", "header"),
    [
        (Denied("not you"), 404, ("X-Permission-Denied", PERMISSION)),
        (CommandRefused("uid", reason="uid"), 404, ("X-Permission-Denied", PERMISSION)),
        (CommandRefused("16 run", reason="busy"), 400, ("X-Machine-Not-Available", "Machine is not available")),
        (CommandRefused("late", reason="expired"), 400, ("X-Machine-Not-Available", "Machine is not available")),
        (SystemUnreachable("gone"), 400, ("X-Machine-Not-Available", "Machine is not available")),
        (ConnectionRefused("nobody listens"), 400, ("Retry-After", "2")),
        (LoginDenied("no such account"), 400, ("X-Goldcrest-Code", "LoginDenied")),
        (DelegationUnavailable("gone"), 400, ("X-Machine-Not-Available", "Machine is not available")),
        (PolicyUnavailable("gone"), 400, ("X-Machine-Not-Available", "Machine is not available")),
        (HostKeyChanged("another key"), 400, None),
    ],
)
async def test_access_probe_that_fails(
    gateway: Gateway, failure: Any, status: int, header: tuple[str, str] | None
) -> None:
    """The user may not in, or the system does not answer: no Job is made."""
    gateway.node.refusal = failure
    reply = await gateway.upload()
    assert reply.status == status
    assert reply.json()["description"] == JOBS
    if header is not None:
        assert reply.headers[header[0]] == header[1]
    away = isinstance(failure, Unavailable | CommandRefused) and not isinstance(
        failure, ConnectionRefused | LoginDenied
    )
    assert ("X-Machine-Not-Available" in reply.headers) == (away and status == 400)
    assert gateway.kubernetes.jobs() == []


async def test_access_is_looked_at_once_in_a_while(gateway: Gateway) -> None:
    """A second submission does not wait for the login node again; another user's does."""
    gateway.kubernetes.namespaces.add(namespace_of_user("bob"))
    for user in ("alice", "alice", "bob"):
        assert (await gateway.upload(user=user)).status == 201
    assert gateway.node.asked == [("sys.whoami", "alice"), ("sys.whoami", "bob")]


async def test_issuer_whose_tokens_do_not_count_for_the_system(gateway: Gateway) -> None:
    """Refused like a missing permission, without asking the system."""
    gateway.tokens.systems = frozenset({"other"})
    reply = await gateway.upload()
    assert (reply.status, reply.headers["X-Permission-Denied"]) == (404, PERMISSION)
    assert gateway.node.asked == []


async def test_policy_denies_the_grant(gateway: Gateway) -> None:
    """The reason that policy gave reaches the client."""
    gateway.delegation.refusal = Denied("account proj is closed")
    reply = await gateway.upload()
    assert reply.status == 404
    assert reply.json() == {"description": "Failed to submit job file", "error": "account proj is closed"}
    assert reply.headers["X-Permission-Denied"] == PERMISSION


async def test_delegation_does_not_accept_the_token(gateway: Gateway) -> None:
    """A token that expired on the way is a 401, like any other."""
    gateway.delegation.refusal = Unauthenticated("expired")
    assert (await gateway.upload()).status == 401


async def test_admission_denies_the_job(gateway: Gateway) -> None:
    """The reason that admission gave reaches the client."""
    gateway.kubernetes.deny = "runAs alice is not allowed"
    reply = await gateway.upload()
    assert reply.status == 404
    assert "runAs alice is not allowed" in reply.json()["error"]
    assert reply.headers["X-Permission-Denied"] == PERMISSION


async def test_kubernetes_is_down(gateway: Gateway) -> None:
    """The contract's text for a tasks service that does not answer, and when to try again."""
    gateway.kubernetes.down = True
    reply = await gateway.upload()
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to submit job file", "error": "Error creating task"}
    assert reply.headers["Retry-After"]


async def test_lost_answer_of_kubernetes_is_no_failure(gateway: Gateway) -> None:
    """The Job was made although the answer was lost: saying "failed" would make the client submit twice."""
    gateway.kubernetes.lose_answers = True
    reply = await gateway.upload()
    assert reply.status == 201
    assert [job["metadata"]["name"] for job in gateway.kubernetes.jobs()] == [f"r-{reply.json()['task_id']}"]


async def test_missing_namespace_tells_what_to_do(gateway: Gateway) -> None:
    """Where the gateway may not make namespaces, the answer names the namespace and who has to."""
    reply = await gateway.upload(user="carol")
    assert reply.status == 400
    error = reply.json()["error"]
    assert f"kubectl create namespace {namespace_of_user('carol')}" in error
    assert "administrator" in error


async def test_missing_namespace_is_made_where_that_is_allowed(tmp_path: Path) -> None:
    """On first use, by the gateway's own right."""
    async with running_gateway(tmp_path, change={"create_namespaces": True}) as gateway:
        assert (await gateway.upload(user="carol")).status == 201
        assert namespace_of_user("carol") in gateway.kubernetes.namespaces


async def test_same_idempotency_key_and_body_is_the_same_task(gateway: Gateway) -> None:
    """A repeated request, small or large, gets the same task and makes no second Job."""
    for content in (b"#!/bin/sh\n", b"#" * 100_000):
        headers = {"Idempotency-Key": f"key-{len(content)}"}
        first = await gateway.upload(content, headers=headers)
        second = await gateway.upload(content, headers=headers)
        assert (first.status, second.status) == (201, 201)
        assert first.json() == second.json()
    assert len(gateway.kubernetes.jobs()) == 2


async def test_same_idempotency_key_with_another_body(gateway: Gateway) -> None:
    """422, and what was submitted first stays as it is."""
    headers = {"Idempotency-Key": "one"}
    first = await gateway.upload(b"#!/bin/sh\n", headers=headers)
    second = await gateway.upload(b"#!/bin/bash\n", headers=headers)
    assert (first.status, second.status) == (201, 422)
    assert len(gateway.kubernetes.jobs()) == 1


async def test_idempotency_keys_are_the_callers_own(gateway: Gateway) -> None:
    """Two users with the same key get a task each."""
    gateway.kubernetes.namespaces.add(namespace_of_user("bob"))
    headers = {"Idempotency-Key": "one"}
    first = await gateway.upload(user="alice", headers=headers)
    second = await gateway.upload(user="bob", headers=headers)
    assert first.json()["task_id"] != second.json()["task_id"]


async def test_every_command_is_one_that_delegation_would_accept(gateway: Gateway) -> None:
    """The typed commands that a large upload needs pass the validation of the other side."""
    seen = []
    run = gateway.node.run

    async def note(command: Any, **more: Any) -> Any:
        seen.append(command)
        return await run(command, **more)

    gateway.node.run = note  # type: ignore[method-assign]
    await gateway.upload(b"#" * 100_000)
    assert [command.op for command in seen] == ["sys.whoami", "fs.mkdir", "fs.write"]
    for command in seen:
        assert command_from(command.op, command.args(), command.payload) == command


async def test_a_user_with_another_namespace(tmp_path: Path) -> None:
    """Where the setting names one, the user's Jobs are made, listed and looked up there; others keep theirs."""
    async with running_gateway(tmp_path, change={"user_namespaces": {"bob": "project-x"}}) as gateway:
        gateway.kubernetes.namespaces.add("project-x")
        made = {user: (await gateway.upload(user=user)).json()["task_id"] for user in ("alice", "bob")}
        where = {job["spec"]["runAs"]: job["metadata"]["namespace"] for job in gateway.kubernetes.jobs()}
        assert where == {"alice": ALICE, "bob": "project-x"}
        gateway.kubernetes.requests.clear()
        assert list((await gateway.request("GET", "/tasks", user="bob")).json()["tasks"]) == [made["bob"]]
        place = "GET /apis/hpc.goldcrest.dev/v1alpha1/namespaces/project-x"
        assert sorted(gateway.kubernetes.requests) == [f"{place}/jobs", f"{place}/tasks"]


async def test_many_at_once_with_one_idempotency_key(gateway: Gateway) -> None:
    """Twenty requests in the same instant make one Job and get one answer, small scripts and large ones; through two gateways too."""
    for content in (b"#!/bin/sh\n", b"#" * 100_000):
        headers = {"Idempotency-Key": f"key-{len(content)}"}
        replies = await asyncio.gather(*(gateway.upload(content, headers=headers) for _ in range(20)))
        assert {reply.status for reply in replies} == {201}
        assert len({reply.text for reply in replies}) == 1
    assert len(gateway.kubernetes.jobs()) == 2


async def test_idempotency_key_through_two_gateways(gateway: Gateway, tmp_path: Path) -> None:
    """Kubernetes is the store: what one made, the other finds; another body is refused there too."""
    headers = {"Idempotency-Key": "one"}
    async with running_gateway(tmp_path / "other", kubernetes=gateway.kubernetes) as other:
        asked = [each.upload(headers=headers) for each in (gateway, other) * 5]
        replies = await asyncio.gather(*asked)
        assert {(reply.status, reply.text) for reply in replies} == {(201, replies[0].text)}
        assert (await other.upload(b"#!/bin/other\n", headers=headers)).status == 422
    assert len(gateway.kubernetes.jobs()) == 1


@pytest.mark.parametrize("change", [{"account": "other"}, {"env": '{"A": "1"}'}, {"labels": '{"a": "1"}'}])
async def test_idempotency_key_with_other_fields(gateway: Gateway, change: dict[str, str]) -> None:
    """422 with the sentence, whichever field differs."""
    headers = {"Idempotency-Key": "one"}
    assert (await gateway.upload(headers=headers)).status == 201
    reply = await gateway.upload(headers=headers, fields=change)
    assert reply.status == 422
    assert reply.json() == {
        "description": "Failed to submit job file",
        "error": "the Idempotency-Key was used before, for another request",
    }
