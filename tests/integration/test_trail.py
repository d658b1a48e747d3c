"""One `sbatch` is followed from the token to the audit line, as docs/trail.md shows it; each link is proved on a fresh job.

`WRITE_TRAIL=1 pytest tests/integration/test_trail.py` puts the excerpts of that job into the page.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import urllib.request
from pathlib import Path

import jwt
import pytest

from bed import Bed
from goldcrest.canonical import canonical, sha256_hex
from goldcrest.grants import spec_digest
from goldcrest.wellknown import ANNOTATION_GRANT
from integration.trail import Trail, follow, on_page, shape, write

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trail(bed: Bed) -> Trail:
    found = follow(bed)
    if os.environ.get("WRITE_TRAIL"):
        write(found)
    return found


def test_the_page_is_what_happens(trail: Trail) -> None:
    """Each excerpt of docs/trail.md has the fields and the words of a fresh one."""
    page = on_page()
    assert set(page) == set(trail.excerpts)
    for name, fresh in trail.excerpts.items():
        assert shape(page[name]) == shape(fresh), name


def test_the_grant_is_delegations_word(bed: Bed, trail: Trail) -> None:
    """Its signature is verified by the public key; it names this resource, and the digest of this spec, for a minute."""
    delegation = bed.facts["goldcrest"]["delegation"]["url"]
    context = ssl.create_default_context(cafile=str(Path(bed.facts["pki"]) / "ca.crt"))
    with urllib.request.urlopen(f"{delegation}/v1/jwks", context=context, timeout=10) as answer:
        keys = {key["kid"]: jwt.PyJWK(key) for key in json.load(answer)["keys"]}
    grant = trail.job["metadata"]["annotations"][ANNOTATION_GRANT]
    key = keys[jwt.get_unverified_header(grant)["kid"]]
    claims = jwt.decode(grant, key=key.key, algorithms=["EdDSA"], options={"verify_exp": False})
    meta, spec = trail.job["metadata"], trail.job["spec"]
    assert (claims["kind"], claims["namespace"], claims["name"]) == ("Job", meta["namespace"], meta["name"])
    assert claims["specSha256"] == spec_digest(spec)
    assert claims["exp"] - claims["iat"] == 60
    token = jwt.decode(trail.token, options={"verify_signature": False})
    assert (claims["iss"], claims["sub"]) == (token["iss"], token["sub"])
    assert claims["username"] == spec["requestedBy"]["username"] == token["preferred_username"]
    (line,) = (line for line in trail.audit if line["audit"] == "grant")
    assert (line["digest"], line["origin"]) == (claims["specSha256"], claims["jti"])


def test_the_certificate_is_for_one_command(trail: Trail) -> None:
    """What ssh-keygen shows is what the audit line says; the digest there is that of the command in the certificate."""
    found = re.search(r"Serial: (\d+)", trail.certificate)
    assert found is not None
    (line,) = (line for line in trail.audit if line["serial"] == found[1])
    assert f'Key ID: "{line["keyId"]}"' in trail.certificate
    assert line["digest"] == sha256_hex(canonical(trail.command))
    assert re.search(
        r"Principals:\s+alice\s+Critical Options:\s+force-command \S+ v1\.\S+\s+Extensions: \(none\)", trail.certificate
    )
    assert trail.command["op"] == line["operation"] == "slurm.submit"
    assert trail.command["args"]["token"] == trail.job["status"]["submission"]["token"]


def test_node_and_audit_log_agree(trail: Trail) -> None:
    """Every certificate that the node accepted in this trace was signed by delegation, for the same operation, under the same key id."""
    signed = {line["serial"]: line for line in trail.audit if line["outcome"] == "signed" and line["serial"]}
    commands = [dict(re.findall(r"(\S+?)=(\S+)", line)) for line in trail.node if "event=command" in line]
    assert {"slurm.submit", "slurm.release"} <= {command["op"] for command in commands}
    for command in commands:
        line = signed[command["serial"]]
        assert (line["operation"], line["keyId"], line["runAs"]) == (command["op"], command["keyid"], command["user"])
    for text in trail.node:
        if "Accepted publickey" in text:
            found = re.search(r"ID (\S+) \(serial (\d+)\)", text)
            assert found is not None
            assert signed[found[2]]["keyId"] == found[1]
            assert signed[found[2]]["operation"] == "session"


def test_slurm_and_the_status_agree(trail: Trail) -> None:
    """The job in Slurm carries the token that is in the certificate, and runs as the user that the token named."""
    header, row = (line.split("|") for line in trail.excerpts["slurm"].splitlines())
    job = dict(zip(header, row, strict=True))
    status = trail.job["status"]
    assert (job["JobID"], job["User"], job["Account"]) == (status["jobId"], "alice", "physics")
    assert job["Comment"] == status["submission"]["token"] == trail.command["args"]["token"]
