from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goldcrest.models.job import JobSpec
from goldcrest.wellknown import Kind
from goldcrest_admission.advice import WARNING_LIMIT, WARNINGS_LIMIT, advice_on_change, advice_on_creation

pytestmark = pytest.mark.unit

SCRIPT = {"inline": "#!/bin/bash\n#SBATCH --time=10 --nodes=2\n#SBATCH --nice=5\nhostname\n"}


def advice(**spec: Any) -> list[str]:
    return list(advice_on_creation(JobSpec.model_validate({"system": "c", "runAs": "a", "script": SCRIPT, **spec})))


def test_nothing_to_say() -> None:
    """An ordinary job is admitted in silence, also when a field says what the script says."""
    assert advice() == []
    ordinary = {"TOKENIZERS_PARALLELISM": "1", "KEYBOARD": "x", "SSH_KEY_FILE": "/k", "MONKEY": "x", "SECRETARY": "x"}
    assert advice(nodes="2", environment=ordinary, ttlSecondsAfterFinished=60, deletionPolicy="Cancel") == []


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "PGPASSWORD",
        "db_password",
        "AWS_SECRET_ACCESS_KEY",
        "API_KEY",
        "GITHUBTOKEN",
        "OPENAI_APIKEY",
        "KEY",
    ],
)
def test_secrets(name: str) -> None:
    """Variables that look like secrets are named; their values are not shown."""
    (warning,) = advice(environment={name: "hunter2", "HOME": "/x"})
    assert warning == f"spec.environment: {name}: all who read this gjob read that; better in a file"
    (several,) = advice(environment={name: "hunter2", "Z_TOKEN": "hunter2"})
    assert f"spec.environment: {min(name, 'Z_TOKEN')} and 1 more: " in several
    assert "hunter2" not in several


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        (
            {"deletionPolicy": "Orphan"},
            "spec.deletionPolicy: Orphan: when this gjob is deleted, its job runs on, and nobody follows or cancels it",
        ),
        (
            {"ttlSecondsAfterFinished": 0},
            "spec.ttlSecondsAfterFinished: 0 s after the end this gjob is gone, with its state and exit code",
        ),
        (
            {"ttlSecondsAfterFinished": 5},
            "spec.ttlSecondsAfterFinished: 5 s after the end this gjob is gone, with its state and exit code",
        ),
        ({"timeLimit": "5"}, "line 2 of the script: --time is not used, because spec.timeLimit says something else"),
        (
            {"schedulerOptions": {"nice": "6"}},
            "line 3 of the script: --nice is not used, because spec.schedulerOptions.nice says something else",
        ),
        (
            {"script": {"inline": "#!/bin/sh\n#SBATCH --chdir=/a\nx\n"}, "workingDirectory": "/b"},
            "the script: --chdir is not used, because spec.workingDirectory says something else",
        ),
        (
            {"script": {"inline": "hostname\n"}},
            "spec.script: the first line is not #! and an interpreter, such as #!/bin/bash: sbatch refuses it",
        ),
        (
            {"script": {"inline": "#!/bin/sh\r\nhostname\r\n"}},
            "spec.script: lines end with CR LF, as on DOS: sbatch refuses it; convert it with dos2unix",
        ),
        (
            {"script": {"base64": base64.b64encode(b"#!/bin/sh\n\0\n").decode()}},
            "spec.script: there is a NUL byte in it: sbatch refuses it",
        ),
        (
            {"script": {"path": "/a/job.sh", "sha256": "0" * 64}},
            "spec.script.path: #SBATCH lines in the file are refused on the system unless the spec says the same",
        ),
        (
            {"schedulerOptions": {"bb": "capacity=100"}},
            "option bb: policy sees its text only; what it leads to is decided on the system, which may refuse it",
        ),
        (
            {"script": {"inline": "#!/bin/sh\n#SBATCH --container=/b\nx\n"}},
            "option container: policy sees its text only; what it leads to is decided on the system, which may refuse it",
        ),
    ],
)
def test_each(spec: dict[str, Any], warning: str) -> None:
    """One sentence for each risk."""
    assert advice(**spec) == [warning]


def test_changes() -> None:
    """A change is told about what it brings, not about what was there."""
    orphan = {"deletionPolicy": "Orphan", "suspend": True}
    assert advice_on_change(Kind.JOB, {}, orphan)[0].startswith("spec.deletionPolicy: Orphan")
    assert advice_on_change(Kind.JOB, {"deletionPolicy": "Orphan"}, orphan) == ()
    assert advice_on_change(Kind.JOB, orphan, {}) == ()


@example(environment={f"A{number:0199}_TOKEN": "hunter2" for number in range(256)}, options=[])
@given(
    environment=st.dictionaries(st.from_regex(r"[A-Z_]{0,200}TOKEN", fullmatch=True), st.just("hunter2"), max_size=20),
    options=st.lists(st.sampled_from(["nice=1", "mem=1", "time=1", "qos=x", "gres=a", "hint=b"]), max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_bounds(environment: dict[str, str], options: list[str]) -> None:
    """Whatever is in it: few, short, without control characters, without a value; together within Kubernetes' 4096."""
    script = "echo\n" if not options else "".join(f"#SBATCH --{option}\n" for option in options) + "\r\n"
    given_options = {"nice": "2", "gres": "b", "hint": "c"}
    found = advice(
        script={"inline": script},
        environment=environment,
        schedulerOptions=given_options,
        timeLimit="2",
        memory="2",
        qos="y",
        deletionPolicy="Orphan",
        ttlSecondsAfterFinished=59,
    )
    assert len(found) <= WARNINGS_LIMIT
    assert sum(map(len, found)) <= 4096
    for warning in found:
        assert len(warning) <= WARNING_LIMIT
        assert warning.isprintable()
        assert "hunter2" not in warning
        assert not warning.endswith("…")
