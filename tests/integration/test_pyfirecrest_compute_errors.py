"""What the unmodified pyfirecrest v1 client, sync and async, raises on /compute (contract 3.4, 5.2, 5.4 to 5.7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from firecrest.FirecrestException import FirecrestException, HeaderException

from bed import Bed
from integration.pyfirecrest_clients import NOBODYS_SYSTEM, Client
from integration.slurms_side import sbatch, state

pytestmark = pytest.mark.integration

SCRIPT = "#!/bin/bash\ntrue\n"
NO_PERMISSION = "User does not have permissions to access machine or path"
UNKNOWN = "99999999"  # id of no job


@pytest.fixture(scope="module")
def folder(bed: Bed) -> Iterator[str]:
    """A folder of alice's with a script that she may not read."""
    path = f"/scratch/alice/{bed.name('refused')}"
    bed.node("mkdir", path, user="alice")
    bed.node("install", "-m", "600", "-o", "bob", "/dev/null", f"{path}/closed.sh")
    yield path
    bed.node("rm", "-rf", path)


def refused(client: Client, bed: Bed, method: str, *args: Any, **more: Any) -> tuple[int, dict[str, str]]:
    """Status and body of a plain FirecrestException: without a header that the client looks for."""
    answer = client.refusal(FirecrestException, method, bed.system, *args, **more)
    assert answer.headers["X-Goldcrest-Code"] == "InvalidInput"
    return answer.status_code, answer.json()


def test_unknown_machine(client: Client) -> None:
    """HeaderException by each method: the client knows one of the two spellings only (D6)."""
    account = "Failed to retrieve account information"
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
        ("submit", (), {"script_str": SCRIPT}, "Failed to submit job file"),
        ("submit", (), {"script_remote_path": "/scratch/x"}, "Failed to submit job"),
        ("poll", (), {}, account),
        ("poll_active", (), {}, "Failed to retrieve jobs information"),
        ("nodes", (), {}, account),
        ("partitions", (), {}, account),
        ("reservations", (), {}, account),
        ("cancel", ("1",), {}, "Failed to delete job"),
    ]
    for method, args, more, description in cases:
        answer = client.refusal(HeaderException, method, NOBODYS_SYSTEM, *args, **more)
        assert (answer.status_code, answer.json()) == (
            400,
            {"description": description, "error": "Machine does not exists"},
        )
        assert answer.headers["X-Machine-Does-Not-Exist"] == "Machine does not exist"
        assert answer.headers["X-Machine-Does-Not-Exists"] == "Machine does not exists"
        assert answer.headers["X-Goldcrest-Code"] == "UnknownSystem"


def test_scripts_that_cannot_be_read(bed: Bed, client: Client, folder: str) -> None:
    """Missing, a directory, somebody else's: HeaderException, with the header that says which."""
    cases = [
        (f"{folder}/no.sh", "X-Invalid-Path", f"{folder}/no.sh is an invalid path.", "NoSuchFile"),
        (folder, "X-A-Directory", f"{folder} is a directory", "IsADirectory"),
        (f"{folder}/closed.sh", "X-Permission-Denied", NO_PERMISSION, "PermissionDenied"),
    ]
    for path, header, text, code in cases:
        answer = client.refusal(HeaderException, "submit", bed.system, script_remote_path=path)
        assert (answer.status_code, answer.json()) == (400, {"description": "Failed to submit job"})
        assert (answer.headers[header], answer.headers["X-Goldcrest-Code"]) == (text, code)


def test_submissions_that_make_no_sense(bed: Bed, client: Client, folder: str) -> None:
    """An empty script, a path and an account with characters that are none: nothing is made."""
    script = {"script_str": f"{SCRIPT}# of {folder}\n"}
    assert refused(client, bed, "submit", script_str="") == (
        400,
        {"description": "Failed to submit job file", "error": "Batch file is empty"},
    )
    assert refused(client, bed, "submit", script_remote_path=f"{folder}/a;b") == (
        400,
        {"description": "Failed to submit job", "error": "'targetPath' has invalid char"},
    )
    for given in (script, {"script_remote_path": f"{folder}/closed.sh"}):
        assert refused(client, bed, "submit", account="a;b", **given) == (
            400,
            {"description": "Invalid account", "error": "'account' has invalid char"},
        )
    assert folder not in bed.kubectl("get", "gjob", "-n", bed.namespace("alice"), "-o", "yaml").stdout


def test_what_slurm_refuses(bed: Bed, client: Client) -> None:
    """The task has failed with Slurm's words: an account, a user without one, a partition."""
    said = client.failure("submit", script_str=SCRIPT, account="nosuch")
    assert "Invalid account or account/partition combination specified" in said
    said = client.failure("submit", script_str="#!/bin/bash\n#SBATCH --partition=nosuch\ntrue\n")
    assert "invalid partition specified: nosuch" in said
    with Client.of(bed, client.kind, client="carol-client") as carol:
        assert "Invalid account or account/partition combination specified" in carol.failure(
            "submit", script_str=SCRIPT
        )


def test_ids_that_are_none(bed: Bed, client: Client) -> None:
    """Of jobs: refused at once where the contract says how they look; a cancellation has scancel's words."""
    job, account = "Failed to retrieve job information", "Failed to retrieve account information"
    for method, description in (("poll_active", job), ("poll", account)):
        for ids, error in (
            (["abc"], "abc is not a valid job ID"),
            (["1.0"], "1.0 is not a valid job ID"),
            (["1", ""], "Jobs list wrong format"),
            (["1;2"], "'jobs' has invalid char"),
        ):
            assert refused(client, bed, method, jobs=ids) == (400, {"description": description, "error": error})
    assert refused(client, bed, "cancel", "1;2") == (
        400,
        {"description": "Failed to delete job", "error": "'jobid' has invalid char"},
    )
    assert client.failure("cancel", "abc") == "scancel: error: Invalid job id abc"
    assert "Invalid job id specified" in client.failure("cancel", UNKNOWN)
    assert "Invalid job id specified" in client.failure("poll_active", jobs=[UNKNOWN])


def test_somebody_elses_job(bed: Bed, client: Client) -> None:
    """Not cancelled."""
    job_id = sbatch(bed, "sleep 120", user="bob")
    try:
        assert client.failure("cancel", job_id) == "User does not have permission to cancel job"
        assert state(bed, job_id) in ("PENDING", "RUNNING")
    finally:
        bed.node("scancel", job_id)


def test_pages_that_are_none(client: Client) -> None:
    """Beyond the end, negative, of nothing (D18): the task has failed with the sentence."""
    for method in ("poll_active", "poll"):
        said = client.failure(method, page_size=1000, page_number=4000)
        assert said.startswith("pageNumber (4000) is greater than total pages (")
        assert client.failure(method, page_number=-1) == "pageNumber (-1) cannot be a negative number"
        assert client.failure(method, page_size=0).startswith("pageSize (0) ")


def test_times_and_names_that_are_none(bed: Bed, client: Client) -> None:
    """Of accounting, nodes, partitions and reservations."""
    description = "Failed to retrieve account information"
    for more in ({"start_time": "soon"}, {"end_time": "soon"}):
        status, body = refused(client, bed, "poll", **more)
        assert (status, body["description"]) == (400, description)
        assert body["error"].startswith(next(iter(more)).replace("_", "") + " ")
    for method, word in (("nodes", "node"), ("partitions", "partition"), ("reservations", "reservations")):
        assert refused(client, bed, method, ["a;b"]) == (
            400,
            {"description": description, "error": f"{word} 'a;b' has invalid char"},
        )
    assert "nosuch" in client.failure("nodes", ["nosuch"])
