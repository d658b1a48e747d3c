"""Bad input gets a clear answer and loses nothing: what a client sees, through REST and through kubectl."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bed import Bed

pytestmark = pytest.mark.integration

SCRIPT = b"#!/bin/bash\ntrue\n"


def _condition(job: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(condition for condition in job["status"]["conditions"] if condition["type"] == kind)


# ---- REST ----


def test_unknown_system(bed: Bed) -> None:
    """400 with both spellings of the header (D6)."""
    answer = bed.upload(SCRIPT, machine="nowhere")
    assert answer.status == 400
    assert answer.headers["X-Machine-Does-Not-Exist"] == "Machine does not exist"
    assert answer.headers["X-Machine-Does-Not-Exists"] == "Machine does not exists"
    assert answer.json == {"description": "Failed to submit job file", "error": "Machine does not exists"}


def test_no_system(bed: Bed) -> None:
    """400 with the contract's text."""
    answer = bed.upload(SCRIPT, machine=None)
    assert (answer.status, answer.json) == (400, {"description": "No machine name given"})


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        (b"", 400, {"description": "Failed to submit job file", "error": "Batch file is empty"}),
        (b"x" * (6 * 1024 * 1024), 413, {"description": "Failed to upload batch script. The file is over 5 MB"}),
    ],
    ids=["empty", "too large"],
)
def test_scripts_that_are_refused_at_the_door(bed: Bed, script: bytes, status: int, body: dict[str, str]) -> None:
    """Empty, and above the dialect's limit."""
    answer = bed.upload(script)
    assert (answer.status, answer.json) == (status, body)


def test_a_binary_is_refused_by_slurm_in_its_own_words(bed: Bed) -> None:
    """A program is no batch script: the task fails with what sbatch says, and nothing runs."""
    answer = bed.upload(b"\x7fELF\x02\x01\x01\x00" + bytes(200))
    task = bed.task_ended(answer.json["task_id"])
    assert task["status"] == "400"
    assert "batch script" in task["data"]
    assert bed.slurm_jobs(answer.json["task_id"]) == []


@pytest.mark.parametrize(
    ("directive", "words"),
    [
        ("#SBATCH --partition=debug --time=10:00:00", "time limit"),
        ("#SBATCH --partition=nosuch", "partition"),
        ("#SBATCH --account=nosuch", "account"),
        ("#SBATCH --nodes=5000", "requested"),
    ],
)
def test_what_slurm_refuses(bed: Bed, directive: str, words: str) -> None:
    """The Job is Failed with Slurm's own words in condition and event; the task ends 400 with the same."""
    answer = bed.upload(f"#!/bin/bash\n{directive}\ntrue\n".encode())
    task = bed.task_ended(answer.json["task_id"])
    assert (task["status"], task["description"]) == ("400", "Finished with errors")
    assert words in task["data"].lower()
    name = f"r-{answer.json['task_id']}"
    job = bed.job_finished(name)
    condition = _condition(job, "Failed")
    assert (condition["status"], condition["reason"]) == ("True", "RejectedByScheduler")
    assert words in condition["message"].lower()
    bed.until(
        lambda: bed.events(name), lambda events: any(words in event["message"].lower() for event in events), seconds=10
    )
    assert bed.slurm_jobs(answer.json["task_id"]) == []


def test_a_user_without_a_slurm_association(bed: Bed) -> None:
    """carol may log in, but Slurm knows no account of hers."""
    answer = bed.upload(SCRIPT, client="carol-client")
    task = bed.task_ended(answer.json["task_id"], client="carol-client")
    assert task["status"] == "400"
    assert "account" in task["data"].lower()


def test_a_user_without_an_account_on_the_system(bed: Bed) -> None:
    """A valid token of somebody whom the node does not know: sshd lets nobody of that name in, and they are told what to look at."""
    answer = bed.upload(SCRIPT, client="nobody-client")
    assert (answer.status, answer.json["description"]) == (400, "Failed to retrieve jobs information")
    assert "the account may be unknown, locked or expired there" in answer.json["error"]
    assert not {"X-Machine-Not-Available", "Retry-After"} & set(answer.headers)
    assert answer.headers["X-Goldcrest-Code"] == "LoginDenied"
    assert answer.headers["X-Goldcrest-Retryable"] == "true"  # it looks like an sshd that keeps users out for a while
    assert "X-Permission-Denied" not in answer.headers
    trace_id = answer.headers["traceparent"].split("-")[1]
    [line] = bed.until(
        lambda: [text for text in bed.log_lines("goldcrest-api", trace_id) if '"event":"request"' in text],
        bool,
        seconds=10,
    )
    assert "refused the login of mallory: the account may be unknown" in line


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/home/alice/nosuch.sh", ("X-Invalid-Path", "/home/alice/nosuch.sh is an invalid path.")),
        ("/home/alice", ("X-A-Directory", "/home/alice is a directory")),
        ("/home/bob/secret.sh", ("X-Permission-Denied", "User does not have permissions to access machine or path")),
    ],
)
def test_script_paths_that_cannot_be_read(bed: Bed, path: str, header: tuple[str, str]) -> None:
    """Missing, a directory, and somebody else's: 400 with the contract's header."""
    bed.node("sh", "-c", "install -m 600 /dev/null /home/bob/secret.sh && chmod 700 /home/bob", user="bob")
    answer = bed.submit_path(path)
    assert answer.status == 400, answer.body
    assert answer.headers[header[0]] == header[1]
    assert answer.json["description"] == "Failed to submit job"


def _foreign_token(bed: Bed, **claims: Any) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    good = {
        "iss": bed.facts["oidc"]["issuer"],
        "aud": bed.facts["oidc"]["audience"],
        "sub": "x",
        "preferred_username": "alice",
        "scope": "firecrest",
        "exp": now + 60,
        "iat": now,
    }
    return jwt.encode({**good, **claims}, key, algorithm="RS256", headers={"kid": "x"})


def test_no_token(bed: Bed) -> None:
    """401 with the contract's text."""
    answer = bed.upload(SCRIPT, client=None)
    assert (answer.status, answer.json) == (401, {"description": "No Auth Header given"})


def test_an_expired_token(bed: Bed, expired_token: str) -> None:
    """401 once it is older than its life and the leeway of 30 s."""
    answer = bed.call("GET", "/tasks", token=expired_token)
    assert (answer.status, answer.json) == (401, {"description": "JWT token has expired"})


@pytest.mark.parametrize("claims", [{}, {"iss": "https://elsewhere.example"}])
def test_a_token_of_somebody_elses_key(bed: Bed, claims: dict[str, str]) -> None:
    """Another key under our issuer's name, and another issuer: 401."""
    answer = bed.upload(SCRIPT, token=_foreign_token(bed, **claims))
    assert answer.status == 401, answer.body


def test_a_token_without_the_scope(bed: Bed) -> None:
    """401 that names the scope."""
    answer = bed.call("GET", "/tasks", client="scopeless-client")
    assert (answer.status, answer.json) == (401, {"description": "Scope 'firecrest' wasn't found in JWT"})


def test_somebody_elses_task(bed: Bed) -> None:
    """403 for the wrong owner, 404 for an id that is none of anybody."""
    task_id = bed.upload(SCRIPT).json["task_id"]
    answer = bed.call("GET", f"/tasks/{task_id}", client="bob-client")
    assert (answer.status, answer.json) == (403, {"description": "Operation not permitted. Invalid task owner."})
    unknown = "0" * 32
    answer = bed.call("GET", f"/tasks/{unknown}")
    assert (answer.status, answer.json) == (404, {"error": f"Task {unknown} does not exist"})


def test_an_environment_that_is_no_json(bed: Bed) -> None:
    """404 with the contract's text, and no orphan task."""
    answer = bed.upload(SCRIPT, form={"env": "{not json"})
    assert answer.status == 404
    assert answer.json == {"description": "Failed to submit job", "error": "Invalid JSON in 'env' variable ({not json)"}


# ---- kubectl ----


def test_an_unknown_system_in_a_resource(bed: Bed) -> None:
    """Refused at once; the message names the systems that there are."""
    refused = bed.apply_job(bed.name("bad"), system="nowhere")
    assert refused.returncode != 0
    assert "nowhere" in refused.stderr
    assert bed.system in refused.stderr


def test_run_as_somebody_else(bed: Bed) -> None:
    """alice may not run as bob, in her own namespace or in his."""
    for namespace in (bed.namespace("alice"), bed.namespace("bob")):
        refused = bed.apply_job(bed.name("bad"), runAs="bob", namespace=namespace)
        assert refused.returncode != 0
        assert "bob" in refused.stderr


def test_a_frozen_field(bed: Bed) -> None:
    """Changing, adding and removing are refused with the words that GitOps tools look for."""
    name = bed.name("frozen")
    assert bed.apply_job(name, suspend=True, account="physics").returncode == 0
    for patch in (
        [{"op": "replace", "path": "/spec/account", "value": "chemistry"}],
        [{"op": "add", "path": "/spec/partition", "value": "normal"}],
        [{"op": "remove", "path": "/spec/account"}],
        [{"op": "replace", "path": "/spec/runAs", "value": "bob"}],
    ):
        refused = bed.kubectl(
            "patch", "gjob", name, "-n", bed.namespace("alice"), "--type=json", "-p", json.dumps(patch), user="alice"
        )
        assert refused.returncode != 0
        assert "field is immutable" in refused.stderr


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"nosuchfield": 1}, 'unknown field "spec.nosuchfield"'),
        ({"tasks": "two"}, "spec.tasks"),
        ({"tasks": 0}, "spec.tasks"),
        ({"timeLimit": "an hour"}, "spec.timeLimit"),
        ({"script": {}}, "exactly one of inline, base64, configMap and path"),
        ({"script": {"path": "/home/alice/x"}}, "sha256"),
        ({"script": {"inline": "x" * (64 * 1024 + 1)}}, "65536"),
        ({"script": {"base64": "AAAAA"}}, "base64"),
        ({"runAs": None}, "runAs"),
        ({"environment": {"A B": "x"}}, "environment"),
        ({"jobName": "two\nlines"}, "spec.jobName"),
        ({"requestedBy": {"via": "Grant", "username": "root"}}, "requestedBy"),
    ],
)
def test_resources_that_make_no_sense(bed: Bed, spec: dict[str, Any], words: str) -> None:
    """kubectl prints a sentence that names the field."""
    refused = bed.apply_job(bed.name("bad"), **spec)
    assert refused.returncode != 0
    assert words in refused.stderr


def test_status_is_not_the_users(bed: Bed) -> None:
    """A user cannot write a job's status, take off its finalizer, or put a grant on it."""
    name, namespace = bed.name("status"), bed.namespace("alice")
    assert bed.apply_job(name, suspend=True).returncode == 0
    status = bed.kubectl(
        "patch",
        "gjob",
        name,
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status":{"jobId":"1"}}',
        user="alice",
    )
    assert status.returncode != 0
    finalizer = bed.kubectl(
        "patch", "gjob", name, "-n", namespace, "--type=merge", "-p", '{"metadata":{"finalizers":[]}}', user="alice"
    )
    assert finalizer.returncode != 0
    assert "finalizer" in finalizer.stderr
    grant = bed.kubectl("annotate", "gjob", name, "-n", namespace, "hpc.goldcrest.dev/grant=x", user="alice")
    assert grant.returncode != 0
