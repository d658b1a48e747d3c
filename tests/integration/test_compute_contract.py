"""Every route of ``/compute`` and ``/tasks``: each refusal with its status, body and headers (contract 3, 5, 7), on the real bed.

What becomes of accepted requests is in test_compute_endings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bed import Bed
from integration.contract_asks import JOB, Ask, Expected, ask, by_path, filled, upload

pytestmark = pytest.mark.integration

UPLOAD, PATH, DELETE = "Failed to submit job file", "Failed to submit job", "Failed to delete job"
JOBS, ONE, ACCOUNT = (f"Failed to retrieve {what} information" for what in ("jobs", "job", "account"))
NODE, TASKS = "Failed to retrieve node", "Failed to retrieve tasks information"
DENIED = {"X-Permission-Denied": "User does not have permissions to access machine or path"}
UNKNOWN = {
    "X-Machine-Does-Not-Exist": "Machine does not exist",
    "X-Machine-Does-Not-Exists": "Machine does not exists",
}
GENERAL = "Bad header or JWT, general exception raised"
FORMATS = "HH:MM[:SS] [AM|PM], MMDD[YY], MM/DD[/YY], MM.DD[.YY], MM/DD[/YY]-HH:MM[:SS], YYYY-MM-DD[THH:MM[:SS]]"
NOBODYS = "0" * 32

# Route; its description when the machine is unknown (5.1); that when the system does not let the caller in (5.2).
COMPUTE = [
    (upload(), UPLOAD, JOBS),
    (by_path("/home/alice/job.sh"), PATH, JOBS),
    (ask("GET /compute/jobs"), JOBS, JOBS),
    (ask("GET /compute/jobs/1"), ONE, JOBS),
    (ask("DELETE /compute/jobs/1"), DELETE, JOBS),
    (ask("GET /compute/acct"), ACCOUNT, JOBS),
    (ask("GET /compute/nodes"), ACCOUNT, JOBS),
    (ask("GET /compute/nodes/n1"), ACCOUNT, JOBS),
    (ask("GET /compute/partitions"), ACCOUNT, ACCOUNT),
    (ask("GET /compute/reservations"), ACCOUNT, ACCOUNT),
]
ALL = [
    *(route for route, *_ in COMPUTE),
    *map(ask, ("GET /compute/status", "GET /tasks", "GET /tasks/", f"GET /tasks/{NOBODYS}")),
]


def said(description: str | None = None, error: str | None = None) -> dict[str, str]:
    return {name: text for name, text in (("description", description), ("error", error)) if text is not None}


# ---- Who calls (3.2), which machine (3.4), may they (3.3) ----


@pytest.fixture(scope="module")
def bad_tokens(bed: Bed, expired_token: str) -> dict[str, tuple[str | None, Expected]]:
    """Tokens that are refused, each with the answer on every route."""
    good = bed.token()
    claims = jwt.decode(good, options={"verify_signature": False})
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pod = ("create", "token", "alice", "-n", bed.facts["goldcrest"]["pods"]["namespace"], "--audience", "others")
    of_nobody = ("create", "token", "goldcrest-api", "-n", "goldcrest", "--audience", bed.facts["oidc"]["audience"])
    audience, nobody = (bed.kubectl(*words).stdout.strip() for words in (pod, of_nobody))
    assert audience
    assert nobody

    def refused(token: str | None, description: str, code: str, why: str, kind: str = "invalid_token") -> tuple[str | None, Expected]:  # fmt: skip
        challenge = f'Bearer error="{kind}", error_description="{why}"' if why else "Bearer"
        if kind == "insufficient_scope":
            challenge += ', scope="firecrest"'
        return token, Expected(401, said(description), {"WWW-Authenticate": challenge}, code)

    no_algorithm = "the token's signature algorithm is not accepted from its issuer"
    return {
        "none": refused(None, "No Auth Header given", "TokenMissing", ""),
        "rubbish": refused("rubbish", GENERAL, "InvalidToken", "the token is not a JWT of three parts"),
        "expired": refused(expired_token, "JWT token has expired", "TokenExpired", "the token has expired"),
        "another key": refused(jwt.encode(claims, own, algorithm="RS256", headers={"kid": "x"}), "JWT token has invalid signature", "InvalidSignature", "the token is signed by a key that its issuer does not publish"),
        "cut": refused(good.rpartition(".")[0] + "." + "A" * 342, "JWT token has invalid signature", "InvalidSignature", "the token's signature is not valid"),
        "unsigned": refused(jwt.encode(claims, None, algorithm="none"), "JWT token has invalid signature algorithm", "InvalidAlgorithm", no_algorithm),
        "symmetric": refused(jwt.encode(claims, "k" * 32, algorithm="HS256"), "JWT token has invalid signature algorithm", "InvalidAlgorithm", no_algorithm),
        "issuer": refused(jwt.encode({**claims, "iss": "https://elsewhere.example"}, own, algorithm="RS256"), GENERAL, "InvalidToken", "the token's issuer is not configured here"),
        "audience": refused(audience, "Invalid audience in JWT token", "InvalidAudience", "the token is for another audience"),
        "scope": refused(bed.token("scopeless-client"), "Scope 'firecrest' wasn't found in JWT", "MissingScope", "Scope 'firecrest' wasn't found in JWT", "insufficient_scope"),
        "name that is no user": refused(nobody, GENERAL, "InvalidToken", "claim sub of the token gives no Unix user"),
    }  # fmt: skip


@pytest.mark.parametrize("route", ALL, ids=str)
def test_tokens_that_are_refused(bed: Bed, bad_tokens: Mapping[str, tuple[str | None, Expected]], route: Ask) -> None:
    """401 with the contract's text and a challenge for programs, on every route, before the machine is looked at."""
    for name, (token, expected) in bad_tokens.items():
        print(name)
        expected.of(route.send(bed, token=token, client=None, machine="nowhere"))


@pytest.mark.parametrize("route", ALL, ids=str)
def test_a_token_without_a_user(bed: Bed, route: Ask) -> None:
    """3.2: a good token that names nobody: 400 in compute, in the words of the probe that the original made; 401 in tasks."""
    answer = route.send(bed, client="unnamed-client")
    if route.line.startswith("GET /tasks"):
        why = "the token has no claim preferred_username, which would give the Unix user"
        challenge = {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{why}"'}
        Expected(401, said(GENERAL), challenge, "NoUser").of(answer)
        return
    probed = next((probed for other, _, probed in COMPUTE if other is route), JOBS)
    Expected(400, said(probed), {}, "NoUser").of(answer)


@pytest.mark.parametrize(
    ("route", "unknown", "probed"), COMPUTE, ids=lambda value: str(value) if isinstance(value, Ask) else ""
)
def test_machines_and_who_may_in(bed: Bed, route: Ask, unknown: str, probed: str) -> None:
    """No machine is named; one that is not there (both spellings, D6); one that lets nobody of that name in (5.2)."""
    on_path = route.line.endswith("/jobs/path")
    none = said(PATH, "No machine name given") if on_path else said("No machine name given")
    Expected(400, none, {}, "InvalidInput").of(route.send(bed, machine=None))
    there_is_none = Expected(400, said(unknown, "Machine does not exists"), UNKNOWN, "UnknownSystem")
    for name in ("nowhere", bed.system.upper(), f"{bed.system} ;", "../" + bed.system):
        there_is_none.of(route.send(bed, machine=name))
    # sshd knows no such account: an error of the login (3.8.7), not a machine that is away.
    answer = route.send(bed, client="nobody-client")
    assert "refused the login" in answer.json["error"]
    Expected(400, said(probed, answer.json["error"]), {}, "LoginDenied").of(answer)


def test_a_machine_that_refuses_connections(bed: Bed) -> None:
    """Nothing listens there: no header says "not available" (3.6)."""
    with bed.faults.daemon_down("sshd-goldcrest"):
        bed.until(lambda: bed.upload(JOB), lambda answer: answer.status != 201, seconds=90)
        for route, _, probed in COMPUTE:
            if route.line.startswith("DELETE"):  # of a job that was submitted here, nothing is asked of the machine now
                route, probed = ask("DELETE /compute/jobs/987654321"), JOBS
            Expected(400, said(probed), {"Retry-After": "2"}, "ConnectionRefused").of(route.send(bed))
    bed.until(lambda: bed.call("GET", "/utilities/whoami"), lambda answer: answer.status == 200, seconds=60)


# ---- What is asked ----

ELEVEN = "<>|;\"'&\\()`"  # 3.5
_BAD_IDS = ("x", "1.0", "1_", "1_[1,3]", "1_[3-1]", "-1", "1 2", "1;2", "1%00", "%D9%A3", "upload")
_BAD_TIMES = ("soon", "now", "", "25:00", "10:61", "1:2", "13:00 PM", "1331", "13/01", "02/30/30", "1.1.2030", "2030-02-30", "2030-1-1", "2030-01-01T25:00", "2030-01-01 10:00", "2030-01-01Z", "10:00;ls")  # fmt: skip


def wrong(request: Ask, description: str, error: str, **headers: str) -> tuple[Ask, Expected]:
    """A row: 400, ``InvalidInput``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request, Expected(400, said(description, error), named, "InvalidInput")


def unreadable(target: str, header: str, value: str, code: str, error: str | None = None) -> tuple[Ask, Expected]:
    """A row of ``jobs/path``: what the look at the script finds (5.2)."""
    return by_path(target), Expected(400, said(PATH, error), {header: value}, code)


REFUSED = [
    # POST /compute/jobs/upload
    wrong(ask("POST /compute/jobs/upload"), UPLOAD, "No batch file part"),
    wrong(ask("POST /compute/jobs/upload", form={"file": "#!/bin/sh"}), UPLOAD, "No batch file part"),
    wrong(upload(name=""), UPLOAD, "No batch file selected"),
    wrong(upload(b""), UPLOAD, "Batch file is empty"),
    (upload(b"#" * 5 * 2**20), Expected(413, said("Failed to upload batch script. The file is over 5 MB"), {}, "TooLarge")),
    wrong(upload(account=""), "Invalid account", "'account' is empty"),
    *(wrong(upload(account=f"a{c}b"), "Invalid account", "'account' has invalid char") for c in ELEVEN + "\t\x1f"),
    (upload(env="{not json"), Expected(404, said(PATH, "Invalid JSON in 'env' variable ({not json)"), {}, "NotFound")),
    (upload(env='["A"]'), Expected(404, said(PATH, "Invalid JSON in 'env' variable ([\"A\"])"), {}, "NotFound")),
    wrong(upload(env='{"A B": "1"}'), UPLOAD, "'A B' is not a name of an environment variable"),
    wrong(upload(env='{"A": "\\u0000"}'), UPLOAD, "environment variable A has a character that no variable can have"),
    wrong(upload(env='{"A": "' + "a" * 4097 + '"}'), UPLOAD, "environment variable A has more than 4096 characters"),
    wrong(upload(b"#!/bin/bash\n#SBATCH --hold\n"), UPLOAD, "line 2 of the script: --hold cannot be used: it would be released again; submit with spec.suspend instead"),
    wrong(upload(b"#!/bin/bash\n#SBATCH -J a\\b\n"), UPLOAD, "line 2 of the script: a backslash is not allowed in a directive"),
    # POST /compute/jobs/path
    wrong(ask("POST /compute/jobs/path"), PATH, "'targetPath' not specified"),
    wrong(ask("POST /compute/jobs/path", form={"path": "/x"}), PATH, "'targetPath' not specified"),
    wrong(by_path(""), PATH, "'targetPath' is empty"),
    *(wrong(by_path(f"HOME/a{c}b"), PATH, "'targetPath' has invalid char") for c in ELEVEN + "\0\n\x1f"),
    unreadable("missing.sh", "X-Invalid-Path", "missing.sh is an invalid path.", "NoSuchFile"),
    wrong(by_path("../x"), PATH, "targetPath '../x' has a '..' component", X_Invalid_Path="../x is an invalid path."),
    wrong(by_path("/home/../x"), PATH, "targetPath '/home/../x' has a '..' component", X_Invalid_Path="/home/../x is an invalid path."),
    unreadable("HOME/missing.sh", "X-Invalid-Path", "HOME/missing.sh is an invalid path.", "NoSuchFile"),
    unreadable("HOME/plain.sh/below", "X-Invalid-Path", "HOME/plain.sh/below is an invalid path.", "NotADirectory"),
    unreadable("HOME/loop", "X-Invalid-Path", "HOME/loop is an invalid path.", "TooManyLinks"),
    unreadable("HOME", "X-A-Directory", "HOME is a directory", "IsADirectory"),
    unreadable("HOME/closed.sh", *next(iter(DENIED.items())), "PermissionDenied"),
    unreadable("OTHERS/job.sh", *next(iter(DENIED.items())), "PermissionDenied"),
    unreadable("HOME/large.sh", "X-Error", "the script is larger than 16777216 bytes", "TooLarge"),
    wrong(by_path("HOME/hold.sh"), PATH, "line 2 of the script: --hold cannot be used: it would be released again; submit with spec.suspend instead"),
    wrong(by_path("HOME/plain.sh", account=""), "Invalid account", "'account' is empty"),
    wrong(by_path("HOME/plain.sh", account="a;b"), "Invalid account", "'account' has invalid char"),
    (by_path("HOME/plain.sh", env="{not json"), Expected(404, said(PATH, "Invalid JSON environment provided"), {}, "NotFound")),
    (by_path("HOME/plain.sh", env="7"), Expected(404, said(PATH, "Invalid JSON environment provided"), {}, "NotFound")),
    wrong(by_path("HOME/plain.sh", env='{"1A": "1"}'), PATH, "'1A' is not a name of an environment variable"),
    # GET /compute/jobs, /compute/acct: ids and times
    *(wrong(ask(f"GET /compute/{route}?jobs={ids}"), description, error)
      for route, description in (("jobs", ONE), ("acct", ACCOUNT))
      for ids, error in (
          ("", "'jobs' is empty"),
          ("1;2", "'jobs' has invalid char"),
          ("1%26", "'jobs' has invalid char"),
          ("1%00", "'jobs' has invalid char"),
          (",", "Jobs list wrong format"),
          ("1,,2", "Jobs list wrong format"),
          ("1,2,", "Jobs list wrong format"),
          ("1,x", "x is not a valid job ID"),
          ("1.0", "1.0 is not a valid job ID"),
          ("1_[1,3]", "1_[1 is not a valid job ID"),
          (",".join(map(str, range(1001))), "1001 were given; at most 1000 are allowed"),
      )),
    *(wrong(ask(f"GET /compute/acct?{name}={value}"), ACCOUNT, f"{name} '{value}' is not a valid time: {FORMATS}")
      for name in ("starttime", "endtime") for value in _BAD_TIMES),
    wrong(ask("GET /compute/acct?starttime=2030-01-03&endtime=2030-01-02"), ACCOUNT, "the end 2030-01-02T00:00:00 is before the start 2030-01-03T00:00:00"),
    # GET, DELETE /compute/jobs/{jobid}
    *(wrong(ask(f"GET /compute/jobs/{one}"), ONE, "SHOWN is not a valid job ID") for one in _BAD_IDS),
    *(wrong(ask(f"DELETE /compute/jobs/1%{ord(c):02X}2"), DELETE, "'jobid' has invalid char") for c in ELEVEN + "\0\n\x1f"),
    wrong(ask("DELETE /compute/jobs/,"), DELETE, "'jobid' has 0 ids; 1 to 100 are allowed"),
    wrong(ask("DELETE /compute/jobs/" + ",".join(map(str, range(101)))), DELETE, "'jobid' has 101 ids; 1 to 100 are allowed"),
    # Names
    *(wrong(ask(f"GET /compute/{route}a%{ord(c):02X}b"), description, f"{word} 'a{c}b' has invalid char")
      for route, word, description in (
          ("nodes?nodes=n1,", "node", ACCOUNT),
          ("nodes/", "nodeName", NODE),
          ("partitions?partitions=", "partition", ACCOUNT),
          ("reservations?reservations=lab,", "reservations", ACCOUNT),
      ) for c in ELEVEN + "\0"),
    wrong(ask("GET /compute/nodes?nodes=n1,,n2"), ACCOUNT, "node '' is empty"),
    # Tasks (7.1)
    wrong(ask("GET /tasks?tasks="), TASKS, "'tasks' is empty"),
    wrong(ask("GET /tasks/?tasks="), TASKS, "'tasks' is empty"),
    *(wrong(ask(f"GET /tasks?tasks={NOBODYS},%{ord(c):02X}"), TASKS, "'tasks' has invalid char") for c in ELEVEN + "\0"),
    *((ask(f"GET /tasks/{one}"), Expected(404, said(None, "Task SHOWN does not exist"), {}, "NotFound")) for one in (NOBODYS, "1", "A" * 32, "0" * 33, "a;b", "x" * 500)),
    (ask("GET /tasks/FOREIGN_TASK"), Expected(403, said("Operation not permitted. Invalid task owner."), {}, "PolicyDenied")),
    # Never public (15.29, D12)
    *((ask(f"{method} {path}"), Expected(400, {"message": "Invalid"}, {}, "InvalidInput")) for method in ("GET", "POST", "PUT", "DELETE") for path in ("/", "/tasks/tasklist", "/tasks/taskslist")),
    # No such route or method
    *((ask(f"GET {path}"), Expected(404, "404 Not Found", {}, "NotFound")) for path in ("/compute", "/compute/", "/compute/jobs/", "/compute/nodes/", "/compute/jobs/1/", f"/tasks/{NOBODYS}/", "/tasks/expire/x")),
    *((ask(f"{method} {path}"), Expected(405, "405 Method Not Allowed", {"Allow": allow}, "MethodNotAllowed"))
      for path, allow in (
          ("/compute/jobs/upload", "DELETE, GET, POST"),  # also an id of a job
          ("/compute/jobs/path", "DELETE, GET, POST"),
          ("/compute/jobs", "GET"),
          ("/compute/jobs/1", "DELETE, GET"),
          *((f"/compute/{name}", "GET") for name in ("acct", "nodes", "nodes/n1", "partitions", "reservations", "status")),
          ("/tasks", "GET"),
          ("/tasks/", "GET"),
          (f"/tasks/{NOBODYS}", "GET"),
      )
      for method in ("PUT", "PATCH", *(("POST",) if "POST" not in allow else ()), *(("DELETE",) if "DELETE" not in allow else ()))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "expected"), REFUSED, ids=lambda value: str(value) if isinstance(value, Ask) else str(value.status)
)
def test_refused(bed: Bed, world: Mapping[str, str], request_: Ask, expected: Expected) -> None:
    """At the door, with exactly this; ``SHOWN`` is the last part of the path, as it was meant."""
    named = request_.named(world)
    words = {**world, "SHOWN": unquote(named.line.rpartition("/")[2])}
    body = expected.body
    if not isinstance(body, str):
        body = {name: filled(text, words) for name, text in body.items()}
    headers = {name: filled(text, words) for name, text in expected.headers.items()}
    replace(expected, body=body, headers=headers).of(named.send(bed, token=world["TOKEN"]))


@pytest.mark.parametrize("below", ["", "./", "sub/"])
def test_a_relative_script(bed: Bed, below: str) -> None:
    """It begins in the home folder, and runs where it lies (3.5, 5.3)."""
    name = f"{bed.name('relative')}.sh"
    folder = "/home/alice/sub" if below == "sub/" else "/home/alice"
    bed.node("mkdir", "-p", folder, user="alice")
    bed.node("sh", "-c", f"printf '#!/bin/bash\\npwd\\n' > {folder}/{name}", user="alice")
    answer = bed.submit_path(f"{below}{name}")
    assert answer.status == 201, answer.body
    data = bed.task_ended(answer.json["task_id"])["data"]
    assert data["job_file"] == f"{folder}/{name}"
    assert data["job_file_out"] == f"{folder}/slurm-{data['jobid']}.out"
    assert bed.job_finished(f"r-{answer.json['task_id']}")["status"]["phase"] == "Succeeded"
    assert bed.node("cat", data["job_file_out"]).strip() == folder
