"""Several issuers at once: tokens of the OIDC server and of the API server itself, for jobs that really run."""

from __future__ import annotations

import pytest

from bed import Bed

pytestmark = pytest.mark.integration

WHOAMI = b"#!/bin/bash\nid -un\n"
GENERAL = {"description": "Bad header or JWT, general exception raised"}


def _pod_token(bed: Bed, account: str, *, namespace: str = "", audience: str = "") -> str:
    """What a kubelet writes into a pod's projected volume."""
    done = bed.kubectl(
        *("create", "token", account, "-n", namespace or bed.facts["goldcrest"]["pods"]["namespace"]),
        *("--audience", audience or bed.facts["oidc"]["audience"]),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _runs_as(bed: Bed, token: str, user: str) -> None:
    answer = bed.upload(WHOAMI, token=token)
    assert answer.status == 201, answer.body
    task_id = answer.json["task_id"]

    def task() -> dict[str, str]:
        seen = bed.call("GET", f"/tasks/{task_id}", token=token)
        assert seen.status == 200, seen.body
        found: dict[str, str] = seen.json["task"]
        return found

    assert bed.until(task, lambda seen: seen["status"] in ("200", "400"))["user"] == user
    [job] = bed.slurm_jobs_of(task_id)
    shown = bed.node("sacct", "-X", "-n", "-P", "-j", job["JobID"], "-o", "User")
    assert shown.split() == [user]


def test_pod(bed: Bed) -> None:
    """A pod's token submits a job, which runs as the Unix user of its service account's name."""
    _runs_as(bed, _pod_token(bed, "alice"), "alice")


def test_service_account(bed: Bed) -> None:
    """A client that is nobody's submits a job as the user of its rule's table."""
    _runs_as(bed, bed.token("portal"), bed.facts["oidc"]["service_accounts"]["service-account-portal"])


def test_tokens_that_are_not_for_us(bed: Bed) -> None:
    """A service account of another namespace is nobody, and a token for the API server is not for us."""
    answer = bed.call("GET", "/tasks", token=_pod_token(bed, "goldcrest-api", namespace="goldcrest"))
    assert (answer.status, answer.json) == (401, GENERAL)
    answer = bed.call("GET", "/tasks", token=_pod_token(bed, "alice", audience="somebody-else"))
    assert (answer.status, answer.json) == (401, {"description": "Invalid audience in JWT token"})


def test_one_issuer_does_not_see_the_others_user(bed: Bed) -> None:
    """Both issuers may say alice, who sees her jobs by either; bob's pod does not."""
    task_id = bed.upload(WHOAMI).json["task_id"]
    assert bed.call("GET", f"/tasks/{task_id}", token=_pod_token(bed, "alice")).status == 200
    answer = bed.call("GET", f"/tasks/{task_id}", token=_pod_token(bed, "bob"))
    assert (answer.status, answer.json) == (403, {"description": "Operation not permitted. Invalid task owner."})
