"""Names made of what clients sent."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.models.job import Script
from goldcrest.wellknown import TASK_ID_PATTERN
from goldcrest_api.names import random_task_id, script_name, secured_file_name, task_id_of_key

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given_name", "secured"),
    [
        ("my script.sh", "my_script.sh"),
        ("My cool movie.mov", "My_cool_movie.mov"),
        ("../../../etc/passwd", "etc_passwd"),
        ("i contain cool \u00fcml\u00e4uts.txt", "i_contain_cool_umlauts.txt"),
        ("a/b\tc", "a_b_c"),
        ("_.hidden._", "hidden"),
        ("$(reboot);.sh", "reboot.sh"),
        ("\u65e5\u672c", ""),
        ("..", ""),
    ],
)
def test_secured_file_name(given_name: str, secured: str) -> None:
    """As werkzeug's documented examples and rule have it."""
    assert secured_file_name(given_name) == secured


@given(st.text(max_size=300))
def test_script_name_is_always_one_that_a_job_may_have(given_name: str) -> None:
    """Whatever the client calls its file, the Job's script has a valid name."""
    Script(inline="x", name=script_name(given_name))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", script_name(given_name))


@pytest.mark.parametrize(("given_name", "name"), [("", "job.sh"), ("-n.sh", "n.sh"), ("x" * 200, "x" * 128)])
def test_script_name_falls_back(given_name: str, name: str) -> None:
    """No leading hyphen, never empty, never too long."""
    assert script_name(given_name) == name


def test_random_task_ids_differ() -> None:
    """32 hex digits, new each time."""
    ids = {random_task_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(TASK_ID_PATTERN.fullmatch(task_id) for task_id in ids)


def test_task_id_of_a_key_depends_on_everything() -> None:
    """Caller, route and key; and no two combinations can be mistaken for each other."""
    base = {"issuer": "i", "subject": "s", "route": "r", "key": "k"}
    ids = {task_id_of_key(**{**base, name: value}) for name in base for value in ("x", "sr", "rk")}
    ids.add(task_id_of_key(**base))
    assert len(ids) == 13
    assert task_id_of_key(**base) == task_id_of_key(**base)
