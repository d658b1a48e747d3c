"""Where a script goes."""

from __future__ import annotations

import base64

import pytest

from goldcrest.authorised import script_bytes
from goldcrest.models.job import INLINE_SCRIPT_LIMIT, JobSpec, Script
from goldcrest_api.services.scripts import RemoteScript, UploadedScript, held_in_spec

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "content",
    [
        b"#!/bin/sh\n",
        "ü".encode(),
        b"\xff\x00\x01",
        b"a\x00b",
        b"\xff" * INLINE_SCRIPT_LIMIT,
        b"x" * INLINE_SCRIPT_LIMIT,
    ],
)
def test_scripts_up_to_the_bound_are_held_in_the_spec(content: bytes) -> None:
    """The very bytes come out again, whatever they are, and the model takes them."""
    held = held_in_spec(UploadedScript("a b.sh", content))
    assert held is not None
    spec = JobSpec(system="cluster", run_as="alice", script=Script.model_validate(held))
    assert script_bytes(spec) == content


def test_larger_ones_are_not() -> None:
    """One byte more goes to the system."""
    assert held_in_spec(UploadedScript("a", b"x" * (INLINE_SCRIPT_LIMIT + 1))) is None


def test_text_with_a_nul_is_base64() -> None:
    """Not every tool that shows resources takes a NUL."""
    assert held_in_spec(UploadedScript("a", b"a\0")) == {"base64": base64.b64encode(b"a\0").decode(), "name": "a"}


@pytest.mark.parametrize(
    ("path", "directory", "name"), [("/a/b/c d.sh", "/a/b", "c_d.sh"), ("/x", "/", "x"), ("/a//b", "/a/", "b")]
)
def test_script_on_the_system(path: str, directory: str, name: str) -> None:
    """Its directory is where the job starts."""
    script = RemoteScript(path)
    assert (script.directory, script.name) == (directory, name)
