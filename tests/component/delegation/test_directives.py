"""Batch directives where it counts: what is granted and what is signed (T9)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from component.admission.stage import JOB, SYSTEM, Stage
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, of, post, shown, signed_command
from goldcrest.authorised import authorised_commands
from goldcrest.commands import Submit, SubmitOptions
from goldcrest.errors import Denied
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import namespace_of_user, rest_name

pytestmark = pytest.mark.component

SCRIPT = "#!/bin/bash\n#SBATCH --time=5 --gres=gpu:1\n#SBATCH --partition=debug\nhostname\n"


async def test_a_grant_for_a_forbidden_line(stage: Stage) -> None:
    """Refused before anything is made, with the number of the line; the audit log has the reason."""
    body = {
        "token": stage.issuer.token("alice"),
        "kind": "Job",
        "namespace": namespace_of_user("alice"),
        "name": rest_name("2" * 32),
        "spec": {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n#SBATCH --clusters=x\n"}},
        "trace": TRACE,
    }
    _, answer = await post(stage, "/v1/grants", body, token=stage.caller_token("goldcrest-api"))
    assert answer["code"] == "InvalidInput"
    assert answer["message"].startswith("line 2 of the script: --clusters cannot be used")
    assert stage.audit()[-1]["outcome"] == "refused"


async def test_what_the_lines_say_is_signed(stage: Stage, tmp_path: Path) -> None:
    """The submission is signed with them as options, below the fields; one that leaves them out is not signed."""
    spec = {**JOB["spec"], "script": {"inline": SCRIPT}, "partition": "long", "schedulerOptions": {"nice": "5"}}
    answer = stage.create_job("alice", {**JOB, "spec": spec}, namespace="team")
    assert answer.status == 201, answer
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    system = parse_model(SystemSpec, SYSTEM["spec"], what="spec")
    commands = authorised_commands(JobResource.of(answer.body), system, cluster_id=cluster_id)
    submit = next(command for command in commands if isinstance(command, Submit))
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:

        async def signed(command: Submit) -> bytes:
            return await operator.command_certificate(
                command,
                public_key=PUBLIC_KEY,
                system="cluster",
                user="alice",
                sid=SID,
                basis=of(answer.body),
                trace=TRACE,
            )

        options = signed_command(shown(await signed(submit), tmp_path))["args"]["options"]
        assert options == {"timeLimit": "5", "gres": "gpu:1", "partition": "long", "nice": 5}
        with pytest.raises(Denied):
            await signed(replace(submit, options=SubmitOptions(partition="long")))
